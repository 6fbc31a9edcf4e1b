/** Batches that go straight into the target although there is a conflict rule, against real servers: the same rows as by ON CONFLICT DO NOTHING. */

import fc from 'fast-check';
import type { PostgresSinkOptions } from 'sluice/postgres';
import { expect, test } from 'vitest';
import { context, describeOnEachPostgres, failed, failureOf } from './support/postgres-sink.js';

interface Row {
  readonly key: string | null;
  readonly n: unknown;
}

const ignoring = { conflict: { columns: ['key'], action: 'ignore' }, copyAboveRows: 0 } as const;
const rowsFrom = (from: number, count = 150): Row[] =>
  Array.from({ length: count }, (_, i) => ({ key: `key-${from + i}`, n: from + i }));
const counted = 'SELECT count(*)::int AS rows, count(DISTINCT key)::int AS keys FROM events';

/** Batches of keys from few or many, so that some hold keys that exist, or the same key twice, or null, which equals nothing. */
const someBatches = fc.integer({ min: 1, max: 3000 }).chain((keys) => {
  const key = fc.oneof({ weight: 30, arbitrary: fc.integer({ min: 0, max: keys }).map(String) }, fc.constant(null));
  return fc.array(fc.array(key, { minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 12 });
});

describeOnEachPostgres('a batch under a conflict rule that ignores', 4, (world) => {
  const timesOut = 120_000;

  test(
    'R-84: of each key the first row stays, whichever way the batches go',
    async () => {
      const ways = { straight: 0, repeated: 0 };
      await fc.assert(
        fc.asyncProperty(someBatches, async (batches) => {
          await world.observer.query('DROP TABLE IF EXISTS events; CREATE TABLE events (key text UNIQUE, n int)');
          const sink = world.sink<Row>(ignoring);
          const expected: Row[] = [];
          let n = 0;
          for (const keys of batches) {
            const items = keys.map((key) => ({ key, n: n++ }));
            for (const item of items) if (item.key === null || expected.every(({ key }) => key !== item.key)) expected.push(item);
            expect(await sink.write(items, context())).toBeUndefined();
          }
          expect(await world.rows('SELECT * FROM events ORDER BY n')).toEqual(expected);
          ways.straight += sink.stats().straight;
          ways.repeated += sink.stats().repeated;
        }),
        { numRuns: 40 },
      );
      expect(Math.min(ways.straight, ways.repeated)).toBeGreaterThan(0);
    },
    timesOut,
  );

  test(
    'R-84: writers of the same keys at the same time leave each key once, with what one of them wrote first of it',
    async () => {
      await fc.assert(
        fc.asyncProperty(someBatches, async (batches) => {
          await world.observer.query('DROP TABLE IF EXISTS events; CREATE TABLE events (key text PRIMARY KEY, n int)');
          const sink = world.sink<Row>(ignoring);
          let n = 0;
          const firsts = new Map<string, number[]>();
          const written = batches.map((keys) => {
            const items = keys.map((key) => ({ key: key ?? 'none', n: n++ }));
            for (const [key, first] of new Map([...items].reverse().map((item) => [item.key, item.n])))
              firsts.set(key, [...(firsts.get(key) ?? []), first]);
            return items;
          });
          const answers = await Promise.all(written.map((items) => sink.write(items, context())));
          expect(answers.every((answer) => answer === undefined)).toBe(true);
          const stored = (await world.rows('SELECT key, n FROM events')) as readonly { key: string; n: number }[];
          expect(new Set(stored.map(({ key }) => key))).toEqual(new Set(firsts.keys()));
          expect(stored).toHaveLength(firsts.size);
          for (const { key, n: kept } of stored) expect(firsts.get(key)).toContain(kept);
        }),
        { numRuns: 10 },
      );
    },
    timesOut,
  );

  test('goes straight while keys are new, and twice only when they stop to be', async () => {
    await world.observer.query('CREATE TABLE events (key text PRIMARY KEY, n int)');
    const sink = world.sink<Row>(ignoring);
    const steps: readonly (readonly [from: number, straight: number, repeated: number])[] = [
      [0, 1, 0],
      [150, 2, 0],
      [100, 2, 1],
      [0, 2, 1],
      [0, 2, 1],
      [300, 2, 1],
      [450, 3, 1],
    ];
    for (const [from, straight, repeated] of steps) {
      expect(await sink.write(rowsFrom(from), context())).toBeUndefined();
      expect(sink.stats()).toMatchObject({ straight, repeated, isolated: 0, conflicts: 0 });
    }
    expect(await world.rows(counted)).toEqual([{ rows: 600, keys: 600 }]);
    await world.expectIdle(1);
  });

  test.each([
    ['at once', '', 'blocked'],
    ['at once, where a snapshot lasts for a transaction', 'repeatable read', 'blocked'],
  ])('without its unique index is refused, also when the index goes while the batch waits: %s', async (_when, isolation) => {
    await world.observer.query('CREATE TABLE events (key text CONSTRAINT once UNIQUE, n int)');
    const level = isolation === '' ? 'read committed' : isolation;
    await world.observer.query(
      `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), '${level}'); END $$`,
    );
    const sink = world.sink<Row>(ignoring);
    try {
      expect(await sink.write(rowsFrom(0), context())).toBeUndefined();
      await world.observer.query('BEGIN; ALTER TABLE events DROP CONSTRAINT once');
      const write = failureOf(sink.write(rowsFrom(0), context()));
      await world.lockWaits();
      await world.observer.query('COMMIT');
      expect(await write).toMatchObject({ class: 'blocked' });
      expect(await failureOf(sink.write(rowsFrom(500), context()))).toMatchObject({ class: 'blocked' });
      expect(await world.rows(counted)).toEqual([{ rows: 150, keys: 150 }]);
      await world.observer.query('CREATE UNIQUE INDEX anew ON events (key)');
      expect(await sink.write(rowsFrom(100), context())).toBeUndefined();
      expect(await world.rows(counted)).toEqual([{ rows: 250, keys: 250 }]);
      expect(sink.stats().straight).toBe(level === 'read committed' ? 1 : 0);
    } finally {
      await world.observer.query(
        `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_isolation', current_database()); END $$`,
      );
    }
  });

  test('goes straight again when its index was built anew, and is not doubled by one that is not valid', async () => {
    await world.observer.query('CREATE TABLE events (key text NOT NULL, n int); CREATE UNIQUE INDEX once ON events (key)');
    const sink = world.sink<Row>(ignoring);
    expect(await sink.write(rowsFrom(0), context())).toBeUndefined();
    await world.observer.query('REINDEX INDEX CONCURRENTLY once');
    expect(await sink.write(rowsFrom(150), context())).toBeUndefined();
    expect(sink.stats()).toMatchObject({ straight: 1, repeated: 1 });
    expect(await sink.write(rowsFrom(300), context())).toBeUndefined();
    expect(await sink.write(rowsFrom(450), context())).toBeUndefined();
    expect(sink.stats()).toMatchObject({ straight: 3, repeated: 1 });
    await world.observer.query(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'once'::regclass`);
    expect(await failureOf(sink.write(rowsFrom(600), context()))).toMatchObject({ class: 'blocked' });
    expect(await world.rows(counted)).toEqual([{ rows: 600, keys: 600 }]);
  });

  const withTrigger = (on: string) => `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER note BEFORE INSERT ON ${on} FOR EACH ROW EXECUTE FUNCTION note()`;
  const partitioned = `CREATE TABLE events (key text PRIMARY KEY, n int) PARTITION BY HASH (key);
    CREATE TABLE part0 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE part1 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 1)`;

  test.each([
    ['a table with partitions', partitioned, 2],
    [
      'a column of an enumeration, with a domain',
      `CREATE TYPE kind AS ENUM ('k'); CREATE DOMAIN small AS int CHECK (VALUE < 10000);
      CREATE TABLE events (key text PRIMARY KEY, n small, kind kind DEFAULT 'k')`,
      2,
    ],
    [
      'a child of another table',
      'CREATE TABLE parent (key text, n int); CREATE TABLE events (PRIMARY KEY (key)) INHERITS (parent)',
      2,
    ],
    [
      'a key that refers to another table',
      'CREATE TABLE p (n int PRIMARY KEY); INSERT INTO p SELECT generate_series(0, 999); CREATE TABLE events (key text PRIMARY KEY, n int REFERENCES p)',
      2,
    ],
    ['a trigger', `CREATE TABLE events (key text PRIMARY KEY, n int); ${withTrigger('events')}`, 0],
    ['a trigger of a partition', `${partitioned}; ${withTrigger('part1')}`, 0],
    [
      'a trigger of each statement',
      `CREATE TABLE events (key text PRIMARY KEY, n int); ${withTrigger('events').replace('BEFORE', 'AFTER').replace('ROW', 'STATEMENT')}`,
      0,
    ],
  ])('%s: the rows are the same', async (_what, ddl, straight) => {
    await world.observer.query(ddl);
    const sink = world.sink<Row>({ ...ignoring, columns: ['key', 'n'] });
    for (const from of [0, 150, 200, 0]) expect(await sink.write(rowsFrom(from), context())).toBeUndefined();
    expect(await world.rows(counted)).toEqual([{ rows: 350, keys: 350 }]);
    expect(sink.stats()).toMatchObject({ committed: 4, straight, repeated: straight === 0 ? 0 : 1 });
  });

  test('a rule that is made later, and a table of another make, are noticed', async () => {
    await world.observer.query('CREATE TABLE events (key text PRIMARY KEY, n bigint)');
    const sink = world.sink<Row>(ignoring);
    expect(await sink.write(rowsFrom(0), context())).toBeUndefined();
    // The eight bytes of a bigint are those of some double.
    await world.observer.query('ALTER TABLE events ALTER n TYPE float8');
    expect(await sink.write(rowsFrom(150), context())).toBeUndefined();
    expect(await world.rows('SELECT n FROM events WHERE key = $$key-299$$')).toEqual([{ n: 299 }]);
    await world.observer.query('DROP TABLE events; CREATE TABLE events (key text PRIMARY KEY, n timestamptz, m int)');
    expect(Object.keys(failed(await sink.write(rowsFrom(0), context())))).toHaveLength(150);
    await world.observer.query('DROP TABLE events; CREATE TABLE events (key text PRIMARY KEY, n int)');
    for (const from of [0, 150, 300]) expect(await sink.write(rowsFrom(from), context())).toBeUndefined();
    // INSERT … ON CONFLICT is refused where there is a rule; COPY would pass it by.
    await world.observer.query('CREATE RULE also AS ON INSERT TO events DO ALSO NOTIFY inserted');
    expect(await failureOf(sink.write(rowsFrom(450), context()))).toMatchObject({ code: 'PG_0A000', class: 'blocked' });
    expect(await world.rows(counted)).toEqual([{ rows: 450, keys: 450 }]);
  });

  test('bad rows fail alone, and a row whose key exists never does, whatever else is wrong with it behind that', async () => {
    await world.observer.query(`CREATE TABLE events (key text, n int CHECK (n > -1000));
      CREATE INDEX quotient ON events ((1000 / n)); CREATE UNIQUE INDEX other ON events (n);
      ALTER TABLE events ADD PRIMARY KEY (key); INSERT INTO events VALUES ('old', 9999)`);
    for (const badRows of ['isolate', 'halt', 'refuse'] as const) {
      const sink = world.sink<Row>({ ...ignoring, badRows });
      const items = rowsFrom(1);
      // Both would fail in an index of their own; of a key that exists, nobody looks.
      items[20] = { key: 'old', n: 0 };
      items[21] = { key: 'old', n: 5 };
      expect(await sink.write(items, context())).toBeUndefined();
      expect(sink.stats()).toMatchObject({ repeated: 1, isolated: 0 });
      await world.observer.query(`DELETE FROM events WHERE key <> 'old'`);
    }
    const sink = world.sink<Row>(ignoring);
    const items = rowsFrom(1);
    items[3] = { key: 'divides', n: 0 };
    items[4] = { key: 'none', n: 'x' };
    items[5] = { key: 'less', n: -1000 };
    items[6] = { key: 'equal', n: 9999 };
    items[7] = { key: 'old', n: 0 };
    items[8] = { key: null, n: 8 };
    const codes = Object.entries(failed(await sink.write(items, context()))).map(([index, { code }]) => [index, code]);
    expect(codes).toEqual([
      ['3', 'PG_22012'],
      ['4', 'PG_22P02'],
      ['5', 'PG_23514'],
      ['6', 'PG_23505'],
      ['8', 'PG_23502'],
    ]);
    expect(await world.rows(counted)).toEqual([{ rows: 145, keys: 145 }]);
    await world.expectIdle(1);
  });

  test('halts at the first bad row, be it before or behind a key that exists', async () => {
    for (const exists of [50, 90]) {
      await world.observer.query(`DROP TABLE IF EXISTS events; CREATE TABLE events (key text PRIMARY KEY, n int);
        INSERT INTO events VALUES ('key-${exists}', -1)`);
      const sink = world.sink<Row>({ ...ignoring, badRows: 'halt' });
      const items = rowsFrom(0);
      items[70] = { key: 'bad', n: 'x' };
      const failures = failed(await sink.write(items, context()));
      expect(failures[70]).toMatchObject({ code: 'PG_22P02' });
      expect(Object.values(failures).filter(({ code }) => code === 'HALTED')).toHaveLength(79);
      expect(await world.rows(counted)).toEqual([{ rows: exists < 70 ? 70 : 71, keys: exists < 70 ? 70 : 71 }]);
    }
  });

  test('a deadlock with a writer in another order ends in the usual way, with nothing lost or doubled', async () => {
    await world.observer.query('CREATE TABLE events (key text PRIMARY KEY, n int)');
    const sink = world.sink<Row>(ignoring);
    await sink.prepare();
    const other = await world.pool.connect();
    // It is patient, so the sink is the victim.
    await other.query(`BEGIN; SET LOCAL deadlock_timeout = '1h'; INSERT INTO events VALUES ('key-149', -1)`);
    const write = sink.write(rowsFrom(0), context());
    await world.lockWaits();
    const insert = other.query(`INSERT INTO events VALUES ('key-0', -1)`).then(() => other.query('COMMIT'));
    expect(await write).toBeUndefined();
    await insert;
    other.release();
    expect(sink.stats()).toMatchObject({ conflicts: 0, straight: 0, repeated: 1, committed: 1 });
    expect(await world.rows('SELECT key FROM events WHERE n = -1 ORDER BY key')).toEqual([{ key: 'key-0' }, { key: 'key-149' }]);
    expect(await world.rows(counted)).toEqual([{ rows: 150, keys: 150 }]);
  });

  const added: readonly (readonly [how: string, options: Partial<PostgresSinkOptions<Row>>])[] = [
    ['commitWith', { commitWith: () => 'INSERT INTO notes SELECT coalesce(max(n), 0) + 1 FROM notes' }],
    ['beforeCommit', { beforeCommit: () => 'INSERT INTO notes SELECT coalesce(max(n), 0) + 1 FROM notes' }],
  ];
  test.each(added)(
    'what %s adds is committed once, also where the batch goes twice; its own failure is none of a key',
    async (_how, options) => {
      await world.observer.query(
        'CREATE TABLE events (key text PRIMARY KEY, n int); CREATE TABLE notes (n int PRIMARY KEY CHECK (n < 3))',
      );
      const sink = world.sink<Row>({ ...ignoring, ...options });
      for (const from of [0, 100]) expect(await sink.write(rowsFrom(from), context())).toBeUndefined();
      expect(sink.stats()).toMatchObject({ straight: 1, repeated: 1 });
      expect(await world.rows('SELECT n FROM notes ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }]);
      await world.observer.query('DROP TABLE events; CREATE TABLE events (key text PRIMARY KEY, n int)');
      const anew = world.sink<Row>({ ...ignoring, ...options });
      expect(await failureOf(anew.write(rowsFrom(0), context()))).toMatchObject({ code: 'PG_23514', class: 'permanent' });
      expect(anew.stats()).toMatchObject({ straight: 0, repeated: 0, isolated: 0 });
      expect(await world.rows(counted)).toEqual([{ rows: 0, keys: 0 }]);
    },
  );

  test("inside a caller's transaction it goes the usual way: what the caller has seen may be older than the table", async () => {
    await world.observer.query('CREATE TABLE events (key text PRIMARY KEY, n int)');
    const sink = world.sink<Row>(ignoring);
    const client = await world.pool.connect();
    await client.query('BEGIN');
    for (const from of [0, 100]) expect(await sink.writeWithin(client, rowsFrom(from))).toBeUndefined();
    await client.query('COMMIT');
    client.release();
    expect(await world.rows(counted)).toEqual([{ rows: 250, keys: 250 }]);
    expect(sink.stats()).toMatchObject({ straight: 0, repeated: 0 });
  });
});
