/** copy-binary: rows in the binary format of COPY, where every value can be written exactly as the server would read it. */

import { isUtf8 } from 'node:buffer';
import type { SluiceError } from '../core/errors.js';
import { writeNumeric } from './binary-numeric.js';
import { writeDate, writeTimestamp } from './binary-time.js';
import { Bytes } from './bytes.js';
import type { ColumnType, Kind } from './catalogue.js';
import { holdsNulEscape } from './field-text.js';
import { textRow, type WrittenColumn } from './rows.js';

/** A batch in the binary format. */
export interface BinaryRows {
  /** Signature, rows, trailer. */
  readonly data: Buffer;
  readonly rows: number;
  /** A part of it: signature, the rows from `from` up to `to`, trailer. */
  slice(from: number, to: number): readonly Buffer[];
  readonly refused: ReadonlyMap<number, SluiceError>;
}

/** Whether columns of these types can be written in binary at all. */
export function hasBinaryForm(types: readonly ColumnType[]): boolean {
  return types.every(({ kind, element }) => (element?.kind ?? kind) !== 'other');
}

/**
 * The items in the binary format; nothing when a value must be read as text by the server (`'tomorrow'` as a timestamp). What is
 * refused is what {@link textRow} refuses.
 *
 * The format, step by step (manual, COPY, "Binary Format"): the signature of 11 bytes; 32 bits of flags; the length of the
 * extension, 0; for each row 16 bits with the number of its fields, and for each field 32 bits with its length (-1: NULL) and its
 * value as the type's receive function takes it; at the end 16 bits with -1.
 *
 * @param sizeHint bytes to begin with.
 */
export function binaryRows<T>(
  items: readonly T[],
  columns: readonly WrittenColumn<T>[],
  maxRowBytes: number,
  sizeHint: number,
): BinaryRows | undefined {
  const out = new Bytes(Math.max(1024, sizeHint));
  out.copy(header);
  const refused = new Map<number, SluiceError>();
  const ends: number[] = [out.at];
  for (let index = 0; index < items.length; index++) {
    const start = out.at;
    if (writeRow(out, items[index]!, columns) && out.at - start <= maxRowBytes) {
      ends.push(out.at);
      continue;
    }
    out.at = start;
    const row = textRow(items[index]!, columns, maxRowBytes);
    if (Array.isArray(row)) return undefined;
    refused.set(index, row as SluiceError);
  }
  out.int16(-1);
  const data = out.written();
  const slice = (from: number, to: number) => [header, data.subarray(ends[from], ends[to]), trailer];
  return { data, rows: ends.length - 1, slice, refused };
}

const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);

const trailer = Buffer.from([0xff, 0xff]);

function writeRow<T>(out: Bytes, item: T, columns: readonly WrittenColumn<T>[]): boolean {
  out.int16(columns.length);
  try {
    for (let at = 0; at < columns.length; at++) {
      const column = columns[at]!;
      if (!writeValue(out, column.value(item), column.type)) return false;
    }
    return true;
  } catch {
    // The text of the row says which column it was.
    return false;
  }
}

/** Writes a value behind its length; `false` when it has no binary form here. */
function writeValue(out: Bytes, value: unknown, type: ColumnType): boolean {
  if (value === null || value === undefined) {
    out.int32(-1);
    return true;
  }
  return type.element === undefined ? writeScalar(out, value, type.kind) : writeArray(out, value, type.element);
}

