/** field-text: a value as the text that PostgreSQL's types read, or why no text can hold it. Pure. */

import { isUtf8 } from 'node:buffer';
import type { ColumnType, Kind } from './catalogue.js';

/** Why a value cannot be written. */
export interface Problem {
  readonly problem: string;
}

/** The text of a value for a column of this type; `null` is NULL. Whether the text fits the type is left to the server. */
export function fieldText(value: unknown, type: ColumnType): string | null | Problem {
  if (value === null || value === undefined) return null;
  if (type.element !== undefined && Array.isArray(value)) return arrayText(value, type.element.kind);
  const text = scalarText(value, type.kind);
  // Digits hold nothing to be checked.
  return typeof text === 'string' && !(value instanceof Date) && typeof value !== 'number' ? checked(text) : text;
}

/** Text as it is, or what in it PostgreSQL cannot hold. */
function checked(text: string): string | Problem {
  if (text.includes('\0')) return { problem: 'PostgreSQL text cannot hold a NUL character' };
  if (!(text as WellFormed).isWellFormed()) return { problem: 'the text holds half of a surrogate pair, which has no UTF-8' };
  return text;
}

/** Of ES2024, present in Node 20; the library is compiled against ES2023. */
export type WellFormed = string & { isWellFormed(): boolean };

function scalarText(value: unknown, kind: Kind): string | Problem {
  if (kind === 'json' || kind === 'jsonb') return jsonText(value, kind);
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
  }
  if (value instanceof Date) return dateText(value);
  if (value instanceof Uint8Array) return `\\x${bufferOf(value).toString('hex')}`;
  return {
    problem: `expected text, a number, a boolean, a Date, bytes or null; got ${Array.isArray(value) ? 'an array' : typeof value}`,
  };
}

/** Text and bytes are JSON already; anything else becomes JSON. */
function jsonText(value: unknown, kind: Kind): string | Problem {
  let text: string | undefined;
  if (typeof value === 'string') text = value;
  else if (value instanceof Uint8Array) {
    if (!isUtf8(value)) return { problem: 'the bytes of the JSON text are not UTF-8' };
    text = bufferOf(value).toString('utf8');
  } else if (typeof value === 'bigint') text = String(value);
  else text = JSON.stringify(value) as string | undefined;
  if (text === undefined) return { problem: `JSON cannot hold a ${typeof value}` };
  return kind === 'jsonb' && holdsNulEscape(text) ? { problem: 'jsonb cannot hold \\u0000' } : text;
}

/** `\u0000` is an escape only after an even number of backslashes. */
export function holdsNulEscape(json: string): boolean {
  return json.includes('\\u0000') && /(?<!\\)(?:\\\\)*\\u0000/.test(json);
}

/** ISO 8601 as PostgreSQL reads it: no sign before the year, and BC written out (year 0 is 1 BC). */
function dateText(date: Date): string | Problem {
  if (Number.isNaN(date.getTime())) return { problem: 'the Date is invalid' };
  const year = date.getUTCFullYear();
  if (year > 0 && year < 10_000) return date.toISOString();
  const rest = date.toISOString().slice(-20);
  return year > 0 ? `${String(year).padStart(4, '0')}${rest}` : `${String(1 - year).padStart(4, '0')}${rest} BC`;
}

/** An array literal; the elements of nested arrays are its dimensions, but of an array of json they are JSON. */
function arrayText(values: readonly unknown[], kind: Kind): string | Problem {
  let text = '{';
  for (const value of values) {
    const nested = Array.isArray(value) && kind !== 'json' && kind !== 'jsonb';
    const element = nested ? arrayText(value, kind) : fieldText(value, { kind });
    if (element !== null && typeof element !== 'string') return element;
    text += `${text.length === 1 ? '' : ','}${element === null ? 'NULL' : nested ? element : quotedElement(element)}`;
  }
  return `${text}}`;
}

/** An element of an array literal, in quotes: `a"b` as `"a\"b"`. */
export function quotedElement(text: string): string {
  return /["\\]/.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : `"${text}"`;
}

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
