/** sql: the statements of the sink, with every name quoted. Pure. */

import { createHash } from 'node:crypto';
import { invalidOption, shorten } from '../core/errors.js';
import { keyOn, type Table, type TableColumn } from './catalogue.js';
import type { ConflictRule } from './options.js';
import { type Straight, straightGuardFor } from './straight.js';

/** The statements that write rows to a table. */
export interface Statements {
  readonly copyText: string;
  readonly copyBinary: string;
  /** With a conflict rule, rows are copied into a temporary table, the stage, and go from there into the target. */
  readonly stage?: Stage;
  /** INSERT … SELECT FROM unnest($1, $2, …): one array a column, so that a batch of any size stays far below 65,535 parameters. */
  readonly insertArrays: string;
  /** Past the stage, where that may be tried. */
  readonly straight?: Straight;
}

/** The temporary table of a connection. */
export interface Stage {
  readonly name: string;
  /** Makes it where the connection has none; harmless where it has. It empties itself at the end of the transaction. */
  readonly create: string;
  readonly clear: string;
  /** Moves its rows into the target. */
  readonly merge: string;
}

/** The statements for a table, quoted as `target`, the columns that are written, and the conflict rule. */
export function statementsFor(
  target: string,
  table: Table,
  columns: readonly TableColumn[],
  conflict: ConflictRule | undefined,
): Statements {
  const names = columns.map(({ name }) => quoteName(name)).join(', ');
  const stage = conflict === undefined ? undefined : stageFor(target, table, columns, conflict);
  const copy = (destination: string, format: 'text' | 'binary') =>
    `COPY ${destination} (${names}) FROM STDIN (FORMAT ${format}, ENCODING 'UTF8')`;
  const destination = stage === undefined ? target : `pg_temp.${stage.name}`;
  const straightGuard = straightGuardFor(table, columns, conflict);
  return {
    copyText: copy(destination, 'text'),
    copyBinary: copy(destination, 'binary'),
    ...(stage === undefined ? {} : { stage }),
    ...(straightGuard === undefined
      ? {}
      : { straight: { copyText: copy(target, 'text'), copyBinary: copy(target, 'binary'), guard: straightGuard } }),
    insertArrays: insertArrays(target, table, columns, conflict),
  };
}

/**
 * INSERT INTO the target from a set of rows that has the columns under their names, and their order of arrival as `ordinal`.
 *
 * With a conflict rule in key order, so that two writers lock keys in the same order. A statement may not update a row twice: of rows
 * with the same key only the last is taken; DO NOTHING takes the first by itself.
 */
export function insertFrom(
  target: string,
  table: Table,
  columns: readonly TableColumn[],
  conflict: ConflictRule | undefined,
  source: { readonly from: string; readonly values: (column: TableColumn) => string; readonly ordinal: string },
): string {
  const names = columns.map(({ name }) => quoteName(name)).join(', ');
  const insert = `INSERT INTO ${target} (${names})`;
  const values = columns.map(source.values).join(', ');
  if (conflict === undefined) return `${insert} SELECT ${values} FROM ${source.from} ORDER BY ${source.ordinal}`;
  const keyColumns = conflict.columns.map((name) => columns.find((column) => column.name === name)!);
  const key = keyColumns.map((column) => `${source.values(column)}${column.collate}`);
  const onConflict = `ON CONFLICT (${keyColumns.map(({ name }) => quoteName(name)).join(', ')})`;
  if (conflict.action === 'ignore') {
    return `${insert} SELECT ${values} FROM ${source.from} ORDER BY ${[...key, source.ordinal].join(', ')} ${onConflict} DO NOTHING`;
  }
  const distinct = [...key, ...apartWhereNull(table, keyColumns, source)].join(', ');
  const set = conflict.set ?? columns.map(({ name }) => name).filter((name) => !conflict.columns.includes(name));
  const update =
    set.length === 0
      ? 'DO NOTHING'
      : `DO UPDATE SET ${set.map((name) => `${quoteName(name)} = EXCLUDED.${quoteName(name)}`).join(', ')}`;
  return `${insert} SELECT DISTINCT ON (${distinct}) ${values} FROM ${source.from} ORDER BY ${distinct}, ${source.ordinal} DESC ${onConflict} ${update}`;
}

