/** sql: the statements of the sink, with every name quoted. Pure. */

import { createHash } from 'node:crypto';
import { invalidOption, shorten } from '../core/errors.js';

/** The statements that write a batch. */
export interface Statements {
  /** The target, quoted. */
  readonly target: string;
  /**
   * Writes a batch in one implicit transaction: the server runs it as a unit, so that a failure needs no ROLLBACK and a batch
   * costs two round trips. Holds one COPY … FROM STDIN.
   */
  readonly write: string;
  /** Makes the temporary table that `write` needs; absent where it needs none. */
  readonly createStage?: { readonly sql: string; readonly name: string };
}

/**
 * The statements for a table, its columns in order with their types, and the columns whose conflict is ignored.
 *
 * With a conflict rule rows go through a temporary table that empties itself at commit, then in key order into the target, so that
 * two writers lock keys in the same order; of rows with the same key the first one stays.
 */
export function statementsFor(
  table: string,
  columns: readonly (readonly [name: string, type: string])[],
  conflict?: readonly string[],
): Statements {
  const target = quoteTable(table);
  const names = columns.map(([name]) => quoteName(name)).join(', ');
  const format = "FROM STDIN (FORMAT text, ENCODING 'UTF8')";
  if (conflict === undefined) return { target, write: `COPY ${target} (${names}) ${format}` };

  const definition = columns.map(([name, type]) => `${quoteName(name)} ${type}`).join(', ');
  // Named by its definition: sinks that share a pool share the table only where it is the same.
  const name = `sluice_stage_${createHash('sha256').update(definition).digest('hex').slice(0, 16)}`;
  const key = conflict.map(quoteName).join(', ');
  return {
    target,
    write:
      `COPY pg_temp.${name} (${names}) ${format}; ` +
      // ctid is the order of arrival in a table that was just filled.
      `INSERT INTO ${target} (${names}) SELECT ${names} FROM pg_temp.${name} ORDER BY ${key}, ctid ON CONFLICT (${key}) DO NOTHING`,
    createStage: { name, sql: `CREATE TEMPORARY TABLE IF NOT EXISTS ${name} (${definition}) ON COMMIT DELETE ROWS` },
  };
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
