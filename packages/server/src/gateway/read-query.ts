/** The query of `GET /read`: which keys a URL asks for, under every spelling that clients send. */

import { HttpError } from './http-error.js';
import { checkParameters, isSet } from './parameters.js';
import { isTooDeep } from './text.js';

/** The keys that a URL asks for. */
export interface ReadQuery {
  /** Every key to look up, each once, in the order of the URL. */
  readonly keys: readonly string[];
  /** What to answer with, given what was found of the keys: a map from key to value in the order of the URL. */
  select<V>(found: ReadonlyMap<string, V>): ReadonlyMap<string, V>;
}

/** The query of a URL, without its question mark. */
export function queryOf(rawUrl: string): string {
  const mark = rawUrl.indexOf('?');
  return mark === -1 ? '' : rawUrl.slice(mark + 1);
}

/** Asks for one key, as it is. */
export function oneKey(key: string): ReadQuery {
  return { keys: [key], select: (found) => found };
}

/**
 * Reads the raw query of a `GET /read`.
 *
 * `keys=a,b` is cut at its literal commas, then each key is decoded: `a%2Cb` is one key with a comma in it. A value without a
 * literal comma but with an encoded one is ambiguous, since many clients encode separators: the whole and its parts are looked
 * up, and the whole wins where it exists. `key=` may be repeated and is never cut. `+` means a space. Empty keys are skipped,
 * the same key twice is one lookup.
 *
 * @throws HttpError 400 without a key, or when the percent-encoding is malformed.
 */
export function readQuery(query: string): ReadQuery {
  const asked: Asked[] = [];
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    const name = equals === -1 ? pair : pair.slice(0, equals);
    const value = equals === -1 ? '' : pair.slice(equals + 1);
    if (name === 'keys') asked.push(...askedByKeys(value));
    else if (name === 'key') asked.push({ key: decode(value) });
  }
  const wanted = asked.filter(({ key }) => key !== '');
  if (wanted.length === 0) throw new HttpError(400, 'MISSING_KEYS', 'expected at least one key, as in /read?keys=k1,k2');
  const [first] = wanted;
  if (wanted.length === 1 && first!.parts === undefined) return oneKey(first!.key);
  return {
    keys: [...new Set(wanted.flatMap(({ key, parts = [] }) => [key, ...parts]))],
    select: (found) => select(wanted, found),
  };
}

/**
 * The keys of a body: a JSON array of strings, or `{ "keys": [...] }`. Empty keys are skipped, the same key twice is one lookup.
 *
 * @throws HttpError 400 when it is neither, or without a key; 413 above `maxKeys`.
 */
export function keysQuery(body: Buffer, maxKeys: number): ReadQuery {
  const asked = keysOf(body);
  if (asked.length > maxKeys)
    throw new HttpError(413, 'TOO_MANY_KEYS', `expected at most ${maxKeys} keys in one request, got ${asked.length}`);
  const keys = [...new Set(asked.filter((key) => key !== ''))];
  if (keys.length === 0) throw new HttpError(400, 'MISSING_KEYS', 'expected at least one key, as in ["k1","k2"]');
  return {
    keys,
    select: (found) =>
      select(
        keys.map((key) => ({ key })),
        found,
      ),
  };
}

function keysOf(body: Buffer): readonly string[] {
  let value: unknown;
  // Parsing 10 MiB of brackets takes seconds in which nobody else is served.
  if (isTooDeep(body, keysDepth)) throw noKeys();
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new HttpError(400, 'INVALID_JSON', `not valid JSON: ${(error as Error).message.slice(0, 160)}`);
  }
  const keys = Array.isArray(value) ? value : (value as { keys?: unknown } | null)?.keys;
  if (Array.isArray(keys) && keys.every((key) => typeof key === 'string')) return keys;
  throw noKeys();
}

/** More than keys need. */
const keysDepth = 8;

function noKeys(): HttpError {
  return new HttpError(400, 'INVALID_KEYS', 'expected a JSON array of keys that are strings, or { "keys": [...] }');
}

/** A key, and the keys it stands for where there is no such key. */
interface Asked {
  readonly key: string;
  readonly parts?: readonly string[];
}

function askedByKeys(value: string): Asked[] {
  if (value.includes(',')) return value.split(',').map((token) => ({ key: decode(token) }));
  const key = decode(value);
  if (!key.includes(',')) return [{ key }];
  return [{ key, parts: key.split(',').filter((part) => part !== '') }];
}

function decode(token: string): string {
  try {
    return decodeURIComponent(token.replaceAll('+', ' '));
  } catch {
    throw new HttpError(400, 'INVALID_KEY', 'a key is not valid percent-encoded UTF-8; a percent sign in a key is written %25');
  }
}

function select<V>(asked: readonly Asked[], found: ReadonlyMap<string, V>): Map<string, V> {
  const selected = new Map<string, V>();
  for (const { key, parts = [] } of asked) {
    for (const each of found.has(key) ? [key] : parts) if (found.has(each)) selected.set(each, found.get(each) as V);
  }
  return selected;
}

/**
 * Whether what failed is to be told beside the rest, by the parameter `partial` of a query.
 *
 * @throws HttpError 400 for a value that is no flag, and for parameters other than it and `known`.
 */
export function isPartial(query: string, known: readonly string[]): boolean {
  // Nearly always: it need not be read twice.
  if (known.length > 0 && keysAlone.test(query)) return false;
  const parameters = new URLSearchParams(query);
  checkParameters(parameters.keys(), [...known, 'partial']);
  return isSet('partial', parameters.getAll('partial').at(-1));
}

const keysAlone = /^(?:keys?=[^&]*(?:&|$))+$/;

/** A map as a JSON object, with `__proto__` as ordinary as any other key, in the map's order. */
export function toJsonObject(values: ReadonlyMap<string, unknown>): string {
  let members = '';
  for (const [key, value] of values) {
    members += `${members === '' ? '' : ','}${JSON.stringify(key)}:${JSON.stringify(value) ?? 'null'}`;
  }
  return `{${members}}`;
}
