/** sink: batches into a PostgreSQL table, one transaction each. */

import pg, { type Pool, type PoolClient } from 'pg';
import type { Sink, SinkAnswer, SinkContext } from '../core/dispatcher.js';
import { failure, SluiceError } from '../core/errors.js';
import { numberOption } from '../core/options.js';
import { systemEnv } from '../env/system.js';
import { classifyPostgresError } from './classify.js';
import { abortedFailure, onConnection } from './connection.js';
import { checkOptions, type PostgresSinkOptions } from './options.js';
import { makePlan, type Plan } from './plan.js';
import { quoteTable } from './sql.js';
import { newKeysExpected } from './straight.js';
import { createTableIfAbsent } from './table.js';
import { type Failures, type Work, writeBatch, writeWithin } from './write.js';

/** A {@link Sink} that writes to PostgreSQL. */
export interface PostgresSink<T> extends Sink<T> {
  write(items: readonly T[], context: SinkContext): Promise<SinkAnswer<void>>;
  /** True when a `conflict` rule was given. */
  readonly idempotent: boolean;
  /** Always: a batch is one transaction, which holds all rows that the server takes, or none. */
  readonly atomic: true;
  /**
   * Writes inside a transaction that you have begun on `client`, and leaves it open: the rows are there once you commit. Bad rows
   * are taken out as in `write`; a deferred constraint fails your COMMIT. Does not run `beforeCommit`. Where rows had to be taken
   * out without a line to go by, deferred constraints are checked at once from then on (SET CONSTRAINTS ALL IMMEDIATE).
   *
   * @throws SluiceError as `write` does; your transaction is then back where it was, and goes on, unless the connection is lost.
   */
  writeWithin(client: PoolClient, items: readonly T[], context?: Partial<SinkContext>): Promise<SinkAnswer<void>>;
  /**
   * Connects, creates the table when it is absent and `createTable` was given, and checks the columns against the catalogue. The
   * first write does this too; call it to learn of a wrong address, password or column at the start.
   *
   * @throws SluiceError as `write` does.
   */
  prepare(): Promise<void>;
  /** What the sink has done, and how long it waits for connections. */
  stats(): PostgresSinkStats;
  /** Refuses further writes, then ends the pool if the sink made it, once running writes are done. Idempotent. */
  close(): Promise<void>;
}

/** Counts since the sink was made, but for `waiting`. */
export interface PostgresSinkStats {
  /** Batches that were committed. */
  readonly committed: number;
  /** Batches that were written a second time, to take bad rows out. */
  readonly isolated: number;
  /** Transactions tried again at once after a deadlock or a serialization failure. */
  readonly conflicts: number;
  /** Batches of new keys only that went straight into the target although there is a `conflict` rule. */
  readonly straight: number;
  /** Batches that were to go straight, and were written the usual way after all: a key existed, or came twice. */
  readonly repeated: number;
  /** Writes that wait for a connection now. More than none for long: the pool is smaller than `maxInFlight`. */
  readonly waiting: number;
  /** Milliseconds that writes have waited for a connection, all in all. */
  readonly slotWaitMs: number;
  /** The longest of these waits, in milliseconds. */
  readonly longestSlotWaitMs: number;
}

/**
 * A sink that writes each batch to a table in one transaction.
 *
 * Without `conflict` it is a COPY. With it, a large batch is copied into a temporary table of the connection and goes from there into
 * the target in key order; a small one is one INSERT. Where existing rows stay (`'ignore'`) and the table has neither triggers nor rules,
 * a large batch is first copied straight into the target, as long as its keys are new. Rows that the server refuses fail alone, with the server's reason, and all
 * others are committed (`badRows`).
 *
 * `write` fails with `PG_<SQLSTATE>` or `PG_CONNECTION`, classed as {@link classifyPostgresError} says. Deadlocks and serialization
 * failures are tried again three times before they are told. It ends promptly when its signal is aborted: `transient` when the
 * commit was not sent yet, else `unknown`.
 *
 * @throws SluiceError `INVALID_OPTION`
 *
 * @example
 * const sink = postgresSink<Event>({ pool, table: 'events', columns: ['id', 'at', 'payload'],
 *   conflict: { columns: ['id'], action: 'ignore' } });
 */
