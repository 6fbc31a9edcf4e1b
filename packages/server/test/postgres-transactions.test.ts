/** Transactions of the caller's, and servers that go away: nothing lost, nothing doubled, connections back to normal. */

import pg from 'pg';
import { createBatcher } from 'sluice';
import { retry } from 'sluice/layers';
import { postgresSink } from 'sluice/postgres';
import { expect, test, vi } from 'vitest';
import { context, describeOnEachPostgres, failed, failureOf } from './support/postgres-sink.js';

const ddl = 'CREATE TABLE events (id text PRIMARY KEY, n int CHECK (n < 1000))';
const good = (count: number, from = 0) => Array.from({ length: count }, (_, i) => ({ id: `id-${from + i}`, n: 1 as unknown }));
const count = 'SELECT count(*)::int AS n FROM events';

describeOnEachPostgres("a transaction of the caller's", 2, (world) => {
  test.each([
    ['COPY', {}],
    ['a temporary table', { conflict: { columns: ['id'], action: 'ignore' as const }, copyAboveRows: 0 }],
    ['INSERT', { copyAboveRows: Number.POSITIVE_INFINITY }],
  ])('holds the rows, written by %s: a rollback leaves none, a commit all, bad rows are taken out', async (_how, rule) => {
    await world.observer.query(`${ddl}; CREATE TABLE orders (id int)`);
    const sink = world.sink<object>(rule);
    const client = new pg.Client({ connectionString: world.connectionString });
    await client.connect();
    for (const ending of ['ROLLBACK', 'COMMIT']) {
      await client.query('BEGIN; INSERT INTO orders VALUES (1)');
      expect(await sink.writeWithin(client as never, good(150))).toBeUndefined();
      // Twice in one transaction, the second time with a bad row.
      const items = [...good(150, 150), { id: 'bad', n: 5000 }, { id: 'nul\0', n: 1 }];
      expect(failed(await sink.writeWithin(client as never, items))).toMatchObject({
        150: { code: 'PG_23514' },
        151: { code: 'INVALID_VALUE' },
      });
      expect(await world.rows(count)).toEqual([{ n: 0 }]);
      await client.query(ending);
      expect(await world.rows(count)).toEqual([{ n: ending === 'COMMIT' ? 300 : 0 }]);
      expect(await world.rows('SELECT count(*)::int AS n FROM orders')).toEqual([{ n: ending === 'COMMIT' ? 1 : 0 }]);
    }
    await client.end();
  });

  test('goes on after a failure of the sink', async () => {
    await world.observer.query(`${ddl}; CREATE TABLE orders (id int)`);
    const sink = world.sink<object>({ badRows: 'refuse' });
    const client = await world.pool.connect();
    await client.query('BEGIN; INSERT INTO orders VALUES (1)');
    expect(await failureOf(sink.writeWithin(client, [{ id: 'a', n: 5000 }]))).toMatchObject({ code: 'PG_23514' });
    await client.query('COMMIT');
    client.release();
    expect(await world.rows('SELECT count(*)::int AS n FROM orders')).toEqual([{ n: 1 }]);
  });
});

