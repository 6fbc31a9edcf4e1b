/** options: what the PostgreSQL sink takes, and the checks at construction. */

import type { Pool, PoolClient } from 'pg';
import type { SinkContext } from '../core/dispatcher.js';
import { invalidOption, type SluiceError, shorten } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';

/**
 * A value that a column takes.
 *
 * Text goes as it is, and the server reads it: any type can be given as text. Numbers and bigints go as their digits, Dates as UTC,
 * bytes as bytea, arrays as arrays. For json and jsonb, text and bytes are JSON already (as with `pg`), and anything else is made
 * JSON. `null` and `undefined` are NULL.
 */
export type PostgresValue = string | number | bigint | boolean | Date | Uint8Array | object | null | undefined;

/** One column of the target. */
export interface PostgresColumn<T> {
  /** The column's value of an item. Must be pure: it is called again for a retry. What it throws fails this item alone. */
  readonly value: (item: T) => PostgresValue;
  /** The type that the column is expected to have, as SQL writes it; another one is an error at the start. Default: any type. */
  readonly type?: string;
}

/** What to do with a row whose key exists. */
export interface ConflictRule {
  /** The columns of a unique index or primary key. Each must be written. */
  readonly columns: readonly string[];
  /**
   * `'ignore'`: the row that exists stays (ON CONFLICT DO NOTHING); of rows with the same key in a batch, the first.
   * `'update'`: it takes the new values (DO UPDATE); of rows with the same key in a batch, those of the last.
   */
  readonly action: 'ignore' | 'update';
  /** With `'update'`: the columns that take the new values. Default: all that are written, but the key. */
  readonly set?: readonly string[];
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
  /**
   * The columns to write, and their values: a function of the item, or `{ value, type }`. A list of names takes the item's members of
   * the same name. A column that is left out takes its default. Checked against the catalogue at the start.
   * Default: each column of the table that has no default, from the item's member of that name, or of that name in camelCase
   * (`received_at` from `receivedAt`).
   */
  readonly columns?: readonly string[] | Readonly<Record<string, PostgresColumn<T> | ((item: T) => PostgresValue)>>;
  /** Makes the sink idempotent: what is written twice is there once. Default none: rows are only ever added. */
  readonly conflict?: ConflictRule;
  /**
   * Rows above which a batch goes by COPY, where there is a `conflict` rule or COPY is not all there is; up to it goes one
   * INSERT … SELECT FROM unnest(…). With `'ignore'`, COPY goes straight into the table as long as keys are new. Without a rule COPY
   * was quicker from the first row on, and is always used. `Infinity`: never COPY.
   * Default 100, where the two cross in our measurements (docs/reference/postgres-methods.md).
   */
  readonly copyAboveRows?: number;
  /**
   * What becomes of a batch with rows that the server refuses. `'isolate'`: they fail, each with the server's own reason, and all
   * others are committed, once. `'halt'`: what stands before the first bad row is committed, nothing after it; those items fail as
   * `rejected`, with `HALTED`. `'refuse'`: the whole batch fails, and nothing is committed. Default `'isolate'`.
   */
  readonly badRows?: 'isolate' | 'halt' | 'refuse';
  /** The most bytes of one row as text; a larger one fails with `ITEM_TOO_LARGE`. At least 1. Default 64 MiB. */
  readonly maxRowBytes?: number;
  /** DDL to run once when the table is absent, such as CREATE TABLE and its indexes. Safe when several processes start at once. Default none. */
  readonly createTable?: string;
  /**
   * Adds work to the transaction of each batch, such as a note of what was written, which then is committed with the rows or not at
   * all. Runs for each batch, also where all items failed. Default none.
   */
  readonly beforeCommit?: BeforeCommit<T>;
  /**
   * SQL to commit with the rows of a batch, or not at all. It follows from the batch alone and goes in the same message as the rows: no round
   * trip more. Asked again where rows are refused, and not asked where there are none. Default none.
   */
  readonly commitWith?: (batch: CommittingBatch<T>) => string | undefined;
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
    'copyAboveRows',
    'badRows',
    'maxRowBytes',
    'createTable',
    'beforeCommit',
    'commitWith',
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
  numberOption('postgresSink.copyAboveRows', options.copyAboveRows, 0, { least: 0, infinite: true });
  numberOption('postgresSink.maxRowBytes', options.maxRowBytes, 1, { least: 1, whole: true });
  if (options.badRows !== undefined && !['isolate', 'halt', 'refuse'].includes(options.badRows)) {
    throw invalidOption(`postgresSink.badRows must be 'isolate', 'halt' or 'refuse'; got ${shorten(options.badRows)}`);
  }
  const names = options.columns === undefined ? undefined : checkColumns(options.columns);
  if (options.conflict !== undefined) checkConflict(options.conflict, names);
}

