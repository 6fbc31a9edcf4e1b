/** Bad rows against real servers: each ends as its own item's failure, and all others are committed, once. */

import { expect, test } from 'vitest';
import { context, describeOnEachPostgres, failed, failureOf } from './support/postgres-sink.js';

interface Row {
  readonly id: string;
  readonly n?: unknown;
  readonly note?: unknown;
  readonly parent?: unknown;
  readonly price?: unknown;
}

const table = `
CREATE TABLE parents (id text PRIMARY KEY);
INSERT INTO parents VALUES ('p');
CREATE TABLE events (
  id text PRIMARY KEY,
  n int CONSTRAINT n_is_small CHECK (n < 1000),
  note varchar(10) NOT NULL UNIQUE,
  parent text REFERENCES parents,
  price numeric(5, 2))`;
const columns = ['id', 'n', 'note', 'parent', 'price'];
const good = (count: number): Row[] =>
  Array.from({ length: count }, (_, i) => ({ id: `id-${i}`, n: i % 1000, note: `note ${i}`, parent: 'p' }));

/** Each class of bad row: what is wrong with it, and what its failure must say. */
const classes: readonly (readonly [name: string, bad: Partial<Row>, code: string, words: RegExp])[] = [
  ['of a wrong type', { n: 'many' }, 'PG_22P02', /invalid input syntax for type integer.*line \d+, column n/],
  ['out of range', { n: 2 ** 40 }, 'PG_22003', /out of range/],
  ['of a numeric overflow', { price: 1000 }, 'PG_22003', /numeric field overflow/],
  ['too long', { note: 'x'.repeat(11) }, 'PG_22001', /too long for type character varying\(10\)/],
  ['null where it must not be', { note: null }, 'PG_23502', /null value in column "note" of relation "events"/],
  ['that is there already', { note: 'note 3' }, 'PG_23505', /events_note_key/],
  ['that fails a check', { n: 5000 }, 'PG_23514', /relation "events" violates check constraint "n_is_small"/],
  ['without its parent', { parent: 'nobody' }, 'PG_23503', /events_parent_fkey/],
  ['with a NUL byte', { note: 'a\0' }, 'INVALID_VALUE', /NUL/],
  ['with a lone surrogate', { note: '\ud83d' }, 'INVALID_VALUE', /surrogate/],
  ['too large', { note: 'x'.repeat(2000) }, 'ITEM_TOO_LARGE', /maxRowBytes/],
  ['too large for an index', { id: randomText(20_000), note: 'k' }, 'PG_54000', /index row/],
];

/** Text that does not compress. */
function randomText(length: number): string {
  let state = 1;
  let text = '';
  while (text.length < length) {
    state = (state * 48_271) % 2_147_483_647;
    text += state.toString(36);
  }
  return text;
}

const ways = [
  ['by COPY', {}],
  ['by COPY through a temporary table', { conflict: { columns: ['id'], action: 'ignore' as const }, copyAboveRows: 0 }],
  ['by INSERT', { conflict: { columns: ['id'], action: 'ignore' as const }, copyAboveRows: 1000 }],
] as const;