function writeScalar(out: Bytes, value: unknown, kind: Kind): boolean {
  switch (kind) {
    case 'text':
      return typeof value === 'string' ? out.text(value) : writeAsText(out, value);
    case 'json':
    case 'jsonb':
      return writeJson(out, value, kind === 'jsonb' ? 1 : 0);
    case 'timestamptz':
    case 'timestamp':
      return writeTimestamp(out, value, kind === 'timestamptz');
    case 'date':
      return writeDate(out, value);
    case 'bool':
      if (typeof value !== 'boolean') return false;
      out.int32(1);
      out.byte(value ? 1 : 0);
      return true;
    case 'bytea':
      if (!(value instanceof Uint8Array)) return false;
      out.int32(value.length);
      out.copy(value);
      return true;
    case 'uuid':
      return writeUuid(out, value);
    case 'numeric':
      return (
        (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string') && writeNumeric(out, String(value))
      );
    case 'float4':
    case 'float8':
      return writeFloat(out, value, kind);
    case 'int2':
    case 'int4':
    case 'int8':
      return writeInteger(out, value, kind);
    default:
      return false;
  }
}

function writeAsText(out: Bytes, value: unknown): boolean {
  return ['number', 'bigint', 'boolean'].includes(typeof value) && out.text(String(value));
}

/** Version 1 of jsonb's binary form is the text behind a byte of 1; json's is the text. */
function writeJson(out: Bytes, value: unknown, lead: 0 | 1): boolean {
  if (value instanceof Uint8Array) {
    // Bytes go as they are. What is wrong with them is said where they are read as text.
    if (!isUtf8(value)) return false;
    if (lead === 1 && Buffer.from(value.buffer, value.byteOffset, value.byteLength).includes('\\u0000')) return false;
    out.int32(value.length + lead);
    if (lead === 1) out.byte(1);
    out.copy(value);
    return true;
  }
  const text =
    typeof value === 'string' ? value : typeof value === 'bigint' ? String(value) : (JSON.stringify(value) as string | undefined);
  if (text === undefined || (lead === 1 && holdsNulEscape(text))) return false;
  return out.text(text, lead);
}

const uuidText = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function writeUuid(out: Bytes, value: unknown): boolean {
  if (typeof value !== 'string' || !uuidText.test(value)) return false;
  out.int32(16);
  out.reserve(16);
  out.at += out.buffer.write(value.replaceAll('-', ''), out.at, 'hex');
  return true;
}

function writeFloat(out: Bytes, value: unknown, kind: 'float4' | 'float8'): boolean {
  if (typeof value !== 'number') return false;
  if (kind === 'float8') {
    out.int32(8);
    out.float64(value);
    return true;
  }
  // The server refuses what overflows or vanishes in 32 bits; Math.fround would not.
  const narrow = Math.fround(value);
  if (Number.isFinite(value) && (!Number.isFinite(narrow) || (narrow === 0 && value !== 0))) return false;
  out.int32(4);
  out.float32(narrow);
  return true;
}

const integerBounds = {
  int2: { bytes: 2, least: -(2 ** 15), most: 2 ** 15 - 1 },
  int4: { bytes: 4, least: -(2 ** 31), most: 2 ** 31 - 1 },
  int8: { bytes: 8, least: Number.MIN_SAFE_INTEGER, most: Number.MAX_SAFE_INTEGER },
} as const;

function writeInteger(out: Bytes, value: unknown, kind: 'int2' | 'int4' | 'int8'): boolean {
  const { bytes, least, most } = integerBounds[kind];
  if (typeof value === 'string') return /^-?\d{1,15}$/.test(value) && writeInteger(out, Number(value), kind);
  if (typeof value === 'bigint') {
    if (value >= least && value <= most) return writeInteger(out, Number(value), kind);
    if (kind !== 'int8' || BigInt.asIntN(64, value) !== value) return false;
    out.int32(8);
    out.int64(value);
    return true;
  }
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) return false;
  out.int32(bytes);
  if (bytes === 2) out.int16(value as number);
  else if (bytes === 4) out.int32(value as number);
  else out.int64(value as number);
  return true;
}

/** Dimensions, a flag for NULLs, the type of the elements; each dimension's length and lower bound; then the elements. */
function writeArray(out: Bytes, value: unknown, element: { readonly kind: Kind; readonly oid: number }): boolean {
  const dimensions = dimensionsOf(value, element.kind);
  if (dimensions === undefined) return false;
  const lengthAt = out.at;
  out.int32(0);
  const count = dimensions.reduce((product, length) => product * length, 1);
  // The first is empty, the others need not be: what an array of arrays is then, the server says.
  if (count === 0 && dimensions.length > 1) return false;
  out.int32(count === 0 ? 0 : dimensions.length);
  out.int32(1);
  out.int32(element.oid | 0);
  if (count > 0) {
    for (const length of dimensions) {
      out.int32(length);
      out.int32(1);
    }
    if (!writeElements(out, value as readonly unknown[], dimensions, 0, element.kind)) return false;
  }
  out.buffer.writeInt32BE(out.at - lengthAt - 4, lengthAt);
  return true;
}

/** The lengths of nested arrays, outermost first, as their first elements show them. */
function dimensionsOf(value: unknown, kind: Kind): number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const nested = Array.isArray(value[0]) && kind !== 'json' && kind !== 'jsonb';
  const inner = nested ? dimensionsOf(value[0], kind) : [];
  return inner === undefined || inner.length > 5 ? undefined : [value.length, ...inner];
}

function writeElements(
  out: Bytes,
  values: readonly unknown[],
  dimensions: readonly number[],
  depth: number,
  kind: Kind,
): boolean {
  if (values.length !== dimensions[depth]) return false;
  const deepest = depth === dimensions.length - 1;
  for (const value of values) {
    const nested = Array.isArray(value) && kind !== 'json' && kind !== 'jsonb';
    if (deepest === nested) return false;
    const written = deepest
      ? writeValue(out, value, { kind })
      : writeElements(out, value as readonly unknown[], dimensions, depth + 1, kind);
    if (!written) return false;
  }
  return true;
}