describeOnEachPostgres('a server', 4, (world) => {
  /** A batcher as a service would have it: it tries again until the server takes the rows. */
  function batcherOf(sink: ReturnType<typeof world.sink<object>>) {
    return createBatcher({
      sink,
      maxItems: 500,
      maxInFlight: 4,
      maxHeldItems: 100_000,
      layers: [retry({ baseMs: 5, maxDelayMs: 50, maxAttempts: 1000 })],
    });
  }

  test('that ends sessions in the middle of a COPY loses nothing and doubles nothing', async () => {
    await world.observer.query(ddl);
    const sink = world.sink<object>({ conflict: { columns: ['id'], action: 'ignore' } });
    const batcher = batcherOf(sink);
    const terminate = `SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity WHERE application_name = 'sink' AND state = 'active'`;
    let ended = 0;
    const items = good(20_000);
    const pushed = Promise.all(items.map((item) => batcher.push(item)));
    let settled = false;
    void pushed.finally(() => {
      settled = true;
    });
    while (!settled) {
      const [row] = await world.rows(terminate);
      ended += row!.n as number;
      await world.rows('SELECT pg_sleep(0.02)');
    }
    await pushed;
    expect(ended).toBeGreaterThan(0);
    expect(await world.rows(`SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM events`)).toEqual([
      { n: 20_000, ids: 20_000 },
    ]);
    await batcher.close();
    await vi.waitFor(() => expect(world.pool.waitingCount).toBe(0));
    expect(world.pool.idleCount).toBe(world.pool.totalCount);
  });

  test('that is stopped and started again while batches come loses nothing and doubles nothing', async () => {
    await world.observer.query(ddl);
    world.observer.on('error', () => {});
    const { connectionString } = world;
    const sink = postgresSink<object>({ connectionString, table: 'events', conflict: { columns: ['id'], action: 'ignore' } });
    const batcher = batcherOf(sink);
    const first = good(2000).map((item) => batcher.push(item));
    await Promise.all(first);
    const second = good(5000, 2000).map((item) => batcher.push(item));
    const { server } = world.postgres;
    const { pid } = server;
    // Its immediate shutdown: no goodbye, and recovery at the next start.
    process.kill(pid, 'SIGQUIT');
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(), { timeout: 10_000 });
    // While it is down.
    const third = good(5000, 7000).map((item) => batcher.push(item));
    await server.ensureRunning();
    await Promise.all([...second, ...third]);
    const observer = new pg.Client({ connectionString });
    await observer.connect();
    expect((await observer.query(count)).rows).toEqual([{ n: 12_000 }]);
    await observer.end();
    await batcher.close();
    await sink.close();
  });

  test('with too many connections, or for reading only, is transient; a missing right is blocked, and heals', async () => {
    await world.observer.query(`${ddl}; CREATE ROLE weak LOGIN PASSWORD 'weak' CONNECTION LIMIT 1`);
    const url = new URL(world.connectionString);
    [url.username, url.password] = ['weak', 'weak'];
    const options = { connectionString: url.href, table: 'events', maxConnections: 1 };
    const [one, two] = [postgresSink<object>(options), postgresSink<object>(options)];
    expect(await failureOf(one.write(good(1), context()))).toMatchObject({ code: 'PG_42501', class: 'blocked' });
    expect(await failureOf(two.write(good(1), context()))).toMatchObject({ code: 'PG_53300', class: 'transient' });
    await world.observer.query('GRANT SELECT, INSERT ON events TO weak');
    expect(await one.write(good(1), context())).toBeUndefined();
    await world.observer.query(`ALTER ROLE weak SET default_transaction_read_only = on`);
    await one.close();
    expect(await failureOf(two.write(good(1, 5), context()))).toMatchObject({ code: 'PG_25006', class: 'transient' });
    await two.close();
    await world.observer.query('DROP OWNED BY weak; DROP ROLE weak');
  });

  test.each([
    ['binary COPY', {}],
    ['a temporary table', { conflict: { columns: ['id'], action: 'update' as const }, copyAboveRows: 0 }],
    ['INSERT', { copyAboveRows: Number.POSITIVE_INFINITY }],
  ])('whose table is altered under the sink is read anew by the same write, by %s', async (_how, rule) => {
    await world.observer.query('CREATE TABLE events (id text PRIMARY KEY, n int8, note text NOT NULL CHECK (length(note) < 5))');
    let n: unknown = 5;
    const sink = world.sink<number>({
      columns: {
        id: String,
        n: () => n as number,
        note: (item) => (item === 7 ? null : `note ${item}`.slice(0, n === 5 ? 4 : 99)),
      },
      ...rule,
    });
    const batch = (from: number) => Array.from({ length: 150 }, (_, i) => from + i);
    expect(failed(await sink.write(batch(1000), context()))).toEqual({});
    // Of the same eight bytes: binary COPY alone would store garbage.
    await world.observer.query(
      `ALTER TABLE events ALTER n TYPE timestamptz USING now(), ALTER note DROP NOT NULL, DROP CONSTRAINT events_note_check`,
    );
    n = new Date('2024-01-01T00:00:00Z');
    expect(failed(await sink.write(batch(0), context()))).toEqual({});
    expect(await world.rows(`SELECT count(*)::int AS n FROM events WHERE n = '2024-01-01T00:00:00Z'`)).toEqual([{ n: 150 }]);
  });
});
