/** The reply of `GET /read`: a JSON object from key to number. One wrong value fails its own key only. */

import { failure, type SluiceError, shorten } from '../core/errors.js';

/** Turns the text of a reply into its keys and values: a `Map`, or an object, of which own members count only. */
export type ParseKvs = (text: string) => ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>;

/** What a reply says of the keys that were asked for, in their order. */
export interface ReadReply {
  /** A number; `undefined` where there is no such key; an error for that key alone. */
  readonly entries: readonly (number | SluiceError | undefined)[];
  /** Keys that nobody had asked for. */
  readonly unrequested: number;
}

/**
 * Reads a reply.
 *
 * @throws SluiceError `BAD_RESPONSE` when it is no text, `parseKvs` throws, or gives neither a Map nor an object.
 */
export function readReply(body: unknown, parseKvs: ParseKvs | undefined, keys: readonly string[]): ReadReply {
  if (typeof body !== 'string') throw badResponse(`the body is not a string but ${body === null ? 'null' : typeof body}`);
  let parsed: unknown;
  try {
    parsed = parseKvs === undefined ? JSON.parse(body) : parseKvs(body);
  } catch (thrown) {
    const what = parseKvs === undefined ? 'it is not JSON' : 'parseKvs threw';
    throw badResponse(`${what}: ${thrown instanceof Error ? thrown.message.slice(0, 200) : shorten(thrown)}`, body, thrown);
  }
  const lookUp = lookUpIn(parsed);
  if (lookUp === undefined) throw badResponse('a JSON object from key to number was expected', body);
  let asked = 0;
  const entries = keys.map((key) => {
    if (!lookUp.has(key)) return undefined;
    asked++;
    return entryOf(key, lookUp.get(key));
  });
  return { entries, unrequested: lookUp.count - asked };
}

interface LookUp {
  readonly count: number;
  has(key: string): boolean;
  get(key: string): unknown;
}

function lookUpIn(parsed: unknown): LookUp | undefined {
  if (parsed instanceof Map) return { count: parsed.size, has: (key) => parsed.has(key), get: (key) => parsed.get(key) };
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
  const members = parsed as Readonly<Record<string, unknown>>;
  // A promise has no members of its own, and would pass for an empty reply.
  if (typeof members.then === 'function') return undefined;
  return { count: Object.keys(members).length, has: (key) => Object.hasOwn(members, key), get: (key) => members[key] };
}

function entryOf(key: string, value: unknown): number | SluiceError | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (value === undefined) return undefined;
  if (value === null) return failure(`the reply holds null for ${shorten(key)}.`, { code: 'KEY_NOT_FOUND', key });
  const got = typeof value === 'object' ? (Array.isArray(value) ? 'an array' : 'an object') : shorten(value);
  return failure(`the value of ${shorten(key)} must be a finite number; the reply holds ${got}.`, { code: 'INVALID_VALUE', key });
}

function badResponse(why: string, body?: string, cause?: unknown): SluiceError {
  const snippet = body === undefined ? '' : ` The body begins: ${JSON.stringify(body.slice(0, 200))}`;
  return failure(`bad response: ${why}.${snippet}`, { code: 'BAD_RESPONSE', cause });
}
