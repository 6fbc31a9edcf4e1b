/** Through a real PgBouncer that lends server sessions by transaction: whatever the guides say works there. */

import pg from 'pg';
import { createOutbox, type LedgerRecord, ledgerSink, postgresSink } from 'sluice/postgres';
import { afterEach, describe, expect, test } from 'vitest';
import { type PgBouncer, skipPgBouncer, startPgBouncer } from './support/pgbouncer.js';
import { context, describeOnEachPostgres, failed, failureOf } from './support/postgres-sink.js';

/** By which session a row was written, its row tells. */
const ddl = `CREATE TABLE events (id text PRIMARY KEY, n int CHECK (n < 1000), at timestamptz DEFAULT now(), parent text REFERENCES events,
  session int DEFAULT pg_backend_pid())`;
const columns = ['id', 'n', 'at', 'parent'];
const at = new Date(1_700_000_000_000);
const rows = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => ({
    id: `id-${from + i}`,
    n: ((from + i) % 1000) as unknown,
    at: at as unknown,
    parent: null as string | null,
  }));

describe.skipIf(skipPgBouncer)('with PgBouncer', () => {
  describeOnEachPostgres('the sink, through it,', 2, (world) => {
    const open: (() => Promise<unknown>)[] = [];
    afterEach(async () => {
      for (const close of open.splice(0).reverse()) await close();
    });

    async function pooler(mode: 'transaction' | 'statement' = 'transaction', sessions = 3): Promise<PgBouncer> {
      const started = await startPgBouncer(world.postgres.server, world.connectionString, { mode, sessions });
      open.push(started.stop);
      return started;
    }

    /** More clients than server sessions. */
    async function poolOf(bouncer: PgBouncer, max = 6): Promise<pg.Pool> {
      const pool = new pg.Pool({ connectionString: bouncer.connectionString, max });
      pool.on('error', () => {});
      open.push(() => pool.end());
      return pool;
    }

    const sessions = async () => (await world.rows('SELECT count(DISTINCT session)::int AS n FROM events'))[0]!.n;

    test.each([
      ['binary COPY', {}, 150],
      ['COPY as text', {}, 60],
      ['COPY through a temporary table', { conflict: { columns: ['id'], action: 'update' as const }, copyAboveRows: 0 }, 150],
      ['INSERT', { copyAboveRows: Number.POSITIVE_INFINITY }, 150],
      [
        'INSERT ON CONFLICT',
        { conflict: { columns: ['id'], action: 'ignore' as const }, copyAboveRows: Number.POSITIVE_INFINITY },
        150,
      ],
    ])('writes by %s, by its lines or in halves takes bad rows out, and commits what is added', async (_how, rule, size) => {
      await world.observer.query(`${ddl}; CREATE TABLE notes (batch int)`);
      const pool = await poolOf(await pooler());
      const sinks = ['commitWith', 'beforeCommit'].map((hook) =>
        world.sink<object>({
          pool,
          columns,
          ...rule,
          [hook]: () => 'INSERT INTO notes VALUES (1)',
        }),
      );
      const batches = Array.from({ length: 40 }, (_, batch) => {
        const items = rows(size, batch * size);
        if (batch % 4 === 1) items[7] = { ...items[7]!, n: 5000 };
        if (batch % 4 === 2) items[7] = { ...items[7]!, parent: 'nobody' };
        if (batch % 4 === 3) items[7] = { ...items[7]!, at: 'no time' };
        return items;
      });
      const answers = await Promise.all(batches.map((items, batch) => sinks[batch % 2]!.write(items, context())));
      const codes = [undefined, 'PG_23514', 'PG_23503', 'PG_22007'];
      answers.forEach((answer, batch) => {
        const code = codes[batch % 4];
        expect(Object.entries(failed(answer)).map(([index, failure]) => [index, failure.code])).toEqual(
          code === undefined ? [] : [['7', code]],
        );
      });
      expect(await world.rows('SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM events')).toEqual([
        { n: 40 * size - 30, ids: 40 * size - 30 },
      ]);
      expect(await world.rows('SELECT count(*)::int AS n FROM notes')).toEqual([{ n: 40 }]);
      expect(await sessions()).toBe(3);
    });

    test('makes its table, and writes in a transaction of the caller', async () => {
      const bouncer = await pooler();
      const pool = await poolOf(bouncer);
      const sink = world.sink<object>({ pool, columns, createTable: ddl, conflict: { columns: ['id'], action: 'ignore' } });
      const client = await pool.connect();
      await client.query('BEGIN');
      expect(failed(await sink.writeWithin(client, [...rows(300), { id: 'bad', n: 5000 }]))).toMatchObject({
        300: { code: 'PG_23514' },
      });
      expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 0 }]);
      await client.query('COMMIT');
      client.release();
      expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 300 }]);
    });

    test('survives a pooler that goes away: what it does not know is told, and the next write goes on', async () => {
      await world.observer.query(ddl);
      const first = await pooler();
      const pool = await poolOf(first);
      const sink = world.sink<object>({ pool, columns });
      await sink.write(rows(10), context());
      await first.stop();
      expect(await failureOf(sink.write(rows(10, 10), context()))).toMatchObject({ code: 'PG_CONNECTION' });
      const other = await poolOf(await pooler());
      await world.sink<object>({ pool: other, columns }).write(rows(10, 10), context());
      expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 20 }]);
    });

    test('keeps a ledger: each record once, whoever delivers it, over take-overs and merges', async () => {
      interface Row extends LedgerRecord {
        readonly id: string;
      }
      await world.observer.query('CREATE TABLE events (id text, session int DEFAULT pg_backend_pid())');
      const pool = await poolOf(await pooler('transaction', 4), 10);
      const sinkOf = () => {
        const sink = ledgerSink<Row>({
          pool,
          table: 'events',
          columns: { id: { type: 'text', value: ({ id }) => (id === 'id-77' ? '\0' : id) } },
          ledger: { source: 'log', group: 'g', mergeEvery: 5 },
        });
        open.push(() => sink.close());
        return sink;
      };
      const record = (offset: number): Row => ({ stream: 's', partition: offset % 2, offset, id: `id-${offset}` });
      const one = sinkOf();
      const two = sinkOf();
      const write = (sink: typeof one, from: number) =>
        sink.write(
          Array.from({ length: 40 }, (_, i) => record(from + i)),
          context(),
        );
      // Overlapping, each record at least twice; the same partitions under one owner, then under the next.
      for (const sink of [one, two]) await Promise.all(Array.from({ length: 39 }, (_, batch) => write(sink, batch * 20)));
      expect(await world.rows('SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM events')).toEqual([
        { n: 799, ids: 799 },
      ]);
      expect(await failureOf(write(one, 800))).toMatchObject({ code: 'LEDGER_FENCED' });
      expect(await sessions()).toBeGreaterThan(1);
    });

    test("takes events of the outbox in the caller's transaction", async () => {
      const outbox = createOutbox();
      const pool = await poolOf(await pooler());
      await outbox.migrate(pool);
      for (const ending of ['ROLLBACK', 'COMMIT']) {
        const client = await pool.connect();
        await client.query('BEGIN');
        await outbox.enqueue(client, { key: 'k', payload: { ending } });
        await client.query(ending);
        client.release();
      }
      expect(await world.rows('SELECT count(*)::int AS n FROM outbox')).toEqual([{ n: 1 }]);
    });

    test('says at the start that a pooler by statement does not serve', async () => {
      await world.observer.query(ddl);
      const bouncer = await pooler('statement');
      const sink = postgresSink<object>({ connectionString: bouncer.connectionString, table: 'events', columns });
      open.push(() => sink.close());
      expect(await failureOf(sink.prepare())).toMatchObject({
        class: 'blocked',
        message: expect.stringMatching(/statement pooling mode.*transaction/),
      });
      expect(await failureOf(sink.write(rows(10), context()))).toMatchObject({ class: 'blocked' });
    });
  });
});
