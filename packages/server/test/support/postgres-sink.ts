/** What the tests of the PostgreSQL sink share: each real server, a clean schema for each test, a pool to watch. */

import pg from 'pg';
import type { SluiceError } from 'sluice';
import { type PostgresSink, type PostgresSinkOptions, postgresSink } from 'sluice/postgres';
import { afterEach, beforeAll, beforeEach, describe, expect, vi } from 'vitest';
import { debianPostgres15, skipDebianPostgres15, type TestPostgres, usePostgres } from './postgres.js';

/** A test's world; only inside tests and hooks. */
export interface SinkWorld {
  readonly postgres: TestPostgres;
  /** Another user of the same database, who prepares and watches. */
  readonly observer: pg.Client;
  readonly pool: pg.Pool;
  readonly connectionString: string;
  /** A sink to `events` on the pool. */
  sink<T>(options?: Partial<PostgresSinkOptions<T>>): PostgresSink<T>;
  /** Rows of a query of the observer's. */
  rows(sql: string): Promise<readonly Record<string, unknown>[]>;
  /** Waits until a session of the pool waits for a lock. Not asked by the observer, who may hold it. */
  lockWaits(): Promise<void>;
  /** Waits until the server sees this many sessions of the pool, all idle. */
  expectIdle(sessions: number): Promise<void>;
}

type Context = Parameters<PostgresSink<unknown>['write']>[1];

/** What a batcher would hand to the sink. */
export function context(signal = new AbortController().signal): Context {
  return { signal, deadlineAt: Number.POSITIVE_INFINITY, attempt: 1, idempotent: true, batchId: 'b', lane: '', entries: [] };
}

export async function failureOf(write: Promise<unknown>): Promise<SluiceError> {
  return write.then(
    () => expect.unreachable('it should have failed'),
    (thrown: SluiceError) => thrown,
  );
}

/** The failed items of an answer, by index. */
export function failed(answer: unknown): Record<number, SluiceError> {
  return Object.fromEntries(
    ((answer ?? []) as readonly (SluiceError | undefined)[]).flatMap((entry, index) =>
      entry === undefined ? [] : [[index, entry]],
    ),
  );
}

/** Describes what holds on each PostgreSQL that this machine has; Debian's is skipped by name where it is not installed. */
export function describeOnEachPostgres(subject: string, connections: number, tests: (world: SinkWorld) => void): void {
  describe.each([
    ['the embedded PostgreSQL 18', undefined, false],
    ["Debian's PostgreSQL 15", debianPostgres15, skipDebianPostgres15],
  ])(`${subject} on %s`, (_name, binDir, skip) => {
    describe.skipIf(skip)('', () => tests(sinkWorld(usePostgres(binDir === undefined ? {} : { binDir }), connections)));
  });
}

function sinkWorld(postgres: TestPostgres, connections: number): SinkWorld {
  let connectionString = '';
  let observer: pg.Client;
  let pool: pg.Pool;
  beforeAll(async () => {
    connectionString = await postgres.freshDatabase();
  });
  beforeEach(async () => {
    observer = new pg.Client({ connectionString, application_name: 'observer' });
    await observer.connect();
    // Far cheaper than a database for each test.
    await observer.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public');
    pool = new pg.Pool({ connectionString, max: connections, application_name: 'sink' });
  });
  afterEach(async () => {
    if (!pool.ended) await pool.end();
    await observer.end();
  });
  return {
    postgres,
    get observer() {
      return observer;
    },
    get pool() {
      return pool;
    },
    get connectionString() {
      return connectionString;
    },
    sink: (options = {}) => postgresSink({ pool, table: 'events', ...options }),
    rows: async (sql) => (await observer.query<Record<string, unknown>>(sql)).rows,
    async lockWaits() {
      const watcher = new pg.Client({ connectionString, application_name: 'watcher' });
      await watcher.connect();
      const waiting = `SELECT FROM pg_stat_activity WHERE application_name = 'sink' AND wait_event_type = 'Lock'`;
      while ((await watcher.query(waiting)).rowCount === 0);
      await watcher.end();
    },
    expectIdle: (sessions) =>
      vi.waitFor(async () => {
        const { rows } = await observer.query<{ state: string }>(
          `SELECT state FROM pg_stat_activity WHERE application_name = 'sink' AND datname = current_database()`,
        );
        expect(rows.map(({ state }) => state)).toEqual(new Array(sessions).fill('idle'));
      }),
  };
}