/** The type goes into a statement as it is: only what types are written with. */
const typeText = /^[a-z_"][\w ."]*(\(\s*\w+\s*(,\s*-?\w+\s*)?\))?[\w ]*(\[\d*\])*$/i;

/** The names of the columns. */
function checkColumns<T>(columns: NonNullable<PostgresSinkOptions<T>['columns']>): readonly string[] {
  const listed = Array.isArray(columns);
  const names: readonly unknown[] = listed
    ? columns
    : typeof columns === 'object' && columns !== null
      ? Object.keys(columns)
      : [];
  if (names.length === 0) {
    throw invalidOption('postgresSink.columns must hold at least one column: { id: (item) => item.id }, or the names: ["id"]');
  }
  for (const name of names) {
    if (typeof name !== 'string') throw invalidOption(`postgresSink.columns must hold names; got ${shorten(name)}`);
    if (names.indexOf(name) !== names.lastIndexOf(name)) throw invalidOption(`postgresSink.columns names ${shorten(name)} twice`);
    if (!listed) checkColumn(name, (columns as Readonly<Record<string, unknown>>)[name]);
  }
  return names as readonly string[];
}

function checkColumn(name: string, column: unknown): void {
  if (typeof column === 'function') return;
  checkNames(`postgresSink.columns.${name}`, column as object, ['type', 'value']);
  const { type, value } = column as { readonly type?: unknown; readonly value?: unknown };
  if (type !== undefined && (typeof type !== 'string' || !typeText.test(type))) {
    throw invalidOption(`postgresSink.columns.${name}.type must be the name of a type, such as 'text'; got ${shorten(type)}`);
  }
  if (typeof value !== 'function') {
    throw invalidOption(`postgresSink.columns.${name}.value must be a function from item to value; got ${shorten(value)}`);
  }
}

function checkConflict(conflict: ConflictRule, columns: readonly string[] | undefined): void {
  checkNames('postgresSink.conflict', conflict, ['columns', 'action', 'set']);
  const { action } = conflict;
  if (action !== 'ignore' && action !== 'update') {
    throw invalidOption(`postgresSink.conflict.action must be 'ignore' or 'update'; got ${shorten(action)}`);
  }
  checkNamed('columns', conflict.columns, columns);
  if (conflict.set === undefined) return;
  if (action !== 'update') throw invalidOption("postgresSink.conflict.set is for the action 'update'");
  checkNamed('set', conflict.set, columns);
}

function checkNamed(member: 'columns' | 'set', names: readonly string[], columns: readonly string[] | undefined): void {
  if (!Array.isArray(names) || names.length === 0 || names.some((name) => typeof name !== 'string')) {
    throw invalidOption(`postgresSink.conflict.${member} must name columns${member === 'columns' ? ' of the unique key' : ''}`);
  }
  const stranger = names.find((name) => columns?.includes(name) === false);
  if (stranger !== undefined) {
    throw invalidOption(
      `postgresSink.conflict.${member} names ${shorten(stranger)}, which is not among columns: ${columns?.join(', ')}`,
    );
  }
}
