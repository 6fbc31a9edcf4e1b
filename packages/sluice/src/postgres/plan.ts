/** plan: how batches are written to one table, as its catalogue says. */

import type { PoolClient } from 'pg';
import type { SluiceError } from '../core/errors.js';
import { columnArrays } from './arrays.js';
import { readTable, type Table } from './catalogue.js';
import { classifyPostgresError } from './classify.js';
import { binaryRows, hasBinaryForm } from './copy-binary.js';
import { expectedTypes, mapColumns, wrongType } from './mapping.js';
import type { PostgresSinkOptions } from './options.js';
import { type PlaceRows, placerFor } from './place.js';
import { copyLine, type Fields, type RowSource, textChunks, textRows, type WrittenColumn } from './rows.js';
import { type Statements, statementsFor } from './sql.js';

/** Rows above which COPY through a stage is quicker than unnest(): where the two cross in docs/reference/postgres-methods.md. */
const measuredThreshold = 100;

/** Rows from which binary pays for its guard, a look at the catalogue; through a stage, whose types are ours, it needs none. */
const guardedFrom = 100;

const defaultRowBytes = 64 * 1024 * 1024;

/** How one table is written. */
export interface Plan<T> {
  readonly table: Table;
  readonly columns: readonly WrittenColumn<T>[];
  readonly statements: Statements;
  /** COPY can be used here at all. */
  readonly copies: boolean;
  readonly place: PlaceRows;
  /** The items, encoded for the method that suits their number. */
  encode(items: readonly T[]): Encoded;
  /** An error of the server as a failure that speaks of the target, not of the stage. */
  classify(thrown: unknown): SluiceError;
}

/** A batch, ready to send. */
export interface Encoded {
  readonly refused: ReadonlyMap<number, SluiceError>;
  /** `'copy'` with the data of `source.copy`, or `'insert'` with the parameters of `insertArrays`. */
  readonly by:
    | { readonly method: 'copy'; readonly chunks: readonly Buffer[] }
    | { readonly method: 'insert'; readonly values: readonly string[] };
  /** The rows once more, for taking the bad ones out. */
  readonly source: RowSource;
}

/**
 * Reads the table and checks the options against it.
 *
 * @throws SluiceError `PG_42P01` or `COLUMN_MISMATCH`, `blocked`.
 */
export async function makePlan<T>(client: PoolClient, target: string, options: PostgresSinkOptions<T>): Promise<Plan<T>> {
  const table = await readTable(client, target);
  const columns = mapColumns(table, options);
  await checkTypes(client, table, options);
  const statements = statementsFor(target, table, columns, options.conflict);
  const { stage } = statements;
  const copies = stage === undefined ? table.copyable : table.hasScratch;
  const maxRowBytes = options.maxRowBytes ?? defaultRowBytes;
  const threshold = options.copyAboveRows ?? (stage === undefined ? 0 : measuredThreshold);
  const copyRows = copyEncoder(columns, statements, maxRowBytes);
  return {
    table,
    columns,
    statements,
    copies,
    place: placerFor(target, table, columns, options.conflict),
    encode(items) {
      if (copies && items.length > threshold) return copyRows(items);
      const { fields, refused } = textRows(items, columns, maxRowBytes);
      const values = columnArrays(fields, columns.length);
      return { refused, by: { method: 'insert', values }, source: textSource(fields, statements.copyText) };
    },
    classify: (thrown) => classifyPostgresError(stage === undefined ? thrown : aboutTarget(thrown, stage.name, table.name)),
  };
}

async function checkTypes<T>(client: PoolClient, table: Table, options: PostgresSinkOptions<T>): Promise<void> {
  const expected = expectedTypes(options.columns);
  if (expected.length === 0) return;
  const { rows } = await client.query<{ oid: string | null }>(
    'SELECT to_regtype(expected)::oid::text AS oid FROM unnest($1::text[]) WITH ORDINALITY AS t(expected, n) ORDER BY n',
    [expected.map(([, type]) => type)],
  );
  expected.forEach(([name, type], at) => {
    const column = table.columns.find((candidate) => candidate.name === name)!;
    if (rows[at]?.oid !== String(column.typeOid)) throw wrongType(table, column, type);
  });
}

/**
 * Binary where each value has a binary form: measured a third less time here and a tenth less in the server than text. A batch with
 * a value that the server must read as text goes as text; each such batch in a row makes the next try wait twice as long.
 */
function copyEncoder<T>(
  columns: readonly WrittenColumn<T>[],
  statements: Statements,
  maxRowBytes: number,
): (items: readonly T[]) => Encoded {
  // An array of a foreign type is text in the stage, and its binary form is not that of text.
  const fits = statements.stage === undefined || columns.every(({ type, isForeign }) => type.element === undefined || !isForeign);
  const hasBinary = fits && hasBinaryForm(columns.map(({ type }) => type));
  const leastBinary = statements.stage === undefined ? guardedFrom : 0;
  let sizeHint = 64 * 1024;
  let pause = 0;
  let textBatches = 0;
  return (items) => {
    if (hasBinary && textBatches === 0 && items.length >= leastBinary) {
      const binary = binaryRows(items, columns, maxRowBytes, sizeHint);
      if (binary !== undefined) {
        pause = 0;
        sizeHint = Math.min(binary.data.length + (binary.data.length >> 3), 8 * 1024 * 1024);
        const { rows, slice, refused } = binary;
        // What was taken in binary is within the limit, however long its text is.
        const taken = () => items.filter((_, index) => !refused.has(index));
        const fields = () => textRows(taken(), columns, Number.POSITIVE_INFINITY).fields;
        return {
          refused,
          by: { method: 'copy', chunks: [binary.data] },
          source: { rows, copy: statements.copyBinary, slice, fields },
        };
      }
      pause = Math.min(1024, pause * 2 || 1);
      textBatches = pause;
    }
    if (textBatches > 0) textBatches--;
    const { fields, refused } = textRows(items, columns, maxRowBytes);
    const source = textSource(fields, statements.copyText);
    return { refused, by: { method: 'copy', chunks: source.slice(0, fields.length) }, source };
  };
}

/** Each row is escaped once, however often it is sent. */
function textSource(fields: readonly Fields[], copy: string): RowSource {
  const rows = fields.length;
  let chunks: readonly Buffer[] | undefined;
  let lines: { readonly data: Buffer; readonly ends: readonly number[] } | undefined;
  const encoded = () => {
    chunks ??= textChunks(fields.map(copyLine));
    return chunks;
  };
  return {
    rows,
    copy,
    slice(from, to) {
      if (from === 0 && to === rows) return encoded();
      lines ??= linesOf(Buffer.concat(encoded()));
      return [lines.data.subarray(lines.ends[from], lines.ends[to])];
    },
    fields: () => fields,
  };
}

/** Where each line ends, the first entry being the beginning: a newline in a field is escaped. */
function linesOf(data: Buffer): { readonly data: Buffer; readonly ends: readonly number[] } {
  const ends = [0];
  for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) ends.push(at + 1);
  return { data, ends };
}

/** The stage is ours: who reads the message knows the target. */
function aboutTarget(thrown: unknown, stage: string, target: string): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const told = thrown as Error & { where?: unknown; table?: unknown };
  const copy: object = Object.create(Object.getPrototypeOf(thrown) as object, Object.getOwnPropertyDescriptors(thrown)) as object;
  const rename = (text: unknown) => (typeof text === 'string' ? text.replaceAll(stage, target) : text);
  return Object.assign(copy, { message: rename(told.message), where: rename(told.where), table: rename(told.table) });
}