/** Keys that hold a NULL are all different, unless the index says otherwise; DISTINCT takes them for equal. */
function apartWhereNull(
  table: Table,
  key: readonly TableColumn[],
  source: { readonly values: (column: TableColumn) => string; readonly ordinal: string },
): readonly string[] {
  const nullable = key.filter(({ notNull }) => !notNull);
  const index = keyOn(
    table,
    key.map(({ name }) => name),
  );
  if (nullable.length === 0 || index?.nullsAreEqual === true) return [];
  return [`(CASE WHEN ${nullable.map((column) => `${source.values(column)} IS NULL`).join(' OR ')} THEN ${source.ordinal} END)`];
}

function stageFor(target: string, table: Table, columns: readonly TableColumn[], conflict: ConflictRule): Stage {
  const definition = stageDefinition(table, columns);
  // Named by its definition: sinks that share a pool share the table only where it is the same.
  const name = `sluice_stage_${createHash('sha256').update(definition).digest('hex').slice(0, 16)}`;
  return {
    name,
    create: `CREATE TEMPORARY TABLE IF NOT EXISTS ${name} (${definition}) ON COMMIT DELETE ROWS`,
    clear: `TRUNCATE pg_temp.${name}`,
    merge: insertFrom(target, table, columns, conflict, {
      from: `pg_temp.${name} AS s`,
      values: ({ name: column, isForeign, castText }) => `s.${quoteName(column)}${isForeign ? `::${castText}` : ''}`,
      // The order of arrival in a table that was just filled.
      ordinal: 's.ctid',
    }),
  };
}

/**
 * The stage checks what the target will check, because COPY says which line was refused and INSERT does not. Not where a trigger of
 * the target may yet mend the row; and nothing that a user made, be it a type, a collation or a function: the stage stays with its
 * session, and would keep its owner from dropping it.
 */
function stageDefinition(table: Table, columns: readonly TableColumn[]): string {
  const checked = !table.changesRows;
  const fields = columns.map(
    ({ name, stageText, notNull }) => `${quoteName(name)} ${stageText}${checked && notNull ? ' NOT NULL' : ''}`,
  );
  const alike = columns.filter(({ isAlikeInStage }) => isAlikeInStage).map(({ name }) => name);
  const checks = table.checks
    .filter((check) => checked && check.columns.every((name) => alike.includes(name)))
    .map(({ name, sql }) => `CONSTRAINT ${quoteName(name)} CHECK (${sql})`);
  return [...fields, ...checks].join(', ');
}

function insertArrays(target: string, table: Table, columns: readonly TableColumn[], conflict: ConflictRule | undefined): string {
  const arrays = columns.map((column, at) => `$${at + 1}::${isFlat(column) ? column.castText : 'text'}[]`).join(', ');
  const names = columns.map(({ name }) => quoteName(name)).join(', ');
  return insertFrom(target, table, columns, conflict, {
    from: `unnest(${arrays}) WITH ORDINALITY AS s(${names}, ${quoteName(ordinalName(columns))})`,
    values: (column) => `s.${quoteName(column.name)}${isFlat(column) ? '' : `::${column.castText}`}`,
    ordinal: `s.${quoteName(ordinalName(columns))}`,
  });
}

/** unnest() would flatten arrays in an array, and spread a composite over columns: these travel as text. */
function isFlat({ type }: TableColumn): boolean {
  return type.kind !== 'other';
}

/** A name that no column has. */
export function ordinalName(columns: readonly TableColumn[]): string {
  let name = 'sluice_ordinal';
  while (columns.some((column) => column.name === name)) name += '_';
  return name;
}

/**
 * `events` or `audit.events` as quoted SQL; a part may be quoted by the caller (`audit."my.events"`).
 *
 * @throws SluiceError `INVALID_OPTION` when it is neither.
 */
export function quoteTable(table: string): string {
  const parts = table.match(/"(?:[^"]|"")+"|[^."]+/g) ?? [];
  if (parts.length < 1 || parts.length > 2 || parts.join('.') !== table || table.includes('\0')) {
    throw invalidOption(`postgresSink.table must be a table or schema.table; got ${shorten(table)}`);
  }
  return parts.map((part) => (part.startsWith('"') ? part : quoteName(part))).join('.');
}

/** A name of PostgreSQL in quotes. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
