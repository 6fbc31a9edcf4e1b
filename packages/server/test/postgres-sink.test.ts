/** The sink of `sluice/postgres` against real servers: what it writes, how it fails, and that it never leaks a connection. */

import pg from 'pg';
import { failure, type SluiceError } from 'sluice';
import { type PostgresSinkOptions, postgresSink } from 'sluice/postgres';
import { exerciseSink, type SinkUnderTest } from 'sluice/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { debianPostgres15, skipDebianPostgres15, usePostgres } from './support/postgres.js';

interface Row {
  readonly id: string;
  readonly payload: string;
}

type Write = Parameters<ReturnType<typeof postgresSink<Row>>['write']>[1];

const ddl = 'CREATE TABLE events (id text PRIMARY KEY, payload text)';
const columns = {
  id: (row: Row) => row.id,
  payload: { type: 'text', value: (row: Row) => row.payload },
};
const conflict = { columns: ['id'], action: 'ignore' } as const;

const nasty = [
  '',
  '\\',
  '\\.',
  '\\N',
  'a\\tb',
  'tab\there',
  'line\nbreak',
  'dos\r\nbreak',
  `"double" 'single'`,
  'emoji 👩‍👩‍👧 é 漢字',
  '\u0001\u001f\u007f',
  '\u2028\ufeff',
  '\\\\\n\\\t\\\r\\',
  'x'.repeat(1 << 20),
  '\\'.repeat(100_000),
];

