/** rows: the items of a batch as rows, in the format that the method at hand needs; what cannot be a row is refused by item. */

import { failure, type SluiceError, shorten } from '../core/errors.js';
import type { TableColumn } from './catalogue.js';
import { fieldText } from './field-text.js';
import type { PostgresValue } from './options.js';

/** A column that is written, and where its value comes from. */
export interface WrittenColumn<T> extends TableColumn {
  readonly value: (item: T) => PostgresValue;
}

/** A row's fields as text, in the order of the columns; `null` is NULL. */
export type Fields = readonly (string | null)[];

/** The rows of a batch, to be sent again in parts. */
export interface RowSource {
  readonly rows: number;
  /** The COPY … FROM STDIN that takes them. */
  readonly copy: string;
  /** Its data for the rows from `from` up to `to`. */
  slice(from: number, to: number): readonly Buffer[];
  /** The rows as text. */
  fields(): readonly Fields[];
}

/** Items as fields of text, and those that no text can hold. */
export interface TextRows {
  /** One entry per item that is a row, in item order. */
  readonly fields: readonly Fields[];
  readonly refused: ReadonlyMap<number, SluiceError>;
}

/**
 * The items as text.
 *
 * Refused, with `INVALID_VALUE`: text with a NUL or a lone surrogate, an invalid Date, a value of another type, the escape `\u0000`
 * in jsonb (which PostgreSQL refuses), bytes of JSON that are not UTF-8, and an item whose `value` function throws; with
 * `ITEM_TOO_LARGE`: more than `maxRowBytes`.
 */
export function textRows<T>(items: readonly T[], columns: readonly WrittenColumn<T>[], maxRowBytes: number): TextRows {
  const fields: Fields[] = [];
  const refused = new Map<number, SluiceError>();
  for (let index = 0; index < items.length; index++) {
    const row = textRow(items[index]!, columns, maxRowBytes);
    if (Array.isArray(row)) fields.push(row);
    else refused.set(index, row as SluiceError);
  }
  return { fields, refused };
}

/** The fields of one item, or why it is refused. */
export function textRow<T>(item: T, columns: readonly WrittenColumn<T>[], maxRowBytes: number): Fields | SluiceError {
  const row: (string | null)[] = [];
  let bytes = 0;
  let at = 0;
  try {
    for (; at < columns.length; at++) {
      const column = columns[at]!;
      const text = fieldText(column.value(item), column.type);
      if (text !== null && typeof text !== 'string') return refusal(column.name, text.problem);
      if (text !== null) bytes += text.length > 4096 ? Buffer.byteLength(text) : text.length;
      row.push(text);
    }
  } catch (thrown) {
    return refusal(columns[at]!.name, `no value could be had of the item (${shorten(String(thrown))})`, thrown);
  }
  return bytes <= maxRowBytes ? row : tooLarge(bytes, maxRowBytes);
}

function tooLarge(bytes: number, maxRowBytes: number): SluiceError {
  return failure(`the row has ${bytes} bytes, more than maxRowBytes, which is ${maxRowBytes}.`, {
    code: 'ITEM_TOO_LARGE',
    class: 'permanent',
  });
}

function refusal(column: string, problem: string, cause?: unknown): SluiceError {
  return failure(`column ${column}: ${problem}.`, { code: 'INVALID_VALUE', class: 'permanent', cause });
}

/** One row in the text format of COPY. */
export function copyLine(fields: Fields): string {
  let line = '';
  for (let at = 0; at < fields.length; at++) {
    const field = fields[at]!;
    line += `${at === 0 ? '' : '\t'}${field === null ? '\\N' : escaped(field)}`;
  }
  return `${line}\n`;
}

/** The escape character and the three separators cannot stand as they are. */
const special = /[\\\t\n\r]/;

function escaped(text: string): string {
  if (!special.test(text)) return text;
  // The backslash first: the other three add backslashes of their own.
  return text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
}

/** Lines as chunks of UTF-8, 64 KiB or more each but the last. */
export function textChunks(lines: Iterable<string>): Buffer[] {
  const chunks: Buffer[] = [];
  let text = '';
  for (const line of lines) {
    text += line;
    // A character is at least one byte in UTF-8.
    if (text.length >= 64 * 1024) {
      chunks.push(Buffer.from(text));
      text = '';
    }
  }
  if (text !== '') chunks.push(Buffer.from(text));
  return chunks;
}