describeOnEachPostgres('a bad row', 2, (world) => {
  for (const [how, rule] of ways) {
    test.each(classes)(`%s fails alone, written ${how}`, async (_name, bad, code, words) => {
      await world.observer.query(table);
      const sink = world.sink<Row>({ columns, maxRowBytes: code === 'ITEM_TOO_LARGE' ? 1000 : 1 << 20, ...rule });
      const items = good(120);
      items[70] = { ...items[70]!, ...bad };
      const failures = failed(await sink.write(items, context()));
      expect(Object.keys(failures)).toEqual(['70']);
      expect(failures[70]).toMatchObject({ code, class: 'permanent', message: expect.stringMatching(words) });
      expect(await world.rows('SELECT count(*)::int AS all, count(DISTINCT id)::int AS ids FROM events')).toEqual([
        { all: 119, ids: 119 },
      ]);
      expect(sink.stats()).toMatchObject({ committed: 1, isolated: code.startsWith('PG_') ? 1 : 0 });
      await world.expectIdle(1);
    });

    test(`of every class at once, each with its own reason, written ${how}`, async () => {
      await world.observer.query(table);
      const sink = world.sink<Row>({ columns, maxRowBytes: 1 << 20, ...rule });
      const items = good(500);
      const served = classes.filter(([, , code]) => code !== 'ITEM_TOO_LARGE');
      served.forEach(([, bad], at) => {
        items[20 + at * 40] = { ...items[20 + at * 40]!, ...bad };
      });
      const failures = failed(await sink.write(items, context()));
      expect(Object.fromEntries(Object.entries(failures).map(([index, { code }]) => [index, code]))).toEqual(
        Object.fromEntries(served.map(([, , code], at) => [20 + at * 40, code])),
      );
      expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 500 - served.length }]);
      await world.expectIdle(1);
    });

    test(`among others so many that the server takes them out, written ${how}`, async () => {
      await world.observer.query(table);
      const sink = world.sink<Row>({ columns, ...rule });
      const items = good(1000).map((item, i) => (i % 3 === 0 ? { ...item, n: 'bad' } : item));
      const failures = failed(await sink.write(items, context()));
      expect(Object.keys(failures).map(Number)).toEqual(items.flatMap(({ n }, i) => (n === 'bad' ? [i] : [])));
      expect(new Set(Object.values(failures).map(({ code }) => code))).toEqual(new Set(['PG_22P02']));
      expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 1000 - 334 }]);
      await world.expectIdle(1);
    });

    test(`halts there: what stands before it is committed, nothing after it, written ${how}`, async () => {
      await world.observer.query(table);
      const sink = world.sink<Row>({ columns, badRows: 'halt', ...rule });
      for (const [at, bad] of [
        [50, { n: 'bad' }],
        [0, { n: 5000 }],
        [119, { parent: 'nobody' }],
        [7, { note: '\0' }],
      ] as const) {
        await world.observer.query('TRUNCATE events');
        const items = good(120);
        items[at] = { ...items[at]!, ...bad };
        // Another one behind it, of a kind that the server reports sooner.
        if (at < 100) items[100] = { ...items[100]!, n: 'worse' };
        const failures = failed(await sink.write(items, context()));
        expect(Object.keys(failures).map(Number)).toEqual(items.map((_, i) => i).filter((i) => i >= at));
        expect(failures[at]!.class).toBe('permanent');
        for (let i = at + 1; i < 120; i++) expect(failures[i]).toMatchObject({ code: 'HALTED', class: 'rejected' });
        const ids = (await world.rows('SELECT id FROM events')).map(({ id }) => id).sort();
        expect(ids).toEqual(
          items
            .slice(0, at)
            .map(({ id }) => id)
            .sort(),
        );
      }
    });

    test(`and work before the commit: it is told what failed, and its own failure is not taken for a row's, ${how}`, async () => {
      await world.observer.query(`${table}; CREATE TABLE ledger (ok int PRIMARY KEY, failed text)`);
      const sink = world.sink<Row>({
        columns,
        ...rule,
        beforeCommit: (_client, { items, failures }) => {
          const bad = (failures ?? []).flatMap((failure, i) => (failure === undefined ? [] : [`${i} ${failure.code}`]));
          return `INSERT INTO ledger VALUES (${items.length - bad.length}, '${bad.join(', ')}')`;
        },
      });
      const items = good(120);
      items[3] = { ...items[3]!, n: 'bad' };
      items[4] = { ...items[4]!, note: '\0' };
      items[90] = { ...items[90]!, parent: 'nobody' };
      await sink.write(items, context());
      const told = [{ ok: 117, failed: '3 PG_22P02, 4 INVALID_VALUE, 90 PG_23503' }];
      expect(await world.rows('SELECT * FROM ledger')).toEqual(told);
      await world.observer.query('TRUNCATE events');
      // The same once more: now the ledger's own key is there already.
      expect(await failureOf(sink.write(items, context()))).toMatchObject({ code: 'PG_23505' });
      expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 0 }]);
      await world.expectIdle(1);
    });
  }

  test.each(ways.slice(0, 2))('k rows that the server names cost no more than 2k + 1 calls, written %s', async (_how, rule) => {
    await world.observer.query(table);
    const statements: string[] = [];
    const client = await world.pool.connect();
    const connection = (client as unknown as { connection: { query(text: string): void } }).connection;
    const query = connection.query.bind(connection);
    connection.query = (text) => {
      statements.push(text);
      query(text);
    };
    client.release();
    const sink = world.sink<Row>({ columns, ...rule });
    await sink.prepare();
    statements.length = 0;
    const items = good(5000);
    for (let k = 0; k < 10; k++) items[200 + k * 400] = { ...items[200 + k * 400]!, n: 'bad' };
    const failures = failed(await sink.write(items, context()));
    expect(Object.keys(failures)).toHaveLength(10);
    // What lies before a bad row and what lies behind it travel together.
    expect(statements.length).toBeLessThanOrEqual(2 * 10 + 1);
    expect(sink.stats()).toMatchObject({ committed: 1, isolated: 1 });
  });

  test.each(ways)('a deferred constraint that fails at COMMIT is the fault of its row alone, written %s', async (_how, rule) => {
    await world.observer.query(`CREATE TABLE parents (id text PRIMARY KEY); INSERT INTO parents VALUES ('p');
      CREATE TABLE events (id text PRIMARY KEY, parent text REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
        rank int UNIQUE DEFERRABLE INITIALLY DEFERRED)`);
    const sink = world.sink<object>({ columns: ['id', 'parent', 'rank'], ...rule });
    const items = Array.from({ length: 200 }, (_, i) => ({
      id: `${i}`,
      parent: i === 150 ? 'nobody' : 'p',
      rank: i === 199 ? 5 : i,
    }));
    const failures = failed(await sink.write(items, context()));
    expect(Object.entries(failures).map(([index, { code }]) => [index, code])).toEqual([
      ['150', 'PG_23503'],
      ['199', 'PG_23505'],
    ]);
    expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 198 }]);
    await world.expectIdle(1);
  });

  test('a row whose parent comes later in the same batch is good', async () => {
    await world.observer.query('CREATE TABLE events (id int PRIMARY KEY, parent int REFERENCES events, n int)');
    const sink = world.sink<object>({ columns: ['id', 'parent', 'n'] });
    // A chain from the last to the first, one bad row in the middle that has no children, and one without a parent anywhere.
    const items = Array.from({ length: 300 }, (_, i) => ({ id: i, parent: i === 299 ? null : i + 1, n: i as unknown }));
    items.push({ id: 1000, parent: null, n: 'bad' }, { id: 1001, parent: 5000, n: 1 });
    const failures = failed(
      await sink.write([...items.slice(0, 150), items[300]!, ...items.slice(150, 300), items[301]!], context()),
    );
    expect(Object.entries(failures).map(([index, { code }]) => [index, code])).toEqual([
      ['150', 'PG_22P02'],
      ['301', 'PG_23503'],
    ]);
    expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 300 }]);
  });

  test('a trigger may refuse a row too, by its line or at the end of the statement', async () => {
    await world.observer.query(`${table};
      CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.n = 7 THEN RAISE EXCEPTION 'no sevens'; END IF; RETURN NEW; END$$;
      CREATE FUNCTION after() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.n = 8 THEN RAISE EXCEPTION 'no eights'; END IF; RETURN NULL; END$$;
      CREATE TRIGGER b BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION before();
      CREATE TRIGGER a AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION after()`);
    const sink = world.sink<Row>({ columns });
    const failures = failed(await sink.write(good(100), context()));
    expect(failures).toMatchObject({
      7: { message: expect.stringMatching('no sevens') },
      8: { message: expect.stringMatching('no eights') },
    });
    expect(Object.keys(failures)).toEqual(['7', '8']);
    expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 98 }]);
  });

  // The server quotes the statement ahead of the line of COPY, or without one where the rows are all in, and the value behind it.
  const forged = '\nCOPY events, line 1';
  const forgeries = [
    ['in a statement of a trigger before the row', 'BEFORE', forged, 'PG_P0001'],
    ['in a statement of a trigger after the rows', 'AFTER', `${forged}: "x`, 'PG_P0001'],
    ['in a value of a wrong type', undefined, `${forged}: "x`, 'PG_22P02'],
  ] as const;

  test.each(forgeries)('that names another line, %s, is still the only one that fails', async (_where, when, text, code) => {
    await world.observer.query(`CREATE TABLE events (id text PRIMARY KEY, ${when === undefined ? 'note int' : 'note text'})`);
    if (when !== undefined)
      await world.observer.query(`
        CREATE FUNCTION refuse(note text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$;
        CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE format('SELECT refuse(%L)', NEW.note); RETURN NEW; END$$;
        CREATE TRIGGER looks ${when} INSERT ON events FOR EACH ROW WHEN (NEW.note <> '1') EXECUTE FUNCTION look()`);
    const sink = world.sink<Row>({ columns: ['id', 'note'] });
    const items: Row[] = Array.from({ length: 120 }, (_, i) => ({ id: `id-${i}`, note: '1' }));
    for (const at of [70, 90]) items[at] = { ...items[at]!, note: `x${text}` };
    const failures = failed(await sink.write(items, context()));
    expect(Object.entries(failures).map(([index, failure]) => [index, failure.code])).toEqual([
      ['70', code],
      ['90', code],
    ]);
    expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 118 }]);
  });

  test('text that the encoding of the database lacks is the fault of its row alone', async () => {
    await world.observer.query(`CREATE DATABASE latin ENCODING LATIN1 LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0`);
    const url = new URL(world.connectionString);
    url.pathname = '/latin';
    const sink = world.sink<Row>({
      createTable: 'CREATE TABLE events (id text)',
      pool: undefined as never,
      connectionString: url.href,
    });
    const failures = failed(await sink.write([{ id: 'é' }, { id: '漢' }, { id: 'z' }], context()));
    expect(failures).toMatchObject({ 1: { code: 'PG_22P05', class: 'permanent' } });
    expect(Object.keys(failures)).toEqual(['1']);
    await sink.close();
    await world.observer.query('DROP DATABASE latin');
  });

  test('is found from here, in halves, where no temporary table may be made', async () => {
    await world.observer.query(`${table}; DO $$BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM public', current_database()); END$$;
      CREATE ROLE weak LOGIN PASSWORD 'weak'; GRANT ALL ON ALL TABLES IN SCHEMA public TO weak`);
    const url = new URL(world.connectionString);
    [url.username, url.password] = ['weak', 'weak'];
    for (const rule of [{}, { conflict: { columns: ['id'], action: 'update' as const } }]) {
      const sink = world.sink<Row>({ columns, pool: undefined as never, connectionString: url.href, maxConnections: 1, ...rule });
      await world.observer.query('TRUNCATE events');
      const items = good(300);
      items[17] = { ...items[17]!, parent: 'nobody' };
      items[299] = { ...items[299]!, n: 'bad' };
      const failures = failed(await sink.write(items, context()));
      expect(Object.entries(failures).map(([index, { code }]) => [index, code])).toEqual([
        ['17', 'PG_23503'],
        ['299', 'PG_22P02'],
      ]);
      expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 298 }]);
      await sink.close();
    }
    await world.observer.query('DROP OWNED BY weak; DROP ROLE weak');
  });
});
