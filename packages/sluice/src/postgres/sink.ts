/** sink: batches into a PostgreSQL table, one transaction each, through COPY. */

import pg, { type Pool, type PoolClient } from 'pg';
import type { Sink, SinkAnswer, SinkContext } from '../core/dispatcher.js';
import { failure, SluiceError } from '../core/errors.js';
import { numberOption } from '../core/options.js';
import { systemEnv } from '../env/system.js';
import { classifyPostgresError, type WriteProgress } from './classify.js';
import { abortedFailure, onConnection } from './connection.js';
import { copyIn } from './copy.js';
import { encodeRows } from './copy-text.js';
import { checkOptions, type PostgresSinkOptions } from './options.js';
import { type Statements, statementsFor } from './sql.js';
import { createTableIfAbsent } from './table.js';

/** A {@link Sink} that writes to PostgreSQL. */
export interface PostgresSink<T> extends Sink<T> {
  write(items: readonly T[], context: SinkContext): Promise<SinkAnswer<void>>;
  /** True when a `conflict` rule was given. */
  readonly idempotent: boolean;
  /** Always: a batch is one transaction. Items refused before it (`INVALID_VALUE`) are not part of the batch. */
  readonly atomic: true;
  /**
   * Connects, and creates the table when it is absent and `createTable` was given. The first write does this too; call it to learn
   * of a wrong address or password at the start.
   *
   * @throws SluiceError as `write` does.
   */
  prepare(): Promise<void>;
  /** Refuses further writes, then ends the pool if the sink made it, once running writes are done. Idempotent. */
  close(): Promise<void>;
}

/**
 * A sink that writes each batch to a table in one transaction.
 *
 * Without `conflict` it is a plain COPY. With it, a COPY into a temporary table of the connection, then INSERT … ON CONFLICT DO
 * NOTHING in key order: writing the same items again does no harm.
 *
 * `write` fails with `PG_<SQLSTATE>` or `PG_CONNECTION`, classed as {@link classifyPostgresError} says. It ends promptly when its
 * signal is aborted: `transient` when the commit was not sent yet, else `unknown`.
 *
 * @throws SluiceError `INVALID_OPTION`
 *
 * @example
 * const sink = postgresSink<Event>({ pool, table: 'events', conflict: { columns: ['id'], action: 'ignore' },
 *   columns: { id: { type: 'text', value: (e) => e.id }, payload: { type: 'jsonb', value: (e) => JSON.stringify(e) } } });
 */
export function postgresSink<T>(options: PostgresSinkOptions<T>): PostgresSink<T> {
  checkOptions(options);
  const columns = Object.entries(options.columns);
  const types = columns.map(([name, column]) => [name, column.type] as const);
  const statements = statementsFor(options.table, types, options.conflict?.columns);
  const env = options.env ?? systemEnv();
  const pool = options.pool ?? ownPool(options);
  const closing = new AbortController();
  const write = stagedWriter(statements);
  const hook = options.beforeCommit;
  const prepare = once(() =>
    onConnection(pool, closing.signal, env, (client) => prepareTable(client, statements, options.createTable)),
  );
  let closed: Promise<void> | undefined;
  surviveIdleErrors(pool);

  return {
    idempotent: options.conflict !== undefined,
    atomic: true,
    prepare: () => prepare.run().catch((thrown: unknown) => Promise.reject(classifyPostgresError(thrown))),

    async write(items, context) {
      const { signal } = context;
      if (closed !== undefined) throw closedFailure();
      const { chunks, rows, refused } = encodeRows(items, columns);
      if (rows === 0 && options.beforeCommit === undefined) return refused;
      const progress: WriteProgress = { commitSent: false };
      try {
        if (options.createTable !== undefined) await unlessAborted(prepare.run(), signal);
        await onConnection(pool, signal, env, (client) =>
          hook === undefined
            ? write(client, chunks, progress)
            : inTransaction(client, progress, async () => {
                if (rows > 0) await write(client, chunks, { commitSent: false });
                return hook(client, { items, context, failures: refused });
              }),
        );
      } catch (thrown) {
        const problem = settleFailure(thrown, signal, progress);
        // Somebody dropped the table: the next write creates it again.
        if (problem.code === 'PG_42P01') prepare.forget();
        throw problem;
      }
      return refused;
    },

    close() {
      closed ??= closePool(pool, closing, options.pool === undefined);
      return closed;
    },
  };
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

/** Runs `work` between BEGIN and COMMIT; the SQL that it resolves to goes with COMMIT. */
async function inTransaction(
  client: PoolClient,
  progress: WriteProgress,
  work: () => Promise<string | undefined>,
): Promise<void> {
  await client.query('BEGIN');
  try {
    const last = await work();
    progress.commitSent = true;
    await client.query(last === undefined ? 'COMMIT' : `${last}; COMMIT`);
  } catch (thrown) {
    await client.query('ROLLBACK').catch(() => {});
    throw thrown;
  }
}

/** Writes a batch; the connection's temporary table is made the first time, and again where somebody removed it. */
function stagedWriter({
  write,
  createStage,
}: Statements): (client: PoolClient, chunks: readonly Buffer[], progress: WriteProgress) => Promise<void> {
  if (createStage === undefined) return (client, chunks, progress) => copyIn(client, write, chunks, progress);
  const staged = new WeakSet<PoolClient>();
  return async (client, chunks, progress) => {
    if (staged.has(client)) {
      try {
        return await copyIn(client, write, chunks, progress);
      } catch (thrown) {
        // DISCARD ALL, or a pooler between us and the server that gave us another session: nothing was written.
        if (!isMissing(thrown, createStage.name)) throw thrown;
        staged.delete(client);
      }
    }
    await copyIn(client, `${createStage.sql}; ${write}`, chunks, progress);
    // Only now: a batch that fails takes the table, made in its own transaction, with it.
    staged.add(client);
  };
}

function isMissing(thrown: unknown, stage: string): boolean {
  const { code, message } = thrown as { readonly code?: unknown; readonly message: string };
  return (code === '42P01' && message.includes(stage)) || (code === '3F000' && message.includes('pg_temp'));
}

async function prepareTable(client: PoolClient, { target }: Statements, ddl: string | undefined): Promise<void> {
  if (ddl !== undefined) await createTableIfAbsent(client, target, ddl);
}

/** An abort tells nothing of how far the write had come: the progress does. */
function settleFailure(thrown: unknown, signal: AbortSignal, progress: WriteProgress): SluiceError {
  if (!signal.aborted || !progress.commitSent) return classifyPostgresError(thrown, progress);
  const { code } = abortedFailure(signal);
  return failure('the write was aborted after its commit was sent; the rows may have been written', {
    code,
    class: 'unknown',
    cause: signal.reason,
  });
}

interface Once {
  /** The one run, shared by all who ask; a failed one is not kept. */
  run(): Promise<void>;
  forget(): void;
}

function once(work: () => Promise<void>): Once {
  let running: Promise<void> | undefined;
  const forget = () => {
    running = undefined;
  };
  return {
    forget,
    run() {
      running ??= work().catch((thrown: unknown) => {
        forget();
        throw thrown;
      });
      return running;
    },
  };
}

/** The work is shared: one caller's abort ends that caller's wait only. */
function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortedFailure(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

async function closePool(pool: Pool, closing: AbortController, own: boolean): Promise<void> {
  closing.abort(closedFailure());
  if (own) await pool.end();
}

function closedFailure(): SluiceError {
  return new SluiceError('the PostgreSQL sink is closed.', { code: 'CLOSED', class: 'rejected' });
}
