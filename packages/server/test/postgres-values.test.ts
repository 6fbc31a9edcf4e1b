/** Values of every type against real servers: binary COPY, text COPY and INSERT store the same, which is what was given. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { context, describeOnEachPostgres, failed, failureOf } from './support/postgres-sink.js';

const text = fc.string({ unit: 'binary' }).filter((value) => !value.includes('\0') && !/[\ud800-\udfff]/.test(value));
const date = fc.date({ min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true });
const digits = fc.stringMatching(/^-?\d{1,30}(\.\d{0,20})?$/);

/** Type, values, and how the server would write one. */
const types: readonly (readonly [type: string, values: fc.Arbitrary<unknown>])[] = [
  ['int2', fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 })],
  ['int4', fc.oneof(fc.integer(), fc.integer().map(String))],
  ['int8', fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))],
  ['float4', fc.float()],
  ['float8', fc.double()],
  [
    'numeric',
    fc.oneof(digits, fc.bigInt(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true, min: 1e-5, max: 1e15 })),
  ],
  ['numeric(12, 2)', fc.double({ noNaN: true, min: -1e9, max: 1e9 }).map((value) => value.toFixed(4))],
  ['text', fc.oneof(text, fc.integer(), fc.boolean())],
  ['varchar(2000)', text],
  ['char(8)', fc.stringMatching(/^[a-z]{0,8}$/)],
  ['bool', fc.boolean()],
  [
    'timestamptz',
    fc.oneof(
      date,
      date.map((value) => value.toISOString()),
      fc.constant('2024-02-29 23:59:59.123456+05:30'),
    ),
  ],
  ['timestamp', date],
  ['timestamptz(0)', date],
  [
    'date',
    fc.oneof(
      date,
      date.map((value) => value.toISOString().slice(0, 10)),
    ),
  ],
  ['uuid', fc.uuid()],
  ['bytea', fc.uint8Array()],
  [
    'json',
    fc.oneof(
      fc.json({ noUnicodeString: true } as object),
      fc.jsonValue().filter((value) => typeof value !== 'string' && value !== null),
    ),
  ],
  [
    'jsonb',
    fc.oneof(
      fc.object({
        maxDepth: 2,
        key: fc.stringMatching(/^[a-z]{1,5}$/),
        values: [fc.integer(), fc.boolean(), fc.stringMatching(/^[ -~]*$/)],
      }),
      fc
        .object({ values: [fc.integer()], key: fc.stringMatching(/^[a-z]{1,5}$/) })
        .map((value) => Buffer.from(JSON.stringify(value))),
    ),
  ],
  ['color', fc.constantFrom('red', "dark 'blue'")],
  ['posint', fc.integer({ min: 1, max: 100 })],
  ['int4[]', fc.array(fc.option(fc.integer()))],
  ['text[]', fc.array(fc.oneof(text, fc.constantFrom('NULL', '', '{', '"', '\\', ',')))],
  [
    'int8[]',
    fc
      .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }))
      .map(([a, b]) => Array.from({ length: a }, (_, i) => Array.from({ length: b }, (_, j) => i * b + j))),
  ],
  ['color[]', fc.array(fc.constantFrom('red', "dark 'blue'"))],
  ['timestamptz[]', fc.array(date)],
  ['jsonb[]', fc.array(fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.integer()))],
  ['inet', fc.constantFrom('10.0.0.1', '::1')],
  ['interval', fc.constantFrom('1 day', '02:00')],
];

