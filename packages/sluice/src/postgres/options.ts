/** options: what the PostgreSQL sink takes, and the checks at construction. */

import type { Pool, PoolClient } from 'pg';
import type { SinkContext } from '../core/dispatcher.js';
import { invalidOption, type SluiceError, shorten } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';

/** A value that a column takes. Text for json and jsonb is JSON text; numbers go as their decimal text, Dates as UTC, bytes as bytea. */
export type PostgresValue = string | number | bigint | boolean | Date | Uint8Array | null;

/** One column of the target. */
export interface PostgresColumn<T> {
  /** The type of the column as SQL writes it: `'text'`, `'timestamptz'`, `'jsonb'`, `'numeric(12, 2)'`, `'int[]'`. */
  readonly type: string;
  /** The column's value of an item. Must be pure: a retry calls it again. What it throws fails this item alone. */
  readonly value: (item: T) => PostgresValue;
}

/** What to do with a row whose key exists. */
export interface ConflictRule {
  /** The columns of the unique index or primary key, in its order. Each must be among `columns`. */
  readonly columns: readonly string[];
  /** `'ignore'`: the row that exists stays (ON CONFLICT DO NOTHING). */
  readonly action: 'ignore';
}

/** A batch whose rows are in, and whose transaction is about to commit. */
export interface CommittingBatch<T> {
  /** The items as they were handed to `write`. */
  readonly items: readonly T[];
  /** What came with them: batch id, lane, entries, signal. */
  readonly context: SinkContext;
  /** One entry per item where any failed: why it is not among the rows, else `undefined`. Absent when all are in. */
  readonly failures: readonly (SluiceError | undefined)[] | undefined;
}

/**
 * Runs inside the transaction of a batch's rows, after them and before COMMIT. What it throws rolls the rows back and fails the
 * batch, with its own `class` where it is a SluiceError. SQL that it returns goes to the server together with COMMIT, in one round
 * trip. It may run again for the same batch when the transaction is tried again; only the last run's work is committed.
 */
export type BeforeCommit<T> = (client: PoolClient, batch: CommittingBatch<T>) => string | undefined | Promise<string | undefined>;

/** Options of `postgresSink`. Give either `pool` or `connectionString`. */
export interface PostgresSinkOptions<T> {
  /**
   * A pool of `pg`, yours to end. Size it to at least the batcher's `maxInFlight`. The sink listens to its `error` event, so that
   * an idle connection that breaks does not end the process. A pool in pipeline mode cannot COPY.
   * Default: one of its own, for `connectionString`.
   */
  readonly pool?: Pool;
  /** `postgres://user:password@host:port/database`; the sink then makes a pool of its own and `close()` ends it. Default none. */
  readonly connectionString?: string;
  /** Connections of the sink's own pool, 1 or more. Default 4, the batcher's default `maxInFlight`. Only with `connectionString`. */
  readonly maxConnections?: number;
  /** `events` or `schema.events`, as spelt in the catalog: it is quoted, so letter case counts. */
  readonly table: string;
  /** The columns to write, in order. A column that is left out takes its default. */
  readonly columns: Readonly<Record<string, PostgresColumn<T>>>;
  /** Makes the sink idempotent: a row whose key exists is skipped. Default none: rows are only ever added. */
  readonly conflict?: ConflictRule;
  /** DDL to run once when the table is absent, such as CREATE TABLE and its indexes. Safe when several processes start at once. Default none. */
  readonly createTable?: string;
  /**
   * Adds work to the transaction of each batch, such as a note of what was written, which then is committed with the rows or not at
   * all. Runs for each batch, also where all items failed. Default none.
   */
  readonly beforeCommit?: BeforeCommit<T>;
  /** Time and observation. Default the system's. */
  readonly env?: Env;
}

/**
 * Checks the options that do not depend on each other's meaning in SQL.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function checkOptions<T>(options: PostgresSinkOptions<T>): void {
  checkNames('postgresSink', options, [
    'pool',
    'connectionString',
    'maxConnections',
    'table',
    'columns',
    'conflict',
    'createTable',
    'beforeCommit',
    'env',
  ]);
  if ((options.pool === undefined) === (options.connectionString === undefined)) {
    throw invalidOption('postgresSink takes either pool or connectionString; give exactly one of them');
  }
  if (options.maxConnections !== undefined && options.pool !== undefined) {
    throw invalidOption('postgresSink.maxConnections is for a pool of its own; set max where you make the pool');
  }
  if ((options.pool?.options as { readonly pipeline?: boolean } | undefined)?.pipeline === true) {
    throw invalidOption(
      'postgresSink.pool must not be in pipeline mode, in which pg cannot COPY; make a pool of its own for the sink',
    );
  }
  numberOption('postgresSink.maxConnections', options.maxConnections, 1, { least: 1, whole: true });
  if (typeof options.table !== 'string') throw invalidOption(`postgresSink.table must be text; got ${shorten(options.table)}`);
  if (options.createTable !== undefined && (typeof options.createTable !== 'string' || options.createTable.trim() === '')) {
    throw invalidOption('postgresSink.createTable must be SQL text');
  }
  if (options.beforeCommit !== undefined && typeof options.beforeCommit !== 'function') {
    throw invalidOption(`postgresSink.beforeCommit must be a function; got ${shorten(options.beforeCommit)}`);
  }
  checkColumns(options.columns);
  if (options.conflict !== undefined) checkConflict(options.conflict, options.columns);
}

/** The type goes into a statement as it is: only what types are written with. */
const typeText = /^[a-z_"][\w ."]*(\(\s*\w+\s*(,\s*-?\w+\s*)?\))?[\w ]*(\[\d*\])*$/i;

function checkColumns<T>(columns: Readonly<Record<string, PostgresColumn<T>>>): void {
  const entries = typeof columns === 'object' && columns !== null ? Object.entries(columns) : [];
  if (entries.length === 0)
    throw invalidOption('postgresSink.columns must hold at least one column: { id: { type: "text", value: (item) => item.id } }');
  for (const [name, column] of entries) {
    checkNames(`postgresSink.columns.${name}`, column, ['type', 'value']);
    if (typeof column.type !== 'string' || !typeText.test(column.type)) {
      throw invalidOption(
        `postgresSink.columns.${name}.type must be the name of a type, such as 'text'; got ${shorten(column.type)}`,
      );
    }
    if (typeof column.value !== 'function') {
      throw invalidOption(
        `postgresSink.columns.${name}.value must be a function from item to value; got ${shorten(column.value)}`,
      );
    }
  }
}

function checkConflict<T>(conflict: ConflictRule, columns: Readonly<Record<string, PostgresColumn<T>>>): void {
  checkNames('postgresSink.conflict', conflict, ['columns', 'action']);
  if (conflict.action !== 'ignore')
    throw invalidOption(`postgresSink.conflict.action must be 'ignore'; got ${shorten(conflict.action)}`);
  if (!Array.isArray(conflict.columns) || conflict.columns.length === 0) {
    throw invalidOption('postgresSink.conflict.columns must name the columns of the unique key');
  }
  for (const name of conflict.columns as readonly string[]) {
    if (!Object.hasOwn(columns, name)) {
      throw invalidOption(
        `postgresSink.conflict.columns names ${shorten(name)}, which is not among columns: ${Object.keys(columns).join(', ')}`,
      );
    }
  }
}
