/** The path of `GET /read`: how keys are written into it, and how many fit. */

import { failure, type SluiceError, shorten } from '../core/errors.js';

/**
 * Keys as `GET /read` takes them: each percent-encoded, joined by literal commas. `['a,b', 'é', '100%']` gives
 * `a%2Cb,%C3%A9,100%25`. A server that cuts the raw value at its literal commas, then decodes, gets them back.
 *
 * @throws URIError when a key holds half of a surrogate pair: it has no UTF-8 form.
 */
export function encodeKeys(keys: readonly string[]): string {
  return keys.map(encodeURIComponent).join(',');
}

/**
 * Divides keys, in order, into the fewest runs whose encoded form, commas included, has at most `maxBytes` bytes. A key that is
 * longer alone stands alone.
 *
 * @throws URIError as {@link encodeKeys}.
 */
export function splitKeys(keys: readonly string[], maxBytes: number): string[][] {
  return fill(keys, (key) => encodeURIComponent(key).length + 1, maxBytes + 1);
}

/** Divides parts, in order, into runs of at most `maxBytes` bytes; one that is larger stands alone. */
export function fill<T>(parts: readonly T[], bytesOf: (part: T) => number, maxBytes: number): T[][] {
  const runs: T[][] = [];
  let run: T[] = [];
  let bytes = 0;
  for (const part of parts) {
    const more = bytesOf(part);
    if (run.length > 0 && bytes + more > maxBytes) {
      runs.push(run);
      run = [];
      bytes = 0;
    }
    run.push(part);
    bytes += more;
  }
  if (run.length > 0) runs.push(run);
  return runs;
}

/** What comes before the keys: `/read?keys=`. */
export function pathBeforeKeys(path: string): string {
  return `${path}${path.includes('?') ? '&' : '?'}keys=`;
}

/** The bytes of a key in the URL with its comma, or why it cannot be asked for: such a key is refused alone, before it joins a batch. */
export function keyBytes(key: unknown, maxKeyBytes: number): number | SluiceError {
  if (typeof key !== 'string' || key === '') return invalidKey(key, 'a key is a string of one character or more');
  let bytes: number;
  try {
    bytes = encodeURIComponent(key).length;
  } catch {
    return invalidKey(key, 'half of a surrogate pair has no UTF-8 form');
  }
  if (bytes <= maxKeyBytes) return bytes + 1;
  return failure(`the key ${shorten(key)} takes ${bytes} bytes in the URL, and maxUrlBytes leaves ${maxKeyBytes}.`, {
    code: 'KEY_TOO_LONG',
    class: 'rejected',
    key,
  });
}

function invalidKey(key: unknown, why: string): SluiceError {
  return failure(`invalid key ${shorten(key)}: ${why}.`, { code: 'INVALID_KEY', class: 'rejected', key });
}