export function postgresSink<T>(options: PostgresSinkOptions<T>): PostgresSink<T> {
  checkOptions(options);
  const target = quoteTable(options.table);
  const env = options.env ?? systemEnv();
  const pool = options.pool ?? ownPool(options);
  const closing = new AbortController();
  const stats = { committed: 0, isolated: 0, conflicts: 0, waiting: 0, slotWaitMs: 0, longestSlotWaitMs: 0 };
  const plan = once(() => lend(closing.signal, (client) => planFor(client, target, options)));
  const expectation = newKeysExpected();
  let closed: Promise<void> | undefined;
  surviveIdleErrors(pool);

  function lend<R>(signal: AbortSignal, use: (client: PoolClient) => Promise<R>): Promise<R> {
    const since = env.clock.now();
    let waits = true;
    stats.waiting++;
    const begun = () => {
      if (!waits) return;
      waits = false;
      stats.waiting--;
      const waited = env.clock.now() - since;
      stats.slotWaitMs += waited;
      stats.longestSlotWaitMs = Math.max(stats.longestSlotWaitMs, waited);
    };
    return onConnection(pool, signal, env, (client) => {
      begun();
      return use(client);
    }).finally(begun);
  }

  function workOf(items: readonly T[], context: SinkContext): Work<T> {
    return {
      items,
      context,
      badRows: options.badRows ?? 'isolate',
      beforeCommit: options.beforeCommit,
      commitWith: options.commitWith,
      commitSent: false,
      isolations: 0,
      expectation,
      isStale: false,
    };
  }

  return {
    idempotent: options.conflict !== undefined,
    atomic: true,
    prepare: () =>
      plan.run().then(
        () => {},
        (thrown: unknown) => Promise.reject(classifyPostgresError(thrown)),
      ),

    async write(items, context) {
      const { signal } = context;
      if (closed !== undefined) throw closedFailure();
      if (items.length === 0) return undefined;
      let conflicts = 0;
      for (let fresh = plan.known() === undefined; ; ) {
        const work = workOf(items, context);
        try {
          const known = plan.known() ?? (await unlessAborted(plan.run, signal));
          const failures = await lend(signal, (client) => writeBatch(client, known, work));
          stats.committed++;
          return answer(items, failures);
        } catch (thrown) {
          const problem = settleFailure(thrown, signal, work);
          const stale = isStale(problem);
          if (stale) plan.forget();
          const again = stale ? !fresh : isConflict(problem) && conflicts < triesAgain;
          if (!again || signal.aborted || closed !== undefined) throw problem;
          if (stale) fresh = true;
          else {
            conflicts++;
            stats.conflicts++;
          }
        } finally {
          stats.isolated += work.isolations;
          if (work.isStale) plan.forget();
        }
      }
    },

    async writeWithin(client, items, context = {}) {
      if (closed !== undefined) throw closedFailure();
      if (items.length === 0) return undefined;
      const signal = context.signal ?? closing.signal;
      const work = workOf(items, {
        signal,
        deadlineAt: Number.POSITIVE_INFINITY,
        attempt: 1,
        idempotent: options.conflict !== undefined,
        batchId: '',
        lane: '',
        entries: [],
        ...context,
      });
      try {
        const known = plan.known() ?? (await unlessAborted(plan.run, signal));
        return answer(items, await writeWithin(client, known, work));
      } catch (thrown) {
        const problem = classifyPostgresError(thrown);
        if (isStale(problem)) plan.forget();
        throw problem;
      } finally {
        stats.isolated += work.isolations;
      }
    },

    stats: () => ({ ...stats, ...expectation.counts }),

    close() {
      closed ??= closePool(pool, closing, options.pool === undefined);
      return closed;
    },
  };
}

/** How often a transaction that lost to another one is tried again at once. The one it lost to has gone on meanwhile. */
const triesAgain = 3;

function isConflict({ code }: SluiceError): boolean {
  return code === 'PG_40001' || code === 'PG_40P01';
}

/** The table may not be as it was: dropped, or altered. One look again, at once, and then at the next write. */
function isStale({ code, class: failureClass }: SluiceError): boolean {
  return failureClass !== 'permanent' && (/^PG_(42|0A|26)/.test(code) || code === 'COLUMN_MISMATCH');
}

function answer(items: readonly unknown[], failures: Failures): SinkAnswer<void> {
  return failures.size === 0 ? undefined : items.map((_, index) => failures.get(index));
}

async function planFor<T>(client: PoolClient, target: string, options: PostgresSinkOptions<T>): Promise<Plan<T>> {
  // At the start, where a pooler by statement refuses it, and not at the first bad row.
  await client.query('BEGIN');
  await client.query('COMMIT');
  if (options.createTable !== undefined) await createTableIfAbsent(client, target, options.createTable);
  return makePlan(client, target, options);
}

function ownPool<T>(options: PostgresSinkOptions<T>): Pool {
  const max = numberOption('postgresSink.maxConnections', options.maxConnections, 4, { least: 1, whole: true });
  return new pg.Pool({
    connectionString: options.connectionString,
    max,
    // An address that swallows packets must not hold a batch for the minutes that TCP takes.
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    fallback_application_name: 'sluice',
  });
}

const guarded = new WeakSet<Pool>();

/** An idle connection that breaks makes the pool emit `error`; without a listener that would end the process. The next write finds out. */
function surviveIdleErrors(pool: Pool): void {
  if (guarded.has(pool)) return;
  guarded.add(pool);
  pool.on('error', () => {});
}

/** An abort tells nothing of how far the write had come: the progress does. */
function settleFailure(thrown: unknown, signal: AbortSignal, progress: { readonly commitSent: boolean }): SluiceError {
  if (!signal.aborted || !progress.commitSent) return classifyPostgresError(thrown, progress);
  const { code } = abortedFailure(signal);
  return failure('the write was aborted after its commit was sent; the rows may have been written', {
    code,
    class: 'unknown',
    cause: signal.reason,
  });
}

interface Once<R> {
  /** The one run, shared by all who ask; a failed one is not kept. */
  run(): Promise<R>;
  /** Its result, once there. */
  known(): R | undefined;
  forget(): void;
}

function once<R>(work: () => Promise<R>): Once<R> {
  let running: Promise<R> | undefined;
  let result: R | undefined;
  const forget = () => {
    running = undefined;
    result = undefined;
  };
  return {
    forget,
    known: () => result,
    run() {
      if (running !== undefined) return running;
      const own = work().then(
        (value) => {
          if (running === own) result = value;
          return value;
        },
        (thrown: unknown) => {
          if (running === own) forget();
          throw thrown;
        },
      );
      running = own;
      return own;
    },
  };
}

/** The work is shared: one caller's abort ends that caller's wait only. */
function unlessAborted<R>(work: () => Promise<R>, signal: AbortSignal): Promise<R> {
  if (signal.aborted) return Promise.reject(abortedFailure(signal));
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortedFailure(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

async function closePool(pool: Pool, closing: AbortController, own: boolean): Promise<void> {
  closing.abort(closedFailure());
  if (own) await pool.end();
}

function closedFailure(): SluiceError {
  return new SluiceError('the PostgreSQL sink is closed.', { code: 'CLOSED', class: 'rejected' });
}