describeOnEachPostgres('values', 1, (world) => {
  test.each(types)('of type %s are stored as they are, by binary COPY, text COPY and INSERT', async (type, values) => {
    await world.observer.query(`CREATE TYPE color AS ENUM ('red', 'dark ''blue'''); CREATE DOMAIN posint AS int CHECK (VALUE > 0);
      CREATE TABLE binary_way (n int, v ${type}); CREATE TABLE text_way (n int, v ${type}, pad interval);
      CREATE TABLE insert_way (n int, v ${type}); SET timezone = 'UTC'; SET extra_float_digits = 3`);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(values), { minLength: 1, maxLength: 60 }), async (list) => {
        const items = list.map((v, n) => ({ n, v: v as object }));
        const stored: unknown[] = [];
        for (const table of ['binary_way', 'text_way', 'insert_way']) {
          await world.observer.query(`TRUNCATE ${table}`);
          const sink = world.sink<{ n: number; v: object }>({
            table,
            columns: ['n', 'v'],
            ...(table === 'insert_way' ? { copyAboveRows: Infinity } : {}),
          });
          expect(failed(await sink.write(items, context()))).toEqual({});
          stored.push((await world.rows(`SELECT n, v::text FROM ${table} ORDER BY n`)).map(({ v }) => v));
        }
        expect(stored[1]).toEqual(stored[0]);
        expect(stored[2]).toEqual(stored[0]);
        // And it is what the server makes of the same value when pg sends it.
        const sent = items.map(({ v }) =>
          type.startsWith('json') && type.length < 6
            ? Buffer.isBuffer(v) || typeof v === 'string'
              ? String(v)
              : v === null
                ? null
                : JSON.stringify(v)
            : v,
        );
        const plain = sent.every((v) => v === null || typeof v !== 'object' || v instanceof Date) && !type.endsWith('[]');
        if (!plain) return;
        const own = await world.observer.query<{ v: string | null }>(
          `SELECT ${sent.map((_, i) => `($${i + 1}::text::${type})::text AS v${i}`).join(', ')}`,
          sent.map((v) => (v instanceof Date ? v.toISOString() : v)),
        );
        expect(Object.values(own.rows[0]!)).toEqual(stored[0]);
      }),
      { numRuns: 4 },
    );
  });

  test('an array of unequal arrays is refused, by binary COPY too: nothing of it is left out', async () => {
    await world.observer.query('CREATE TABLE uneven (n int, v int[])');
    const sink = world.sink<{ n: number; v: unknown }>({ table: 'uneven', columns: ['n', 'v'] as never });
    const items = Array.from({ length: 150 }, (_, n) => ({ n, v: n === 3 ? [[], [1]] : n === 4 ? [] : [[n]] }));
    expect(Object.keys(failed(await sink.write(items, context())))).toEqual(['3']);
    expect(await world.rows('SELECT v::text FROM uneven WHERE n IN (3, 4)')).toEqual([{ v: '{}' }]);
  });

  test('inferred from the table: each column without a default, snake case from camel case too', async () => {
    await world.observer.query(`CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, name text NOT NULL, received_at timestamptz,
      tags text[], made timestamptz DEFAULT now(), twice text GENERATED ALWAYS AS (name || name) STORED)`);
    const sink = world.sink<object>();
    await sink.write([{ name: 'a', receivedAt: new Date(0), tags: ['x'] }, { name: 'b' }], context());
    expect(await world.rows('SELECT name, received_at, tags, made IS NULL AS bare, twice FROM events ORDER BY id')).toEqual([
      { name: 'a', received_at: new Date(0), tags: ['x'], bare: false, twice: 'aa' },
      { name: 'b', received_at: null, tags: null, bare: false, twice: 'bb' },
    ]);
  });

  test.each([
    [{ columns: ['id', 'paylaod'] }, /no column "paylaod"; did you mean payload\?/],
    [{ columns: ['id', 'zzzzzzz'] }, /no column "zzzzzzz"; it has id, payload, n, twice/],
    [{ columns: ['id', 'twice'] }, /twice of events is GENERATED ALWAYS/],
    [{ columns: ['payload'] }, /the column id of events must not be null and has no default/],
    [{ columns: { id: { type: 'int', value: () => 1 } } }, /the column id of events is text, but .* says int/],
    [{ conflict: { columns: ['payload'], action: 'ignore' } }, /no unique key on \(payload\).*it has \(id\)/],
    [{ columns: ['id'], conflict: { columns: ['id'], action: 'update', set: ['id'] } }, undefined],
  ] as const)('%j is checked against the catalogue at the start', async (options, message) => {
    await world.observer.query(
      'CREATE TABLE events (id text PRIMARY KEY, payload text, n int DEFAULT 1, twice int GENERATED ALWAYS AS (n * 2) STORED)',
    );
    const sink = world.sink<object>(options as object);
    if (message === undefined) return sink.prepare();
    expect(await failureOf(sink.prepare())).toMatchObject({
      code: 'COLUMN_MISMATCH',
      class: 'blocked',
      message: expect.stringMatching(message),
    });
    // It is looked at again: somebody may have mended the table.
    expect(await failureOf(sink.write([{ id: 'a' }], context()))).toMatchObject({ code: 'COLUMN_MISMATCH' });
  });

  test('R-86: an INSERT of 70,000 rows of three columns stays below 65,535 parameters', async () => {
    await world.observer.query('CREATE TABLE events (a int, b text, c bool)');
    const sink = world.sink<object>({ copyAboveRows: Infinity });
    await sink.write(
      Array.from({ length: 70_000 }, (_, a) => ({ a, b: `${a}`, c: a % 2 === 0 })),
      context(),
    );
    expect(await world.rows('SELECT count(*)::int AS n, sum(a)::int8::text AS sum FROM events')).toEqual([
      { n: 70_000, sum: '2449965000' },
    ]);
  });

  test('row-level security, under which COPY is refused, is written by INSERT', async () => {
    await world.observer.query(`CREATE TABLE events (id text PRIMARY KEY, tenant text); ALTER TABLE events ENABLE ROW LEVEL SECURITY;
      CREATE POLICY own ON events USING (tenant = 'a') WITH CHECK (tenant = 'a');
      CREATE ROLE tenant LOGIN PASSWORD 'tenant'; GRANT SELECT, INSERT ON events TO tenant`);
    const url = new URL(world.connectionString);
    [url.username, url.password] = ['tenant', 'tenant'];
    const sink = world.sink<object>({ pool: undefined as never, connectionString: url.href });
    expect(
      failed(
        await sink.write(
          Array.from({ length: 300 }, (_, i) => ({ id: `${i}`, tenant: 'a' })),
          context(),
        ),
      ),
    ).toEqual({});
    expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 300 }]);
    await sink.close();
    await world.observer.query('DROP OWNED BY tenant; DROP ROLE tenant');
  });
});
