/** The ledger of `sluice/postgres` against real servers: each record is in the table once, whoever delivers it, however often. */

import { connect, createServer, type Server, type Socket } from 'node:net';
import pg from 'pg';
import type { SluiceError } from 'sluice';
import { createConsumer, createMemoryLog, type LogRecord } from 'sluice/log';
import { type LedgerRecord, type LedgerSink, type LedgerSinkOptions, ledgerSink } from 'sluice/postgres';
import { seededRandom } from 'sluice/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { debianPostgres15, skipDebianPostgres15, usePostgres } from './support/postgres.js';

interface Row extends LedgerRecord {
  readonly text: string;
}

const copyDone = Buffer.from([0x63, 0, 0, 0, 4]);

const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000);

describe.each([
  ['the embedded PostgreSQL', undefined, false],
  ["Debian's PostgreSQL 15", debianPostgres15, skipDebianPostgres15],
])('on %s', (_name, binDir, skip) => {
  describe.skipIf(skip)('the ledger', () => {
    const postgres = usePostgres(binDir === undefined ? {} : { binDir });
    let connectionString: string;
    let pool: pg.Pool;
    let sinks: LedgerSink<Row>[] = [];

    beforeAll(async () => {
      connectionString = await postgres.freshDatabase();
    });
    beforeEach(async () => {
      pool = new pg.Pool({ connectionString, max: 12 });
      pool.on('error', () => {});
      // No key: what is written twice is there twice.
      await pool.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE events (n int, text text)');
    });
    afterEach(async () => {
      await Promise.all(sinks.splice(0).map((sink) => sink.close()));
      await pool.end();
    });

    function sinkOf(
      ledger: Partial<LedgerSinkOptions<Row>['ledger']> = {},
      options: Partial<LedgerSinkOptions<Row>> = {},
    ): LedgerSink<Row> {
      const sink = ledgerSink<Row>({
        ...(options.connectionString === undefined ? { pool } : {}),
        table: 'events',
        columns: { n: { type: 'int', value: (row) => row.offset }, text: { type: 'text', value: (row) => row.text } },
        ledger: { source: 'log 1', group: 'g', ...ledger },
        ...options,
      });
      sinks.push(sink);
      return sink;
    }

    const row = (offset: number, text = `row ${offset}`): Row => ({ stream: 's', partition: 0, offset, text });
    const rows = (first: number, last: number): Row[] => Array.from({ length: last - first + 1 }, (_, i) => row(first + i));

    function write(
      sink: LedgerSink<Row>,
      items: readonly Row[],
      { signal = new AbortController().signal, epoch = undefined as number | undefined } = {},
    ) {
      const entries = items.map((value) => ({ value, epoch }));
      return sink.write(items, {
        signal,
        deadlineAt: Number.POSITIVE_INFINITY,
        attempt: 1,
        idempotent: true,
        batchId: 'b',
        lane: '',
        entries: entries as never,
      });
    }

    /** A log that says so. */
    function logAt(place: { epoch: number; cursor: number; end: number }) {
      const log = {
        place,
        id: 'log 1',
        flushed: async () => {},
        groups: async () => [
          {
            ...log.place,
            group: 'g',
            stream: 's',
            partition: 0,
            rangesAbove: 0,
            settledAbove: 0,
            owned: true,
            expired: 0,
            skipped: 0,
          },
        ],
        streams: async () => [{ stream: 's', partition: 0, firstOffset: 0, nextOffset: log.place.end, bytes: 0, oldestAt: null }],
      };
      return log;
    }

    async function stored(): Promise<number[]> {
      return (await pool.query<{ n: number }>('SELECT n FROM events ORDER BY n')).rows.map(({ n }) => n);
    }

    async function ledger(): Promise<[number, number][]> {
      const { rows: found } = await pool.query('SELECT first::int, last::int FROM sluice_ledger_view ORDER BY 1');
      return found.map(({ first, last }) => [first, last]);
    }

    const numbers = (first: number, last: number) => rows(first, last).map(({ offset }) => offset);

    test('what was written is skipped, by this sink and by any later one; the rest of the batch is written', async () => {
      await write(sinkOf(), rows(0, 9));
      const next = sinkOf();
      await write(next, rows(5, 14));
      await write(next, rows(0, 14));
      expect(await stored()).toEqual(numbers(0, 14));
      expect(next.stats()).toMatchObject({ skipped: 20 });
      expect(await ledger()).toEqual([
        [0, 9],
        [10, 14],
      ]); // prettier-ignore
    });

    test('a comment at the end of what the user commits with does not swallow the note', async () => {
      const options = { commitWith: () => "INSERT INTO events VALUES (-1, 'mine') -- beside the rows" };
      await write(sinkOf({}, options), rows(0, 2));
      await write(sinkOf(), rows(0, 3));
      expect((await pool.query('SELECT n FROM events ORDER BY n')).rows.map(({ n }) => n)).toEqual([-1, 0, 1, 2, 3]);
    });

    test('exactly the ranges of the ledger are skipped: gaps are written', async () => {
      await write(sinkOf(), [row(1), row(2), row(5), row(9)]);
      await write(sinkOf(), rows(0, 10));
      expect(await stored()).toEqual(numbers(0, 10));
    });

    test('partitions, streams, groups and logs have ranges of their own', async () => {
      const first = sinkOf();
      await write(first, rows(0, 2));
      await write(first, [{ ...row(0), partition: 1 }, { ...row(0), stream: 'other' }, row(3)]);
      await write(sinkOf({ group: 'other' }), [row(0)]);
      await write(sinkOf({ source: 'log 2' }), [row(0)]);
      expect(await stored()).toEqual([0, 0, 0, 0, 0, 1, 2, 3]);
    });

    test('a row that is refused is not settled: it is refused again after a crash, and written once it can be', async () => {
      const bad = row(1, 'NUL \0');
      const answer = await write(sinkOf(), [row(0), bad, row(2)]);
      expect(answer).toMatchObject([undefined, { code: 'INVALID_VALUE' }, undefined]);
      expect(await ledger()).toEqual([
        [0, 0],
        [2, 2],
      ]); // prettier-ignore
      const next = sinkOf();
      expect(await write(next, [row(0), bad, row(2)])).toMatchObject([undefined, { code: 'INVALID_VALUE' }, undefined]);
      await write(next, [row(1)]);
      expect(await stored()).toEqual([0, 1, 2]);
    });

    test('offsets that lie between those of other batches, as those of keys do, are one row of the ledger a batch', async () => {
      const sink = sinkOf();
      const every = (of: number) => rows(0, 79).filter(({ offset }) => offset % 8 === of);
      for (let of = 0; of < 7; of++) await write(sink, every(of));
      expect((await pool.query('SELECT FROM sluice_ledger')).rowCount).toBe(7);
      await write(sinkOf(), rows(0, 79));
      expect(await stored()).toEqual(numbers(0, 79));
      expect((await ledger()).length).toBe(80);
    });

    test('rows and ranges are one transaction: neither is there without the other', async () => {
      const failing = sinkOf({}, { beforeCommit: async (client) => void (await client.query('SELECT 1/0')) });
      await expect(write(failing, rows(0, 4))).rejects.toMatchObject({ code: 'PG_22012' });
      expect(await stored()).toEqual([]);
      expect(await ledger()).toEqual([]);
    });

    test('a ledger that cannot be written blocks the batch: no good row is blamed for it', async () => {
      const sink = sinkOf();
      await write(sink, rows(0, 4));
      await pool.query('ALTER TABLE sluice_ledger ADD CHECK (upper(span) - lower(span) < 5) NOT VALID');
      await expect(write(sink, rows(5, 9))).rejects.toMatchObject({ code: 'PG_23514', class: 'blocked' });
      expect(await stored()).toEqual(numbers(0, 4));
    });

    test('two that write the same offsets at once: the second waits, and finds them settled', async () => {
      // Under one epoch neither fences the other: this is what the constraint does alone.
      const [one, other] = [sinkOf(), sinkOf()];
      const both = { epoch: 5 };
      await Promise.all([
        write(one, rows(0, 50), both),
        write(other, rows(25, 75), both),
        write(one, rows(0, 75), both),
        write(other, rows(10, 20), both),
      ]);
      expect(await stored()).toEqual(numbers(0, 75));
    });

    test('whoever takes a partition over fences its predecessor, of its own accord or by the epoch of the log', async () => {
      const old = sinkOf();
      await write(old, rows(0, 4));
      const successor = sinkOf();
      await write(successor, rows(5, 9));
      await expect(write(old, rows(10, 14))).rejects.toMatchObject({ code: 'LEDGER_FENCED', class: 'blocked' });
      const late = sinkOf();
      await write(late, rows(10, 14), { epoch: 7 });
      await expect(write(successor, [row(15)])).rejects.toMatchObject({ code: 'LEDGER_FENCED' });
      await expect(write(late, [row(15)], { epoch: 6 })).rejects.toMatchObject({ code: 'LEDGER_FENCED' });
      await expect(write(sinkOf(), [row(15)], { epoch: 6 })).rejects.toMatchObject({ code: 'LEDGER_FENCED' });
      await write(late, rows(10, 15), { epoch: 8 });
      expect(await stored()).toEqual(numbers(0, 15));
    });

    test('a take-over waits for a commit under way, and then knows what it settled', async () => {
      let reached = () => {};
      const isReached = new Promise<void>((resolve) => {
        reached = resolve;
      });
      const old = sinkOf();
      await write(old, rows(0, 4));
      const { rows: heads } = await pool.query('SELECT id, epoch FROM sluice_ledger_heads');
      const underWay = await pool.connect();
      await underWay.query(
        `BEGIN; INSERT INTO events VALUES (5); SELECT pg_advisory_xact_lock_shared(${0x51_0c_e5}, ${heads[0].id})`,
      );
      await underWay.query(
        `INSERT INTO sluice_ledger SELECT ${heads[0].id}, ${heads[0].epoch}, int8multirange(int8range(n, n + 1)) FROM (SELECT (${heads[0].id}::bigint << 40) + 5 AS n) s`,
      );
      const successor = sinkOf();
      const taking = write(successor, rows(4, 6)).then(reached);
      await vi.waitFor(async () =>
        expect((await pool.query("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")).rowCount).toBe(1),
      );
      await underWay.query('COMMIT');
      underWay.release();
      await Promise.all([taking, isReached]);
      expect(await stored()).toEqual(numbers(0, 6));
    });

    describe('a connection that is lost during COMMIT', () => {
      let proxy: Server;
      let onCommit: 'pass' | 'deliver' | 'swallow' = 'pass';
      let through: string;

      beforeEach(async () => {
        const target = new URL(connectionString);
        const [port, host] = [Number(target.port), target.hostname];
        proxy = createServer((client) => {
          const server = connect(port, host);
          const end = () => {
            client.destroy();
            server.destroy();
          };
          for (const socket of [client, server] as Socket[]) socket.on('error', end).on('close', end);
          server.on('data', (data) => client.write(data));
          client.on('data', (data) => {
            // The end of a COPY that commits by itself is held back until the server has begun it: a packet of its own.
            if (onCommit === 'pass' || !data.subarray(-5).equals(copyDone)) return server.write(data);
            const delivered = onCommit === 'deliver';
            onCommit = 'pass';
            client.off('close', end);
            server.removeAllListeners('data');
            client.destroy();
            if (delivered) server.end(data);
            else server.destroy();
          });
        });
        await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
        target.port = `${(proxy.address() as { port: number }).port}`;
        through = target.href;
      });
      afterEach(() => new Promise((resolve) => proxy.close(resolve)));

      test.each([
        ['which took effect', 'deliver'],
        ['which never came to the server', 'swallow'],
      ] as const)('%s, is resolved by the ledger: the rows are there once', async (_what, fate) => {
        const sink = sinkOf({}, { connectionString: through });
        await write(sink, rows(0, 4));
        onCommit = fate;
        await write(sink, rows(5, 9)).catch(async (problem: SluiceError) => {
          // The ledger did not hold them yet: unknown still, so the consumer tries once more.
          expect(problem.class).toBe('unknown');
          await write(sink, rows(5, 9));
        });
        await write(sink, rows(5, 12));
        expect(await stored()).toEqual(numbers(0, 12));
        await vi.waitFor(async () =>
          expect((await pool.query("SELECT FROM pg_stat_activity WHERE state = 'idle in transaction'")).rowCount).toBe(0),
        );
        await sink.close();
        sinks = [];
      });
    });

    test('ranges are put together, and no gap stays that the log has settled under this claim', async () => {
      const log = logAt({ epoch: 1, cursor: 0, end: 1_000 });
      const under = { epoch: 1 };
      const sink = sinkOf({ mergeEvery: 4, log });
      for (const first of [0, 10, 20]) await write(sink, rows(first, first + 8), under);
      log.place = { epoch: 1, cursor: 20, end: 1_000 };
      await write(sink, rows(30, 39), under);
      await vi.waitFor(async () =>
        expect(await ledger()).toEqual([
          [0, 28],
          [30, 39],
        ]),
      ); // prettier-ignore
      const next = sinkOf();
      await write(next, rows(0, 40), { epoch: 2 });
      // 9 and 19 are dead letters of the log: it will not deliver them again.
      expect(await stored()).toEqual([...numbers(0, 40)].filter((n) => n !== 9 && n !== 19));
      expect(sink.stats().mergeProblem).toBeUndefined();
    });

    test('a sink that is closed closes up its last gaps', async () => {
      const log = logAt({ epoch: 1, cursor: 0, end: 1_000 });
      const sink = sinkOf({ log });
      await write(sink, [row(0), row(2), row(4)], { epoch: 1 });
      log.place = { epoch: 1, cursor: 5, end: 1_000 };
      await sink.close();
      expect(await ledger()).toEqual([[0, 4]]);
    });

    test('a group that is sought ahead and then back delivers what it had jumped over, and nothing twice', async () => {
      const log = logAt({ epoch: 1, cursor: 0, end: 1_000 });
      const sink = sinkOf({ mergeEvery: 1, log });
      await write(sink, rows(0, 9), { epoch: 1 });
      // The seek has taken place, and what was under way comes in: it is merged with the cursor of the seek.
      log.place = { epoch: 2, cursor: 500, end: 1_000 };
      await write(sink, rows(10, 19), { epoch: 1 });
      log.place = { epoch: 3, cursor: 500, end: 1_000 };
      await write(sink, rows(500, 509), { epoch: 3 });
      log.place = { epoch: 3, cursor: 511, end: 1_000 };
      await write(sink, rows(511, 519), { epoch: 3 });
      // 510 is a dead letter. Whether the rows that were written meanwhile are in the same range is a matter of moments.
      await vi.waitFor(async () => expect((await ledger()).find(([first]) => first === 500)![1]).toBeGreaterThan(509));
      log.place = { epoch: 5, cursor: 0, end: 1_000 };
      await write(sink, rows(0, 519), { epoch: 5 });
      expect(await stored()).toEqual([...numbers(0, 509), ...numbers(511, 519)]);
    });

    test('in a log: exactly what a seek has jumped over is written when the group is sought back (R-125)', async () => {
      await pool.query('ALTER TABLE events ADD CHECK (n % 10 <> 3)');
      const log = createMemoryLog();
      await log.defineStream('s', { retention: { maxAgeMs: 3_600_000 } });
      await log.append(
        's',
        Array.from({ length: 60 }, (_, i) => ({
          ...{ id: `${i}`, tenant: '_', time: null, receivedAt: 1 },
          payload: Buffer.from(''),
        })),
      );
      const sink = ledgerSink<LogRecord>({
        ...{ pool, table: 'events', columns: { n: ({ offset }) => offset } },
        ledger: { log, group: 'g', mergeEvery: 1 },
      });
      const consumer = await createConsumer({ log, stream: 's', group: 'g', sink, maxItems: 4, window: { maxDelayMs: 1 } });
      const isSettled = () => vi.waitFor(async () => expect((await log.lag('g', 's'))[0]!.items).toBe(0), 20_000);
      await isSettled();
      await consumer.seek({ offset: 20 }, 0);
      await isSettled();
      const more = Array.from({ length: 40 }, (_, i) => ({
        id: `m${i}`,
        tenant: '_',
        time: null,
        receivedAt: 1,
        payload: Buffer.from(''),
      }));
      await log.append('s', more.slice(0, 10));
      await isSettled();
      await consumer.pause();
      await log.append('s', more.slice(10, 30));
      await consumer.seek('end', 0);
      await consumer.resume();
      await log.append('s', more.slice(30));
      await isSettled();
      const good = (n: number) => n % 10 !== 3;
      expect(await stored()).toEqual([...numbers(0, 69), ...numbers(90, 99)].filter(good));
      await consumer.seek('start', 0);
      await isSettled();
      await consumer.drain({ deadlineMs: 20_000 });
      await sink.close();
      await log.close();
      expect(await stored()).toEqual(numbers(0, 99).filter(good));
      expect(sink.stats().mergeProblem).toBeUndefined();
    });

    test('in a log: the gaps of dead letters are closed under the claim of the consumer, by a merge and at the end', async () => {
      await pool.query('ALTER TABLE events ADD CHECK (n % 10 <> 3)');
      const log = createMemoryLog();
      const append = (first: number, last: number) =>
        log.append(
          's',
          numbers(first, last).map((n) => ({ id: `${n}`, tenant: '_', time: null, receivedAt: 1, payload: Buffer.from('') })),
        );
      const sink = ledgerSink<LogRecord>({
        ...{ pool, table: 'events', columns: { n: ({ offset }) => offset } },
        ledger: { log, group: 'g', mergeEvery: 1 },
      });
      await append(0, 29);
      const consumer = await createConsumer({ log, stream: 's', group: 'g', sink, maxItems: 5, window: { maxDelayMs: 1 } });
      const isSettled = () => vi.waitFor(async () => expect((await log.lag('g', 's'))[0]!.items).toBe(0), 20_000);
      await isSettled();
      expect((await log.groups({ group: 'g' }))[0]).toMatchObject({ cursor: 30 });
      // 3, 13 and 23 are parked: the next merge finds the cursor behind them.
      await append(30, 32);
      await isSettled();
      await vi.waitFor(async () => {
        const [first, last] = (await ledger())[0]!;
        expect(first).toBe(0);
        expect(last).toBeGreaterThanOrEqual(29);
      }, 20_000);
      await append(33, 39);
      await isSettled();
      await consumer.drain({ deadlineMs: 20_000 });
      await sink.close();
      expect(await ledger()).toEqual([[0, 39]]);
      const { rows: epochs } = await pool.query('SELECT DISTINCT epoch::int FROM sluice_ledger_view');
      expect(epochs).toEqual([{ epoch: (await log.groups({ group: 'g' }))[0]!.epoch }]);
      expect(await stored()).toEqual(numbers(0, 39).filter((n) => n % 10 !== 3));
      expect(sink.stats().mergeProblem).toBeUndefined();
      await log.close();
    });

    test('what lies before the first range stays open: a group that began at the end can still be put back', async () => {
      const log = logAt({ epoch: 1, cursor: 1_000, end: 2_000 });
      const sink = sinkOf({ mergeEvery: 1, log });
      await write(sink, rows(1_000, 1_008), { epoch: 1 });
      log.place = { epoch: 1, cursor: 1_010, end: 2_000 };
      await write(sink, rows(1_010, 1_019), { epoch: 1 });
      await vi.waitFor(async () => expect((await ledger())[0]).toEqual([1_000, expect.any(Number)]));
      log.place = { epoch: 3, cursor: 0, end: 2_000 };
      await write(sink, rows(0, 9), { epoch: 3 });
      expect(await stored()).toEqual([...numbers(0, 9), ...numbers(1_000, 1_008), ...numbers(1_010, 1_019)]);
    });

    test('a merge that finds no range does nothing', async () => {
      await pool.query('ALTER TABLE events ADD CHECK (n < 0)');
      const log = logAt({ epoch: 1, cursor: 0, end: 100 });
      const sink = sinkOf({ mergeEvery: 1, log });
      log.place = { epoch: 1, cursor: 50, end: 100 };
      await write(sink, rows(50, 52), { epoch: 1 });
      await sink.close();
      expect(sink.stats().mergeProblem).toBeUndefined();
      expect(await ledger()).toEqual([]);
    });

    describe('a log that was restored from a backup', () => {
      const restored = (end: number, epoch: number) => logAt({ epoch, cursor: 5, end });

      test('and ends before what is settled is refused: none of its new records is taken for a written one', async () => {
        await write(sinkOf({ log: logAt({ epoch: 4, cursor: 5, end: 20 }) }), rows(0, 19), { epoch: 4 });
        const log = restored(10, 4);
        const sink = sinkOf({ log });
        log.place = { epoch: 5, cursor: 5, end: 10 };
        await expect(write(sink, rows(5, 9), { epoch: 5 })).rejects.toMatchObject({
          code: 'LEDGER_AHEAD',
          class: 'blocked',
          message: expect.stringMatching(/partition 0 of s up to offset 19 .* ends at 10\. .*restored from a backup/),
        });
        // Appended since: the end of the log says nothing any more.
        log.place = { epoch: 5, cursor: 5, end: 40 };
        await expect(write(sink, rows(10, 30), { epoch: 5 })).rejects.toMatchObject({ code: 'LEDGER_AHEAD' });
        expect(await stored()).toEqual(numbers(0, 19));
      });

      test('is told by its claims too, and goes on once the ledger is put back by the statement in the message', async () => {
        await write(sinkOf({ log: logAt({ epoch: 9, cursor: 5, end: 20 }) }), rows(0, 19), { epoch: 9 });
        const log = restored(10, 6);
        const sink = sinkOf({ log });
        log.place = { epoch: 7, cursor: 5, end: 30 };
        const problem: SluiceError = await write(sink, rows(5, 9), { epoch: 7 }).then(
          () => expect.fail('it was written'),
          (thrown) => thrown,
        );
        expect(problem).toMatchObject({ code: 'LEDGER_AHEAD', class: 'blocked' });
        await pool.query(problem.message.split('run: ')[1]!);
        expect(await ledger()).toEqual([[0, 9]]);
        await write(sink, rows(5, 24), { epoch: 7 });
        expect(await stored()).toEqual([...numbers(0, 9), ...numbers(10, 24), ...numbers(10, 19)].sort((a, b) => a - b));
      });

      test('is not mistaken for one that grows under several sinks, whose later claims come in this process', async () => {
        const log = logAt({ epoch: 1, cursor: 0, end: 10 });
        const [one, other] = [sinkOf({ log }), sinkOf({ log })];
        log.place = { epoch: 2, cursor: 10, end: 30 };
        await write(one, rows(0, 29), { epoch: 2 });
        log.place = { epoch: 3, cursor: 30, end: 40 };
        await write(other, rows(30, 39), { epoch: 3 });
        expect(await stored()).toEqual(numbers(0, 39));
      });

      test('a consumer that was fenced is told so, and not that its log is old', async () => {
        await write(sinkOf({ log: logAt({ epoch: 4, cursor: 0, end: 20 }) }), rows(0, 9), { epoch: 4 });
        const late = sinkOf({ log: logAt({ epoch: 4, cursor: 10, end: 20 }) });
        await expect(write(late, rows(10, 19), { epoch: 3 })).rejects.toMatchObject({ code: 'LEDGER_FENCED' });
      });
    });

    test('starts while somebody reads the view, and where the role may not make tables but all are there', async () => {
      await sinkOf().prepare();
      const reader = await pool.connect();
      await reader.query('BEGIN');
      await reader.query('SELECT FROM sluice_ledger_view');
      try {
        await sinkOf().prepare();
      } finally {
        await reader.query('COMMIT');
        reader.release();
      }
      await pool.query(`DROP ROLE IF EXISTS writer; CREATE ROLE writer LOGIN PASSWORD 'x'; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        GRANT USAGE ON SCHEMA public TO writer; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer`);
      const url = new URL(connectionString);
      url.username = 'writer';
      url.password = 'x';
      const sink = sinkOf({}, { connectionString: url.href, pool: undefined as never });
      await write(sink, rows(0, 2));
      expect(await stored()).toEqual([0, 1, 2]);
      await sink.close();
      await pool.query('DROP OWNED BY writer; DROP ROLE writer');
    });

    test(`random overlapping batches of several sinks, merged on the way: each row is there once (SLUICE_SEED=${seed})`, async () => {
      const random = seededRandom(seed);
      const draw = (least: number, most: number) => least + Math.floor(random.next() * (most - least + 1));
      const written = new Set<number>();
      for (let round = 0; round < 12; round++) {
        const sink = sinkOf({ mergeEvery: draw(1, 3) });
        await Promise.all(
          Array.from({ length: 6 }, async () => {
            const first = draw(0, 80);
            const items = rows(first, first + draw(0, 30)).filter(() => random.next() < 0.8);
            if (items.length === 0) return;
            for (;;) {
              try {
                await write(sink, items);
                break;
              } catch (problem) {
                // Two batches of several ranges may wait for each other.
                expect(problem).toMatchObject({ class: 'transient' });
              }
            }
            for (const { offset } of items) written.add(offset);
          }),
        );
      }
      expect(await stored()).toEqual([...written].sort((a, b) => a - b));
    });

    test('several may make the tables at once', async () => {
      await Promise.all(Array.from({ length: 4 }, (_, i) => sinkOf({ group: `g${i}` }).prepare()));
    });

    test.each([
      ['no source', { source: '' }],
      ['a table that needs quotes', { table: 'My Ledger' }],
      ['a misspelt member', { sauce: 'x' }],
    ])('%s is refused', (_what, options) => {
      expect(() => sinkOf(options as object)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    });
  });
});
