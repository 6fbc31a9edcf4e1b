/** The outbox of `sluice/postgres` against real servers: what commits is delivered, once and in order; what does not has never been. */

import pg from 'pg';
import { createBatcher, failure, type Sink } from 'sluice';
import { createMemoryLog } from 'sluice/log';
import {
  batcherSink,
  createOutbox,
  createRelay,
  logSink,
  type OutboxRecord,
  type Relay,
  type RelayOptions,
} from 'sluice/postgres';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { debianPostgres15, skipDebianPostgres15, usePostgres } from './support/postgres.js';

const text = (record: OutboxRecord) => Buffer.from(record.payload).toString();

describe.each([
  ['the embedded PostgreSQL', undefined, false],
  ["Debian's PostgreSQL 15", debianPostgres15, skipDebianPostgres15],
])('on %s', (_name, binDir, skip) => {
  describe.skipIf(skip)('the outbox', () => {
    const postgres = usePostgres(binDir === undefined ? {} : { binDir });
    let connectionString: string;
    let pool: pg.Pool;
    let outbox = createOutbox();
    const relays: Relay[] = [];
    let got: OutboxRecord[] = [];

    beforeAll(async () => {
      connectionString = await postgres.freshDatabase();
    });
    beforeEach(async () => {
      pool = new pg.Pool({ connectionString, max: 10 });
      pool.on('error', () => {});
      await pool.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
      got = [];
      outbox = createOutbox({ shards: 4 });
      await outbox.migrate(pool);
    });
    afterEach(async () => {
      await Promise.all(relays.splice(0).map((relay) => relay.close({ deadlineMs: 0 })));
      await pool.end();
    });

    const collector: Sink<OutboxRecord> = { atomic: true, idempotent: true, write: (records) => void got.push(...records) };

    function relay(options: Partial<RelayOptions> = {}): Relay {
      const made = createRelay({
        outbox,
        sink: collector,
        ...(options.connectionString === undefined ? { pool } : {}),
        pollMs: 60_000,
        leaseMs: 600,
        retry: { baseMs: 5, maxDelayMs: 20 },
        ...options,
      });
      relays.push(made);
      return made;
    }

    async function transaction(work: (client: pg.PoolClient) => Promise<unknown>, end = 'COMMIT'): Promise<void> {
      const client = await pool.connect();
      await client.query('BEGIN');
      await work(client);
      await client.query(end);
      client.release();
    }

    const enqueue = (payload: string, key?: string) =>
      transaction((client) => outbox.enqueue(client, { payload, ...(key === undefined ? {} : { key }) }));

    const delivered = (...payloads: string[]) => vi.waitFor(() => expect(got.map(text)).toEqual(payloads), 10_000);
    const deliveredCount = (count: number) => vi.waitFor(() => expect(got).toHaveLength(count), 20_000);
    const lag = () => outbox.lag(pool);

    /** The server processes of relays, as the server sees them. */
    async function sessions(): Promise<number[]> {
      const { rows } = await pool.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'sluice relay' AND datname = current_database()`,
      );
      return rows.map(({ pid }) => pid);
    }

    test('R-124: what is rolled back has never been; what commits is delivered as it was, with its id', async () => {
      relay();
      await transaction((client) => outbox.enqueue(client, { payload: 'never' }), 'ROLLBACK');
      await transaction(async (client) => {
        const ids = await outbox.enqueue(client, [
          { id: 'a', stream: 's', tenant: 't', key: 'k', time: '2026-01-01T00:00:00Z', payload: { n: 1 } },
          { payload: Buffer.from([0, 255]) },
        ]);
        expect(ids).toEqual(['a', expect.stringMatching(/^[0-9a-f-]{36}$/)]);
      });
      await deliveredCount(2);
      const [a, bytes] = [...got].sort((one, other) => Number(one.seq) - Number(other.seq));
      expect(a).toMatchObject({ id: 'a', stream: 's', tenant: 't', key: 'k', time: '2026-01-01T00:00:00Z' });
      expect(text(a!)).toBe('{"n":1}');
      expect(Math.abs(a!.createdAt - Date.now())).toBeLessThan(60_000);
      expect(bytes).toMatchObject({ stream: 'events', tenant: '_', key: undefined, time: undefined });
      expect([...bytes!.payload]).toEqual([0, 255]);
    });

    test('R-124: what was committed before there was a relay is delivered by the first one', async () => {
      await enqueue('early');
      expect(await lag()).toMatchObject({ items: 1, oldestMs: expect.any(Number) });
      relay();
      await delivered('early');
      await vi.waitFor(async () => expect(await lag()).toEqual({ items: 0, hasMore: false, oldestMs: 0 }), 10_000);
    });

    describe('while a transaction stays open and later ones commit', () => {
      async function scenario(read: () => Promise<unknown>): Promise<void> {
        const slow = await pool.connect();
        await slow.query('BEGIN');
        await outbox.enqueue(slow, { payload: 'slow', key: 'a' });
        await enqueue('fast 1', 'b');
        await read();
        await enqueue('fast 2', 'b');
        await read();
        await slow.query('COMMIT');
        slow.release();
        await enqueue('last', 'b');
        await read();
      }

      test('R-124: none is skipped, and the others are not held up by it', async () => {
        const running = relay();
        const seen: string[][] = [];
        await scenario(async () => {
          running.wake();
          const before = seen.length;
          await vi.waitFor(() => expect(got.length).toBeGreaterThan(before), 10_000);
          if (before === 2) await deliveredCount(4);
          seen.push(got.map(text).sort());
        });
        expect(seen).toEqual([['fast 1'], ['fast 1', 'fast 2'], ['fast 1', 'fast 2', 'last', 'slow']]);
      });

      test('a cursor on the sequence loses the event of that transaction (canary)', async () => {
        let after = 0;
        const found: string[] = [];
        await scenario(async () => {
          const { rows } = await pool.query('SELECT seq::int, payload FROM outbox WHERE seq > $1 ORDER BY seq', [after]);
          for (const row of rows) {
            after = row.seq;
            found.push(row.payload.toString());
          }
        });
        expect(found.sort()).toEqual(['fast 1', 'fast 2', 'last']);
      });
    });

    test('the order of a key is that of its commits, though the later transaction is older and another one stays open', async () => {
      relay();
      await pool.query('CREATE TABLE account (id int); INSERT INTO account VALUES (1)');
      const [older, bystander] = [await pool.connect(), await pool.connect()];
      await older.query('BEGIN');
      await older.query('SELECT pg_current_xact_id()');
      await bystander.query('BEGIN');
      await bystander.query('SELECT pg_current_xact_id()');
      await transaction(async (client) => {
        await client.query('SELECT FROM account FOR UPDATE');
        await outbox.enqueue(client, { key: '1', payload: 'first' });
      });
      // Its transaction number is smaller than the first one's, and that of the bystander lies between.
      await older.query('SELECT FROM account FOR UPDATE');
      await outbox.enqueue(older, { key: '1', payload: 'second' });
      await older.query('COMMIT');
      await delivered('first', 'second');
      await bystander.query('COMMIT');
      older.release();
      bystander.release();
    });

    test('random transactions of many keys, some rolled back, some slow: each event that commits once, each key in order', async () => {
      await pool.query(
        'CREATE TABLE account (id int PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO account SELECT generate_series(0, 5)',
      );
      const all = [relay({ maxItems: 3 }), relay({ maxItems: 7 }), relay({ maxBytes: 1 })];
      const committed = new Map<number, number>();
      const writers = Array.from({ length: 6 }, async (_, writer) => {
        for (let i = 0; i < 40; i++) {
          const account = (writer * 7 + i * 5) % 6;
          const rollback = (writer + i) % 4 === 0;
          await transaction(
            async (client) => {
              // Half of the transactions have their number before they wait for the account.
              if (i % 2 === 0) await client.query('SELECT pg_current_xact_id()');
              const { rows } = await client.query('UPDATE account SET n = n + 1 WHERE id = $1 RETURNING n', [account]);
              await outbox.enqueue(client, { key: `${account}`, payload: `${rows[0].n}` });
            },
            rollback ? 'ROLLBACK' : 'COMMIT',
          );
          if (!rollback) committed.set(account, (committed.get(account) ?? 0) + 1);
        }
      });
      await Promise.all(writers);
      const total = [...committed.values()].reduce((sum, n) => sum + n, 0);
      await deliveredCount(total);
      for (const [account, count] of committed) {
        const numbers = got.filter(({ key }) => key === `${account}`).map((record) => Number(text(record)));
        expect(numbers).toEqual(Array.from({ length: count }, (_, i) => i + 1));
      }
      // Counted once the cursor has moved, which is after the sink has them.
      await expect.poll(() => all.reduce((sum, { stats }) => sum + stats().delivered, 0)).toBe(total);
      expect((await lag()).items).toBe(0);
    });

    test('a backlog goes through in pages, in order, within the bounds of items and bytes', async () => {
      const sizes: number[] = [];
      await transaction(async (client) => {
        for (let i = 0; i < 500; i += 100)
          await outbox.enqueue(
            client,
            Array.from({ length: 100 }, (_, k) => ({ key: `${k % 7}`, payload: `${i + k}`.padStart(100) })),
          ); // prettier-ignore
      });
      relay({
        maxItems: 40,
        maxBytes: 2_000,
        sink: {
          ...collector,
          write: (records) => {
            sizes.push(records.length);
            got.push(...records);
          },
        },
      });
      await deliveredCount(500);
      for (let key = 0; key < 7; key++) {
        const numbers = got.filter((record) => record.key === `${key}`).map((record) => Number(text(record)));
        expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      }
      // Two reads a page: what a round has left, and what is new.
      expect(Math.max(...sizes)).toBeLessThanOrEqual(40);
    });

    describe('the lag', () => {
      /** Row by row, by its definition. */
      const left = async () => {
        const { rows } = await pool.query<{ items: number; rounds: number }>(
          `SELECT count(*) FILTER (WHERE NOT pg_visible_in_snapshot(o.xact, s.delivered)
            AND (s.upto IS NULL OR o.seq > s.after_seq OR NOT pg_visible_in_snapshot(o.xact, s.upto)))::int AS items,
          (SELECT count(*)::int FROM outbox_shards WHERE upto IS NOT NULL) AS rounds FROM outbox_shards s JOIN outbox o USING (shard)`,
        );
        return rows[0]!;
      };
      const events = (count: number) => Array.from({ length: count }, (_, n) => ({ payload: String(n) }));

      test('is what is left, in the middle of a round too, and of what came late for it', async () => {
        const slow = await pool.connect();
        await slow.query('BEGIN');
        await outbox.enqueue(slow, events(7));
        await transaction((client) => outbox.enqueue(client, events(100)));
        expect(await lag()).toMatchObject({ items: 100, hasMore: false });
        let pages = 0;
        const hangs = () => (++pages > 4 ? new Promise<void>(() => {}) : undefined);
        relay({ maxItems: 8, sink: { ...collector, write: hangs } });
        await vi.waitFor(() => expect(pages).toBe(5), 20_000);
        // Its cursors move when the page before has been written.
        await vi.waitFor(async () => expect((await left()).items).toBeLessThan(100), 20_000);
        const begun = await left();
        expect(begun.rounds).toBeGreaterThan(0);
        expect(await lag()).toMatchObject({ items: begun.items, hasMore: false });
        await slow.query('COMMIT');
        slow.release();
        await pool.query("INSERT INTO outbox (seq, payload) SELECT -n, 'x' FROM generate_series(1, 9) n");
        expect(await left()).toMatchObject({ items: begun.items + 16, rounds: begun.rounds });
        expect(await lag()).toMatchObject({ items: begun.items + 16, hasMore: false });
        expect(await outbox.lag(pool, { maxItems: 1_000 })).toMatchObject({ items: begun.items + 16, hasMore: false });
        const some = await outbox.lag(pool, { maxItems: 10 });
        expect(some.hasMore).toBe(true);
        expect(some.items).toBeLessThanOrEqual(10);
      });

      test('is not silent in the middle of a round where what is left is behind what earlier rounds have delivered', async () => {
        const keyed = (count: number) => events(count).map((event) => ({ ...event, key: 'one shard' }));
        const slow = await pool.connect();
        await slow.query('BEGIN');
        await outbox.enqueue(slow, keyed(2));
        await transaction((client) => outbox.enqueue(client, keyed(300)));
        const first = relay();
        await deliveredCount(300);
        await first.close();
        await outbox.enqueue(slow, keyed(38));
        await slow.query('COMMIT');
        slow.release();
        let pages = 0;
        const hangs = () => (++pages > 1 ? new Promise<void>(() => {}) : undefined);
        relay({ maxItems: 8, sink: { ...collector, write: hangs } });
        // A page has two of each shard: the cursor is behind the first two, and before those that the first relay has delivered.
        await vi.waitFor(async () => expect(await left()).toEqual({ items: 38, rounds: 1 }), 20_000);
        const bounded = await outbox.lag(pool, { maxItems: 20 });
        expect(bounded.hasMore).toBe(true);
        expect(bounded.items).toBeGreaterThanOrEqual(1);
        expect(bounded.oldestMs).toBeGreaterThan(0);
      });

      test('is counted no further than asked, and knows how old the oldest is all the same, whichever shard has it', async () => {
        const day = 86_400_000;
        for (let shard = -1; shard !== 3; ) {
          await pool.query('TRUNCATE outbox');
          const { rows } = await pool.query<{ shard: number }>(
            "INSERT INTO outbox (payload, created_at) VALUES ('old', clock_timestamp() - interval '1 day') RETURNING shard",
          );
          shard = rows[0]!.shard;
        }
        await transaction((client) => outbox.enqueue(client, events(200)));
        const bounded = await outbox.lag(pool, { maxItems: 20 });
        expect(bounded).toMatchObject({ items: 20, hasMore: true });
        expect(bounded.oldestMs).toBeGreaterThanOrEqual(day);
        const whole = await outbox.lag(pool, { maxItems: 201 });
        expect(whole).toMatchObject({ items: 201, hasMore: false });
        expect(whole.oldestMs).toBeGreaterThanOrEqual(day);
        await expect(outbox.lag(pool, { maxItems: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
      });
    });

    test('an event larger than the bound goes alone', async () => {
      relay({ maxBytes: 1_000 });
      await transaction((client) =>
        outbox.enqueue(
          client,
          ['a', 'b', 'c'].map((letter) => ({ key: 'k', payload: letter.repeat(50_000) })),
        ),
      );
      await deliveredCount(3);
      expect(got.map((record) => text(record)[0])).toEqual(['a', 'b', 'c']);
    });

    describe('waking', () => {
      test('it is told of a commit: no poll is needed', async () => {
        const running = relay();
        await vi.waitFor(() => expect(running.stats()).toMatchObject({ listening: true, shards: [0, 1, 2, 3] }), 10_000);
        const before = performance.now();
        await enqueue('told');
        await delivered('told');
        expect(performance.now() - before).toBeLessThan(10_000);
      });

      test('without NOTIFY it polls', async () => {
        outbox = createOutbox({ shards: 4, notify: false });
        relay({ pollMs: 20 });
        await vi.waitFor(() => expect(relays[0]!.stats().shards).toHaveLength(4), 10_000);
        await enqueue('found');
        await delivered('found');
      });

      test('a lost connection is opened again and listened on; nothing is delivered twice', async () => {
        let release = () => {};
        const held = new Promise<void>((resolve) => {
          release = resolve;
        });
        const running = relay({
          sink: {
            ...collector,
            async write(records) {
              got.push(...records);
              if (text(records[0]!) === 'during') await held;
            },
          },
        });
        await enqueue('before');
        await delivered('before');
        await enqueue('during');
        await delivered('before', 'during');
        const old = await sessions();
        expect(old).toHaveLength(2);
        await pool.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid', [old]);
        release();
        await vi.waitFor(async () => {
          expect(running.stats()).toMatchObject({ listening: true, problem: undefined, delivered: 2 });
          expect((await sessions()).filter((pid) => old.includes(pid))).toEqual([]);
        }, 10_000);
        await enqueue('after');
        await delivered('before', 'during', 'after');
      });
    });

    describe('several relays', () => {
      const ownedBy = () => relays.map((one) => one.stats().shards);

      test('share the shards evenly, and one that ends hands over at once', async () => {
        relay();
        await vi.waitFor(() => expect(ownedBy()).toEqual([[0, 1, 2, 3]]), 10_000);
        relay();
        await vi.waitFor(() => expect(ownedBy().map((shards) => shards.length)).toEqual([2, 2]), 10_000);
        expect(ownedBy().flat().sort()).toEqual([0, 1, 2, 3]);
        await relays[0]!.close();
        expect(relays[0]!.stats()).toMatchObject({ state: 'closed', shards: [] });
        await vi.waitFor(() => expect(ownedBy()).toEqual([[], [0, 1, 2, 3]]), 10_000);
      });

      test('what a relay that lost its lease writes down is refused: its successor delivers the events', async () => {
        let release = () => {};
        const held = new Promise<void>((resolve) => {
          release = resolve;
        });
        const stuck = relay({ leaseMs: 60_000, sink: { ...collector, write: () => held } });
        await enqueue('one', 'k');
        await vi.waitFor(() => expect(stuck.stats().held).toBe(1), 10_000);
        // As if it had slept through its lease.
        await pool.query("UPDATE outbox_shards SET until = now() - interval '1 s'; DELETE FROM outbox_relays");
        const successor = relay({ leaseMs: 60_000 });
        await delivered('one');
        await vi.waitFor(async () => expect((await lag()).items).toBe(0), 10_000);
        const { rows } = await pool.query('SELECT shard, epoch, delivered::text, after_seq FROM outbox_shards ORDER BY shard');
        release();
        await vi.waitFor(() => expect(stuck.stats().held).toBe(0), 10_000);
        expect(
          (await pool.query('SELECT shard, epoch, delivered::text, after_seq FROM outbox_shards ORDER BY shard')).rows,
        ).toEqual(rows);
        await enqueue('two', 'k');
        await delivered('one', 'two');
        // It counts what it has written down, which is a moment after the sink has it.
        await vi.waitFor(() => expect(successor.stats().delivered).toBe(2), 10_000);
      });
    });

    describe('failures of the sink', () => {
      test('a transient one is tried again until it succeeds, in order, and is shown meanwhile', async () => {
        let down = true;
        const running = relay({
          sink: {
            ...collector,
            async write(records) {
              if (down) throw failure('down', { code: 'DOWN', class: 'transient' });
              got.push(...records);
            },
          },
        });
        for (const payload of ['1', '2', '3']) await enqueue(payload, 'k');
        await vi.waitFor(() => expect(running.stats().problem).toMatchObject({ where: 'sink', code: 'DOWN' }));
        down = false;
        await delivered('1', '2', '3');
        await vi.waitFor(() => expect(running.stats().problem).toBeUndefined());
      });

      test('what is refused for good becomes a dead letter beside the others, and can be sent again', async () => {
        let strict = true;
        const running = relay({
          sink: {
            ...collector,
            async write(records) {
              if (strict && records.some((record) => text(record) === 'bad'))
                throw failure('no \0', { code: 'BAD', class: 'permanent' });
              got.push(...records);
            },
          },
        });
        await transaction((client) =>
          outbox.enqueue(
            client,
            ['1', 'bad', '2'].map((payload) => ({ id: `id-${payload}`, key: 'k', payload })),
          ),
        );
        await delivered('1', '2');
        await vi.waitFor(() => expect(running.stats()).toMatchObject({ dead: 1, delivered: 2 }));
        const [letter, ...others] = await outbox.deadLetters(pool);
        expect(others).toEqual([]);
        expect(letter).toMatchObject({
          id: 'id-bad',
          key: 'k',
          stream: 'events',
          code: 'BAD',
          class: 'permanent',
          message: 'no ',
        });
        expect(Buffer.from(letter!.payload).toString()).toBe('bad');
        expect(letter!.attempts).toBeGreaterThanOrEqual(1);
        expect(letter!.lastFailedAt).toBeGreaterThanOrEqual(letter!.firstFailedAt);
        strict = false;
        expect(await outbox.redrive(pool, { code: 'OTHER' })).toBe(0);
        expect(await outbox.redrive(pool, { ids: ['id-bad'] })).toBe(1);
        await delivered('1', '2', 'bad');
        expect(got[2]!.id).toBe('id-bad');
        expect(await outbox.deadLetters(pool)).toEqual([]);
      });

      test('a sink that fails in part cannot change the order of a key', async () => {
        const failed = new Set<string>();
        relay({
          sink: {
            idempotent: true,
            write: (records) =>
              records.map((record) => {
                // Each second event fails once.
                if (Number(text(record)) % 2 === 0 && !failed.has(record.id)) {
                  failed.add(record.id);
                  return failure('once', { class: 'transient' });
                }
                got.push(record);
                return undefined;
              }) as (Error | undefined)[] as readonly (void | Error)[],
          },
        });
        await transaction((client) =>
          outbox.enqueue(
            client,
            Array.from({ length: 30 }, (_, i) => ({ key: `${i % 3}`, payload: `${i}` })),
          ),
        );
        await deliveredCount(30);
        for (const key of ['0', '1', '2']) {
          const numbers = got.filter((record) => record.key === key).map((record) => Number(text(record)));
          expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
        }
      });

      test('a close does not wait for a sink that hangs, and the events stay', async () => {
        const running = relay({ sink: { write: () => new Promise(() => {}) } });
        await enqueue('kept');
        await vi.waitFor(() => expect(running.stats().held).toBe(1), 10_000);
        expect(await running.close({ deadlineMs: 50 })).toEqual({ delivered: 0, dead: 0, cutOff: 1 });
        expect((await lag()).items).toBe(1);
        relay();
        await delivered('kept');
      });
    });

    test('into a log: each event is in it once, though it is delivered twice', async () => {
      const log = createMemoryLog();
      const running = relay({ sink: logSink(log), pollMs: 20 });
      await transaction((client) =>
        outbox.enqueue(client, [
          { id: 'a', stream: 'orders', key: 'k', payload: 'a' },
          { id: 'b', stream: 'orders', key: 'k', payload: 'b' },
        ]),
      );
      await vi.waitFor(() => expect(running.stats().delivered).toBe(2));
      await running.close();
      // As if it had died before it could write down what it delivered.
      await pool.query("UPDATE outbox_shards SET delivered = '1:1:', upto = NULL, after_seq = NULL");
      const second = relay({ sink: logSink(log), pollMs: 20 });
      await vi.waitFor(() => expect(second.stats().delivered).toBe(2));
      const records = await log.read('orders', 0, 0, { maxItems: 10, maxBytes: 1_000 });
      expect(records.map(({ id, payload }) => [id, Buffer.from(payload).toString()])).toEqual([
        ['a', 'a'],
        ['b', 'b'],
      ]);
      await log.close();
    });

    test('through a batcher: each event gets its own outcome', async () => {
      const written: string[] = [];
      await using batcher = createBatcher<OutboxRecord>({
        maxItems: 10,
        window: { maxDelayMs: 5 },
        orderBy: (event) => event.key ?? event.id,
        sink: {
          atomic: true,
          write: (records) =>
            records.map((record) => {
              if (text(record) === 'bad') return failure('bad', { code: 'BAD' });
              written.push(text(record));
              return undefined;
            }) as readonly (void | Error)[],
        },
      });
      relay({ sink: batcherSink(batcher) });
      await transaction((client) =>
        outbox.enqueue(
          client,
          ['1', 'bad', '2'].map((payload) => ({ key: 'k', payload })),
        ),
      ); // prettier-ignore
      await vi.waitFor(async () => expect((await outbox.deadLetters(pool)).map(({ code }) => code)).toEqual(['BAD']), 10_000);
      await vi.waitFor(() => expect(written).toEqual(['1', '2']), 10_000);
    });

    describe('partitions', () => {
      const partitions = async () =>
        (
          await pool.query<{ name: string }>(
            `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'outbox'::regclass ORDER BY 1`,
          )
        ).rows.map(({ name }) => name);

      test('are dropped once they are over and delivered, never before; no row is deleted one by one', async () => {
        await pool.query('DROP TABLE outbox CASCADE; DROP TABLE outbox_shards');
        outbox = createOutbox({ shards: 4, partitionMs: 1_000 });
        await outbox.migrate(pool);
        await enqueue('1');
        const [oldest] = await partitions();
        // Two seconds on, nobody has delivered it: it stays.
        await vi.waitFor(
          async () =>
            expect(
              (await pool.query("SELECT WHERE now() > (SELECT min(created_at) FROM outbox) + interval '2 s'")).rowCount,
            ).toBe(1),
          10_000,
        ); // prettier-ignore
        await outbox.migrate(pool);
        expect(await partitions()).toContain(oldest);
        relay({ pollMs: 50, leaseMs: 300 });
        await delivered('1');
        await vi.waitFor(async () => expect(await partitions()).not.toContain(oldest), 10_000);
        const { rows } = await pool.query(
          "SELECT coalesce(sum(n_tup_del), 0)::int AS n FROM pg_stat_user_tables WHERE relname ~ '^outbox(_[0-9]|_rest|$)'",
        ); // prettier-ignore
        expect(rows).toEqual([{ n: 0 }]);
      });

      test('where time has outrun them the rest takes the events, and is emptied once they are delivered', async () => {
        for (const name of await partitions()) if (name !== 'outbox_rest') await pool.query(`DROP TABLE ${name}`);
        await enqueue('late');
        expect((await pool.query('SELECT FROM outbox_rest')).rowCount).toBe(1);
        await outbox.migrate(pool);
        expect((await pool.query('SELECT FROM outbox_rest')).rowCount).toBe(1);
        relay({ pollMs: 20, leaseMs: 150 });
        await delivered('late');
        await vi.waitFor(async () => {
          await outbox.migrate(pool);
          expect((await pool.query('SELECT FROM outbox_rest')).rowCount).toBe(0);
        }, 10_000);
        await enqueue('next');
        await delivered('late', 'next');
      });

      test('one that an open transaction has a row in is not dropped, and nobody waits for long', async () => {
        await pool.query('DROP TABLE outbox CASCADE; DROP TABLE outbox_shards');
        outbox = createOutbox({ shards: 4, partitionMs: 1_000 });
        await outbox.migrate(pool);
        const slow = await pool.connect();
        await slow.query('BEGIN');
        await outbox.enqueue(slow, { payload: 'slow' });
        const { rows } = await slow.query<{ name: string }>('SELECT tableoid::regclass::text AS name FROM outbox');
        relay({ pollMs: 50, leaseMs: 300 });
        await vi.waitFor(
          async () =>
            expect(
              (
                await pool.query('SELECT WHERE clock_timestamp() > $1::timestamptz', [
                  (await slow.query("SELECT now() + interval '2500 ms' AS at")).rows[0].at,
                ])
              ).rowCount,
            ).toBe(1),
          10_000,
        ); // prettier-ignore
        expect(await partitions()).toContain(rows[0]!.name);
        await slow.query('COMMIT');
        slow.release();
        await delivered('slow');
      });
    });

    test('any client of the database can enqueue with an INSERT', async () => {
      relay();
      await pool.query(`INSERT INTO outbox (key, payload) VALUES ('k', convert_to('from SQL', 'UTF8')); NOTIFY sluice_outbox`);
      await delivered('from SQL');
    });

    test.each([
      ['an empty id', { id: '', payload: 1 }, 'INVALID_VALUE'],
      ['an id of 513 bytes', { id: 'x'.repeat(513), payload: 1 }, 'INVALID_VALUE'],
      ['NUL in a key', { key: 'a\0', payload: 1 }, 'INVALID_VALUE'],
      ['half a character', { key: '\ud800', payload: 1 }, 'INVALID_VALUE'],
      ['no payload', { payload: undefined }, 'INVALID_VALUE'],
      ['a payload that JSON cannot write', { payload: 1n }, 'INVALID_VALUE'],
      ['a misspelt member', { payload: 1, steam: 's' } as { payload: number }, 'INVALID_OPTION'],
    ])('%s is refused, and the transaction can go on', async (_what, event, code) => {
      relay();
      await transaction(async (client) => {
        await expect(outbox.enqueue(client, [{ payload: 'good' }, event])).rejects.toMatchObject({ code, class: 'rejected' });
        await outbox.enqueue(client, { payload: 'other' });
      });
      await delivered('other');
    });

    test('a pool is refused: its next statement may run on another connection', async () => {
      await expect(outbox.enqueue(pool, { payload: 1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    });

    test('several may migrate at once, and again; another number of shards is refused', async () => {
      await pool.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA other');
      const there = createOutbox({ table: 'other.box', shards: 4 });
      await Promise.all([1, 2, 3, 4].map(() => there.migrate(pool)));
      await there.migrate(pool);
      await expect(createOutbox({ table: 'other.box', shards: 5 }).migrate(pool)).rejects.toMatchObject({
        code: 'INVALID_OPTION',
      });
      outbox = there;
      relay();
      await enqueue('there');
      await delivered('there');
      await pool.query('DROP SCHEMA other CASCADE');
    });

    test('after a restore from a dump the relay says so, and migrate has everything delivered again', async () => {
      await enqueue('1');
      await pool.query(
        "UPDATE outbox SET xact = '900000000000'; UPDATE outbox_shards SET delivered = '900000000001:900000000001:'",
      );
      const running = relay({ pollMs: 20 });
      await vi.waitFor(() => expect(running.stats().problem).toMatchObject({ code: 'OUTBOX_RESTORED', class: 'blocked' }));
      await outbox.migrate(pool);
      await delivered('1');
    });
  });
});