describe.each([
  ['the embedded PostgreSQL', undefined, false],
  ["Debian's PostgreSQL 15", debianPostgres15, skipDebianPostgres15],
])('on %s', (_name, binDir, skip) => {
  describe.skipIf(skip)('the PostgreSQL sink', () => {
    const postgres = usePostgres(binDir === undefined ? {} : { binDir });
    let connectionString: string;
    /** What the server calls the sessions of the sink, in this test alone. */
    let application = 'sink 0';
    /** Another user of the same database, who prepares and watches. */
    let observer: pg.Client;
    /** One who holds locks: in its transaction pg_stat_activity would stand still. */
    let blocker: pg.Client;
    let pool: pg.Pool;

    beforeAll(async () => {
      connectionString = await postgres.freshDatabase();
    });
    beforeEach(async () => {
      application = `sink ${Number(application.split(' ')[1]) + 1}`;
      observer = new pg.Client({ connectionString, application_name: 'observer' });
      await observer.connect();
      // Far cheaper than a database for each test.
      await observer.query(
        'DROP SCHEMA IF EXISTS public, "my.schema" CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public',
      );
      blocker = new pg.Client({ connectionString });
      await blocker.connect();
      pool = new pg.Pool({ connectionString, max: 2, application_name: application });
    });
    afterEach(async () => {
      await pool.end();
      await observer.end();
      await blocker.end();
    });

    exerciseSink<Row>('keeps the contract of every sink', openForExercise, { describe, it: test });

    /** Rows that are refused break a constraint, so that the server refuses the batch. */
    async function openForExercise(): Promise<SinkUnderTest<Row>> {
      await observer.query(`${ddl}; ALTER TABLE events ADD CHECK (payload <> 'bad')`);
      const sink = postgresSink<Row>({ pool, table: 'events', columns, conflict });
      return {
        sink,
        item: (n) => ({ id: String(n), payload: `item ${n}` }),
        badItem: (n) => ({ id: String(n), payload: 'bad' }),
        async written() {
          const { rows } = await observer.query<{ id: string }>('SELECT id FROM events');
          return rows.map(({ id }) => Number(id));
        },
        async outage() {
          await observer.query('ALTER TABLE events RENAME TO elsewhere');
          return async () => void (await observer.query('ALTER TABLE elsewhere RENAME TO events'));
        },
        async stall() {
          await blocker.query('BEGIN; LOCK TABLE events IN EXCLUSIVE MODE');
        },
        async dispose() {
          await blocker.query('ROLLBACK');
          await sink.close?.();
        },
      };
    }

    function makeSink(options: Partial<PostgresSinkOptions<Row>> = {}) {
      return postgresSink<Row>({ pool, table: 'events', columns, ...options });
    }

    function context(signal = new AbortController().signal): Write {
      return { signal, deadlineAt: Number.POSITIVE_INFINITY, attempt: 1, idempotent: true, batchId: 'b', lane: '', entries: [] };
    }

    async function stored(): Promise<Row[]> {
      const { rows } = await observer.query<Row>('SELECT id, payload FROM events ORDER BY id, payload');
      return rows;
    }

    async function failureOf(write: Promise<unknown>): Promise<SluiceError> {
      return write.then(
        () => expect.unreachable('the write should have failed'),
        (thrown: SluiceError) => thrown,
      );
    }

    /** The sessions of the sink, as the server sees them. */
    async function sessions(): Promise<{ pid: number; state: string; wait: string | null }[]> {
      const { rows } = await observer.query<{ pid: number; state: string; wait: string | null }>(
        `SELECT pid, state, wait_event_type AS wait FROM pg_stat_activity WHERE application_name = $1`,
        [application],
      );
      return rows;
    }

    async function lockWaiter(): Promise<number> {
      return vi.waitFor(async () => {
        const waiting = (await sessions()).find(({ wait }) => wait === 'Lock');
        expect(waiting).toBeDefined();
        return waiting!.pid;
      });
    }

    /** Makes every insert wait, in the middle of the COPY, until the observer unlocks 1. */
    async function blockInserts(): Promise<void> {
      await observer.query(`
        CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END';
        CREATE TRIGGER hold BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION hold();
        SELECT pg_advisory_lock(1)`);
    }

    async function expectCleanPool(idle: number): Promise<void> {
      expect({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }).toEqual({
        total: idle,
        idle,
        waiting: 0,
      });
      await vi.waitFor(async () => expect((await sessions()).map(({ state }) => state)).toEqual(new Array(idle).fill('idle')));
    }

    describe('writing', () => {
      test.each([
        ['with', conflict],
        ['without', undefined],
      ])('every text comes back as it was, %s a conflict rule', async (_with, rule) => {
        const sink = makeSink({ createTable: ddl, ...(rule === undefined ? {} : { conflict: rule }) });
        const items = nasty.map((payload, index) => ({ id: String(index).padStart(3, '0'), payload }));
        expect(await sink.write(items, context())).toBeUndefined();
        expect(await stored()).toEqual(items);
      });

      test('nasty texts are good keys too', async () => {
        const keys = nasty.filter((text) => text.length < 1000);
        const sink = makeSink({ createTable: ddl, conflict });
        for (let i = 0; i < 2; i++)
          await sink.write(
            keys.map((id) => ({ id, payload: 'p' })),
            context(),
          );
        expect((await stored()).map(({ id }) => id).sort()).toEqual([...keys].sort());
      });

      test('with a conflict rule the row that exists stays, and of equal keys in a batch the first', async () => {
        const sink = makeSink({ createTable: ddl, conflict });
        expect(sink.idempotent).toBe(true);
        await sink.write([{ id: 'a', payload: '1' }], context());
        await sink.write(
          [
            { id: 'b', payload: 'first' },
            { id: 'a', payload: '2' },
            { id: 'b', payload: 'second' },
          ],
          context(),
        );
        expect(await stored()).toEqual([
          { id: 'a', payload: '1' },
          { id: 'b', payload: 'first' },
        ]);
      });

      test('rows whose key is null do not count as equal', async () => {
        await observer.query('CREATE TABLE events (id text UNIQUE, payload text)');
        const sink = makeSink({ conflict, columns: { ...columns, id: { type: 'text', value: (row) => row.id || null } } });
        await sink.write(
          [
            { id: '', payload: '1' },
            { id: '', payload: '2' },
          ],
          context(),
        );
        expect(await stored()).toEqual([
          { id: null, payload: '1' },
          { id: null, payload: '2' },
        ]);
      });

      test('values of every kind arrive', async () => {
        await observer.query(
          'CREATE SCHEMA "my.schema"; CREATE TABLE "my.schema"."T able" (n numeric, i int8, b bool, t timestamptz, x bytea, j jsonb, nothing text, l int[])',
        );
        const sink = postgresSink<null>({
          pool,
          table: '"my.schema".T able',
          columns: {
            n: { type: 'numeric(40, 3)', value: () => 1.5 },
            i: { type: 'int8', value: () => 9_007_199_254_740_993n },
            b: { type: 'boolean', value: () => false },
            t: { type: 'timestamptz', value: () => new Date('2024-02-29T12:34:56.789Z') },
            x: { type: 'bytea', value: () => new Uint8Array([0, 9, 10, 92, 255]) },
            j: {
              type: 'jsonb',
              value: () => '{"amount": 123456789012345678901234567890.123456789012345678901234567890, "path": "C:\\\\temp\\n"}',
            },
            nothing: { type: 'text', value: () => null },
            l: { type: 'int[]', value: () => '{1,2}' },
          },
        });
        await sink.write([null], context());
        const { rows } = await observer.query(
          `SELECT n::text, i::text, b, t, x, j->>'amount' AS amount, j->>'path' AS path, nothing, l FROM "my.schema"."T able"`,
        );
        expect(rows).toEqual([
          {
            n: '1.5',
            i: '9007199254740993',
            b: false,
            t: new Date('2024-02-29T12:34:56.789Z'),
            x: Buffer.from([0, 9, 10, 92, 255]),
            amount: '123456789012345678901234567890.123456789012345678901234567890',
            path: 'C:\\temp\n',
            nothing: null,
            l: [1, 2],
          },
        ]);
      });

      test('dates far away arrive', async () => {
        await observer.query('CREATE TABLE events (at timestamptz)');
        const sink = postgresSink<Date>({ pool, table: 'events', columns: { at: { type: 'timestamptz', value: (at) => at } } });
        await sink.write(
          [new Date('+012345-01-02T03:04:05.678Z'), new Date('-000043-03-15T00:00:00Z'), new Date('0000-06-01T00:00:00Z')],
          context(),
        );
        const { rows } = await observer.query<{ at: string }>(
          `SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS BC') AS at FROM events ORDER BY events.at`,
        );
        expect(rows.map(({ at }) => at)).toEqual([
          '0044-03-15 00:00:00.000 BC',
          '0001-06-01 00:00:00.000 BC',
          '12345-01-02 03:04:05.678 AD',
        ]);
      });

      test('what PostgreSQL cannot hold is refused by item, and the others are written', async () => {
        const sink = makeSink({ createTable: ddl, conflict });
        const results = await sink.write(
          [
            { id: 'a', payload: 'nul\0' },
            { id: 'b', payload: 'good' },
            { id: 'c', payload: 'half \ud83d' },
          ],
          context(),
        );
        expect(results).toEqual([
          expect.objectContaining({ code: 'INVALID_VALUE', class: 'permanent' }),
          undefined,
          expect.objectContaining({ code: 'INVALID_VALUE', class: 'permanent' }),
        ]);
        expect(await stored()).toEqual([{ id: 'b', payload: 'good' }]);
      });

      test('writers whose batches overlap in opposite order do not deadlock', async () => {
        const sink = makeSink({ createTable: ddl, conflict });
        const items = Array.from({ length: 500 }, (_, i) => ({ id: String(i), payload: '' }));
        for (let round = 0; round < 10; round++) {
          await observer.query('TRUNCATE events').catch(() => {});
          await Promise.all([sink.write(items, context()), sink.write([...items].reverse(), context())]);
        }
        expect(await stored()).toHaveLength(500);
      });
    });

    describe('work before the commit', () => {
      const ledger = 'CREATE TABLE ledger (batch text, items int, failed int)';

      test.each([
        ['with', conflict],
        ['without', undefined],
      ])('is committed with the rows, %s a conflict rule', async (_with, rule) => {
        await observer.query(`${ddl}; ${ledger}`);
        const sink = makeSink({
          ...(rule === undefined ? {} : { conflict: rule }),
          beforeCommit: (client, { items, context, failures }) =>
            client
              .query('INSERT INTO ledger VALUES ($1, $2, $3)', [context.batchId, items.length, failures?.filter(Boolean).length])
              .then(() => `INSERT INTO ledger VALUES ('with COMMIT', 0, 0)`),
        });
        await sink.write([{ id: 'a', payload: '' }], context());
        await sink.write(
          [
            { id: 'b', payload: '' },
            { id: 'c', payload: '\0' },
          ],
          context(),
        );
        await sink.write([{ id: 'd', payload: '\0' }], context());
        expect((await stored()).map(({ id }) => id)).toEqual(['a', 'b']);
        const { rows } = await observer.query('SELECT * FROM ledger');
        const last = { batch: 'with COMMIT', items: 0, failed: 0 };
        expect(rows).toEqual([
          { batch: 'b', items: 1, failed: null },
          last,
          { batch: 'b', items: 2, failed: 1 },
          last,
          { batch: 'b', items: 1, failed: 1 },
          last,
        ]);
      });

      test('takes the rows with it when it fails, and its failure is the one of the batch', async () => {
        await observer.query(ddl);
        const fenced = Object.assign(new Error('a younger epoch writes'), { class: 'blocked', code: 'FENCED' });
        const sink = makeSink({ beforeCommit: () => Promise.reject(failure(fenced)) });
        expect(await failureOf(sink.write([{ id: 'a', payload: '' }], context()))).toMatchObject({
          code: 'FENCED',
          class: 'blocked',
        });
        const wrong = makeSink({ beforeCommit: () => 'INSERT INTO nowhere VALUES (1)' });
        expect(await failureOf(wrong.write([{ id: 'a', payload: '' }], context()))).toMatchObject({ code: 'PG_42P01' });
        expect(await stored()).toEqual([]);
        await expectCleanPool(1);
      });
    });

    describe('the table', () => {
      test('is created once when many start at the same time', async () => {
        const pools = Array.from({ length: 6 }, () => new pg.Pool({ connectionString, max: 1 }));
        const createTable = `${ddl}; CREATE INDEX ON events (payload)`;
        await Promise.all(
          pools.map((own, i) => makeSink({ pool: own, createTable }).write([{ id: String(i), payload: '' }], context())),
        );
        expect(await stored()).toHaveLength(6);
        await Promise.all(pools.map((own) => own.end()));
      });

      test('is left alone when it exists', async () => {
        await observer.query(ddl);
        await makeSink({ createTable: 'this is not SQL' }).prepare();
      });

      test('is blocked while it is missing, and created again by the write that finds it dropped', async () => {
        expect(await failureOf(makeSink().write([{ id: 'a', payload: '' }], context()))).toMatchObject({
          code: 'PG_42P01',
          class: 'blocked',
        });
        const sink = makeSink({ createTable: ddl });
        await sink.prepare();
        await observer.query('DROP TABLE events');
        await sink.write([{ id: 'a', payload: '' }], context());
        expect(await stored()).toHaveLength(1);
      });

      test('DDL that fails is told, leaves no transaction open, and is tried again', async () => {
        await observer.query("CREATE ROLE weak LOGIN PASSWORD 'weak'; REVOKE CREATE ON SCHEMA public FROM public");
        const url = new URL(connectionString);
        [url.username, url.password] = ['weak', 'weak'];
        const weak = new pg.Pool({ connectionString: url.href, max: 1, application_name: application });
        const sink = makeSink({ pool: weak, createTable: ddl });
        expect(await failureOf(sink.prepare())).toMatchObject({ code: 'PG_42501', class: 'blocked' });
        await vi.waitFor(async () => expect((await sessions()).map(({ state }) => state)).toEqual(['idle']));
        await observer.query(`GRANT CREATE ON SCHEMA public TO weak`);
        await sink.prepare();
        await weak.end();
        await observer.query('DROP OWNED BY weak; DROP ROLE weak');
      });
    });

    describe('failing', () => {
      test('told to refuse, a bad row fails the whole batch, is permanent, and the message names the place but not the data', async () => {
        await observer.query('CREATE TABLE events (id int PRIMARY KEY, payload text)');
        const problem = await failureOf(
          makeSink({ badRows: 'refuse' }).write(
            [
              { id: '1', payload: 'fine' },
              { id: `secret${'x'.repeat(5000)}`, payload: '' },
            ],
            context(),
          ),
        );
        expect(problem).toMatchObject({ code: 'PG_22P02', class: 'permanent' });
        expect(problem.message).toContain('line 2, column id');
        expect(problem.message.length).toBeLessThan(500);
        expect(await stored()).toEqual([]);
      });

      test.each([
        ['with', conflict],
        ['without', undefined],
      ])('200 failing COPYs on a pool of 2 leave the pool as good as new, %s a conflict rule', async (_with, rule) => {
        await observer.query(`CREATE TABLE events (id text PRIMARY KEY, payload text CHECK (payload <> 'bad'))`);
        const sink = makeSink({ badRows: 'refuse', ...(rule === undefined ? {} : { conflict: rule }) });
        const filler = 'x'.repeat(1000);
        const bad = [
          { id: 'bad', payload: 'bad' },
          ...Array.from({ length: 100 }, (_, i) => ({ id: String(i), payload: filler })),
        ];
        const problems = await Promise.all(Array.from({ length: 200 }, () => failureOf(sink.write(bad, context()))));
        expect(new Set(problems.map(({ code }) => code))).toEqual(new Set(['PG_23514']));
        await expectCleanPool(2);
        await sink.write([{ id: 'good', payload: 'good' }], context());
        expect(await stored()).toEqual([{ id: 'good', payload: 'good' }]);
      });

      test('an error while megabytes are still on their way does no harm', async () => {
        await observer.query('CREATE TABLE events (id int, payload text)');
        const sink = makeSink({ badRows: 'refuse' });
        const filler = 'x'.repeat(1 << 20);
        for (let i = 0; i < 3; i++) {
          const problem = await failureOf(
            sink.write(
              ['no number', ...Array.from({ length: 16 }, String)].map((id) => ({ id, payload: filler })),
              context(),
            ),
          );
          expect(problem.code).toBe('PG_22P02');
        }
        await expectCleanPool(1);
        await sink.write([{ id: '1', payload: '' }], context());
      });

      test('a constraint that is checked at commit fails the batch', async () => {
        await observer.query(`CREATE TABLE parents (id text PRIMARY KEY);
          CREATE TABLE events (id text REFERENCES parents DEFERRABLE INITIALLY DEFERRED, payload text)`);
        expect(await failureOf(makeSink({ badRows: 'refuse' }).write([{ id: 'orphan', payload: '' }], context()))).toMatchObject({
          code: 'PG_23503',
          class: 'permanent',
        });
        expect(await stored()).toEqual([]);
        await expectCleanPool(1);
      });

      test('a read-only server is transient', async () => {
        await observer.query(ddl);
        const standby = new pg.Pool({ connectionString, max: 1, options: '-c default_transaction_read_only=on' });
        expect(await failureOf(makeSink({ pool: standby }).write([{ id: 'a', payload: '' }], context()))).toMatchObject({
          code: 'PG_25006',
          class: 'transient',
        });
        await standby.end();
      });

      test('a wrong password, a wrong database and a closed port are told apart', async () => {
        const cases = [
          ['password', 'wrong', 'PG_28P01', 'blocked'],
          ['pathname', '/nowhere', 'PG_3D000', 'blocked'],
          ['port', '1', 'PG_CONNECTION', 'transient'],
        ] as const;
        for (const [part, value, code, failureClass] of cases) {
          const url = new URL(connectionString);
          url[part] = value;
          const { pool: _none, ...rest } = { pool: undefined, table: 'events', columns };
          const sink = postgresSink<Row>({ ...rest, connectionString: url.href });
          expect(await failureOf(sink.prepare())).toMatchObject({ code, class: failureClass });
          expect(await failureOf(sink.write([{ id: 'a', payload: '' }], context()))).toMatchObject({ code, class: failureClass });
          await sink.close();
        }
      });

      test('a session that is terminated in the middle of the COPY is transient before all was sent, and unknown after', async () => {
        await observer.query(ddl);
        const sink = makeSink();
        await blocker.query('BEGIN; LOCK TABLE events');
        const before = failureOf(sink.write([{ id: 'a', payload: '' }], context()));
        await observer.query('SELECT pg_terminate_backend($1)', [await lockWaiter()]);
        expect(await before).toMatchObject({ code: 'PG_57P01', class: 'transient' });
        await blocker.query('COMMIT');

        await blockInserts();
        const after = failureOf(sink.write([{ id: 'a', payload: '' }], context()));
        await observer.query('SELECT pg_terminate_backend($1)', [await lockWaiter()]);
        expect(await after).toMatchObject({ code: 'PG_57P01', class: 'unknown' });
        await observer.query('SELECT pg_advisory_unlock(1)');

        await expectCleanPool(0);
        await sink.write([{ id: 'b', payload: '' }], context());
        expect(await stored()).toEqual([{ id: 'b', payload: '' }]);
      });

      test('an idle connection that the server closes ends neither the process nor the next write', async () => {
        const sink = makeSink({ createTable: ddl, conflict });
        await sink.write([{ id: 'a', payload: '' }], context());
        await observer.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`, [application]);
        await vi.waitFor(() => expect(pool.totalCount).toBe(0));
        await sink.write([{ id: 'b', payload: '' }], context());
        expect(await stored()).toHaveLength(2);
      });

      test('a temporary table that somebody removed is made again', async () => {
        const own = new pg.Pool({ connectionString, max: 1 });
        const sink = makeSink({ pool: own, createTable: ddl, conflict });
        await sink.write([{ id: 'a', payload: '' }], context());
        await own.query('DISCARD ALL');
        await sink.write([{ id: 'b', payload: '' }], context());
        expect(await stored()).toHaveLength(2);
        await own.end();
      });
    });

    describe('aborted', () => {
      test.each([
        [
          'while another session locks the table',
          () => blocker.query('BEGIN; LOCK TABLE events'),
          () => blocker.query('COMMIT'),
          undefined,
          'transient',
        ],
        ['in the middle of the COPY', blockInserts, () => observer.query('SELECT pg_advisory_unlock(1)'), undefined, 'unknown'],
        ['in the middle of the INSERT', blockInserts, () => observer.query('SELECT pg_advisory_unlock(1)'), conflict, 'unknown'],
      ])(
        '%s it ends at once, its session ends on the server too, and nothing is written later',
        async (_when, block, unblock, rule, failureClass) => {
          await observer.query(ddl);
          await block();
          const sink = makeSink(rule === undefined ? {} : { conflict: rule });
          const controller = new AbortController();
          const write = failureOf(sink.write([{ id: 'a', payload: 'x'.repeat(1 << 20) }], context(controller.signal)));
          await lockWaiter();
          controller.abort(Object.assign(new Error('too late'), { code: 'TIMEOUT' }));
          expect(await write).toMatchObject({ code: 'TIMEOUT', class: failureClass });
          // The lock is still held: only the cancellation can have ended the session.
          await vi.waitFor(async () => expect(await sessions()).toEqual([]));
          await expectCleanPool(0);
          await unblock();
          expect(await stored()).toEqual([]);
          await sink.write([{ id: 'b', payload: '' }], context());
          await expectCleanPool(1);
        },
      );

      test('while it waits for a connection, it takes none', async () => {
        await observer.query(ddl);
        const [one, two] = [await pool.connect(), await pool.connect()];
        const controller = new AbortController();
        const write = failureOf(makeSink().write([{ id: 'a', payload: '' }], context(controller.signal)));
        controller.abort();
        expect(await write).toMatchObject({ code: 'CANCELLED', class: 'transient' });
        one.release();
        two.release();
        await vi.waitFor(() => expectCleanPool(2));
        expect(await stored()).toEqual([]);
      });

      test('before it began, it does nothing', async () => {
        expect(await failureOf(makeSink().write([{ id: 'a', payload: '' }], context(AbortSignal.abort())))).toMatchObject({
          code: 'CANCELLED',
        });
        expect(pool.totalCount).toBe(0);
      });
    });

    describe('closing', () => {
      test('leaves the pool to the caller who gave it', async () => {
        const sink = makeSink({ createTable: ddl });
        await sink.write([{ id: 'a', payload: '' }], context());
        await sink.close();
        await sink.close();
        expect(await failureOf(sink.write([{ id: 'b', payload: '' }], context()))).toMatchObject({
          code: 'CLOSED',
          class: 'rejected',
        });
        expect(pool.ended).toBe(false);
      });

      test('waits for running writes and ends a pool of its own', async () => {
        await observer.query(ddl);
        await blocker.query('BEGIN; LOCK TABLE events');
        const url = new URL(connectionString);
        url.searchParams.set('application_name', application);
        const sink = postgresSink<Row>({ connectionString: url.href, table: 'events', columns, maxConnections: 1 });
        const write = sink.write([{ id: 'a', payload: '' }], context());
        await lockWaiter();
        const closed = sink.close();
        await blocker.query('COMMIT');
        await write;
        await closed;
        expect(await stored()).toHaveLength(1);
        await vi.waitFor(async () => expect(await sessions()).toEqual([]));
      });
    });
  });
});
