/** Event id: what makes an event unique within its stream. */

import { createHash } from 'node:crypto';
import { memberText } from './member.js';

/** Where the id of an event comes from: a top-level field, or a hash of its bytes. */
export type IdSource = { readonly kind: 'field'; readonly field: string } | { readonly kind: 'hash' };

/** Longest id in bytes of UTF-8. */
export const maxIdBytes = 512;

/** The id of an event, `absent` when the field is not there, or what is wrong with it. */
export type FoundId =
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'invalid'; readonly problem: string };

/** Reads `?id=`: `hash`, a field's name, or nothing for the field `id`. */
export function idSource(parameter: string | undefined): IdSource {
  if (parameter === 'hash') return { kind: 'hash' };
  return { kind: 'field', field: parameter ?? 'id' };
}

/**
 * The id of an event.
 *
 * Strings are taken as they are and integers as their decimal digits, however many there are: `7` and `"7"` are the same id.
 * The hash is SHA-256 of the event's bytes as received, in hexadecimal: the same object spelt differently gets another id.
 */
export function findId(source: IdSource, event: Readonly<Record<string, unknown>>, json: Buffer): FoundId {
  if (source.kind === 'hash') return { kind: 'id', id: createHash('sha256').update(json).digest('hex') };
  const { field } = source;
  if (!Object.hasOwn(event, field)) return { kind: 'absent' };
  const value = event[field];
  if (typeof value === 'string') return checkLength(value, field);
  if (typeof value !== 'number')
    return { kind: 'invalid', problem: `the field ${name(field)} must be a string or an integer, to be the id` };
  if (Number.isSafeInteger(value)) return { kind: 'id', id: String(value) };
  // Beyond 2^53 a double is not the number that was sent: two ids would become one.
  const digits = memberText(json, field);
  if (!/^-?\d+$/.test(digits)) {
    const problem = `the field ${name(field)} must be a string, or an integer written in digits, to be the id; it holds ${digits.slice(0, 40)}`;
    return { kind: 'invalid', problem };
  }
  return checkLength(digits, field);
}

function checkLength(id: string, field: string): FoundId {
  // A character takes at most three bytes.
  if (id.length >= 1 && id.length * 3 <= maxIdBytes) return { kind: 'id', id };
  const bytes = Buffer.byteLength(id);
  if (bytes >= 1 && bytes <= maxIdBytes) return { kind: 'id', id };
  return {
    kind: 'invalid',
    problem: `the field ${name(field)} must hold 1 to ${maxIdBytes} bytes, to be the id; it holds ${bytes}`,
  };
}

function name(field: string): string {
  return JSON.stringify(field.slice(0, 60));
}
