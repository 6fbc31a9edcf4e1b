/** copy-text: rows in the text format of COPY, in large chunks; what PostgreSQL cannot hold is refused item by item. */

import { failure, type SluiceError } from '../core/errors.js';
import type { PostgresColumn, PostgresValue } from './options.js';

/** The rows of a batch, ready to send. */
export interface EncodedRows {
  /** UTF-8, whole rows, at least 64 KiB each but the last. */
  readonly chunks: readonly Buffer[];
  readonly rows: number;
  /** One entry per item where any was refused: its error, or `undefined` when it is among the rows. */
  readonly refused: readonly (SluiceError | undefined)[] | undefined;
}

/**
 * Encodes items as rows of the given columns.
 *
 * Refused, with `INVALID_VALUE`: text with a NUL or a lone surrogate, an invalid Date, a value of another type, the escape
 * `\u0000` in jsonb (which PostgreSQL refuses), and an item whose `value` function throws. Whether text fits its type is left to
 * the server.
 */
export function encodeRows<T>(
  items: readonly T[],
  columns: readonly (readonly [name: string, column: PostgresColumn<T>])[],
): EncodedRows {
  const chunks: Buffer[] = [];
  let refused: (SluiceError | undefined)[] | undefined;
  let rows = 0;
  let text = '';
  items.forEach((item, index) => {
    const row = encodeRow(item, columns);
    if (typeof row !== 'string') {
      refused ??= new Array<SluiceError | undefined>(items.length).fill(undefined);
      refused[index] = row;
      return;
    }
    rows++;
    text += row;
    if (text.length >= chunkChars) {
      chunks.push(Buffer.from(text));
      text = '';
    }
  });
  if (text !== '') chunks.push(Buffer.from(text));
  return { chunks, rows, refused };
}

/** A character is at least one byte in UTF-8, so this makes 64 KiB or more. */
const chunkChars = 64 * 1024;

function encodeRow<T>(item: T, columns: readonly (readonly [name: string, column: PostgresColumn<T>])[]): string | SluiceError {
  let row = '';
  let at = 0;
  try {
    for (; at < columns.length; at++) {
      const column = columns[at]![1];
      const field = encodeField(column.value(item), column.type);
      if (typeof field !== 'string') return refusal(columns[at]![0], field.problem);
      row += at === 0 ? field : `\t${field}`;
    }
    return `${row}\n`;
  } catch (thrown) {
    return refusal(columns[at]![0], 'its value function threw', thrown);
  }
}

type Field = string | { readonly problem: string };

function encodeField(value: PostgresValue, type: string): Field {
  if (value === null) return '\\N';
  switch (typeof value) {
    case 'string':
      return holdsNulEscape(value) && /^jsonb$/i.test(type) ? { problem: 'jsonb cannot hold \\u0000' } : encodeText(value);
    case 'number':
    case 'bigint':
      return String(value);
    case 'boolean':
      return value ? 't' : 'f';
  }
  if (value instanceof Date) return encodeDate(value);
  if (value instanceof Uint8Array) return `\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`;
  return { problem: `expected text, a number, a boolean, a Date, bytes or null; got ${typeof value}` };
}

/** What cannot stand as it is: the escape character, the three separators, and halves of surrogate pairs that need a look. */
const special = /[\\\t\n\r\ud800-\udfff]/;

function encodeText(text: string): Field {
  if (text.includes('\0')) return { problem: 'PostgreSQL text cannot hold a NUL character' };
  if (!special.test(text)) return text;
  if (!(text as WellFormed).isWellFormed()) return { problem: 'the text holds half of a surrogate pair, which has no UTF-8' };
  // The backslash first: the other three add backslashes of their own.
  return text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
}

/** Of ES2024, present in Node 20; the library is compiled against ES2023. */
type WellFormed = string & { isWellFormed(): boolean };

/** `\u0000` is an escape only after an even number of backslashes. */
function holdsNulEscape(json: string): boolean {
  return json.includes('\\u0000') && /(?<!\\)(?:\\\\)*\\u0000/.test(json);
}

/** ISO 8601 as PostgreSQL reads it: no sign before the year, and BC written out (year 0 is 1 BC). */
function encodeDate(date: Date): Field {
  if (Number.isNaN(date.getTime())) return { problem: 'the Date is invalid' };
  const year = date.getUTCFullYear();
  const rest = date.toISOString().slice(-20);
  return year > 0 ? `${String(year).padStart(4, '0')}${rest}` : `${String(1 - year).padStart(4, '0')}${rest} BC`;
}

function refusal(column: string, problem: string, cause?: unknown): SluiceError {
  return failure(`column ${column}: ${problem}.`, { code: 'INVALID_VALUE', class: 'permanent', cause });
}
