/** Read: `GET /read` over the key-value client, which batches the reads of all clients. */

import type { SluiceError } from 'sluice';
import { HttpError, overloaded } from './http-error.js';
import { readQuery, toJsonObject } from './read-query.js';

/**
 * Looks keys up; keys that do not exist are absent from the answer. What failed is a `SluiceError` in its key's place, or the
 * rejection: `INVALID_VALUE`, `TIMEOUT`, `OVERLOADED`, `CLOSED`, `KEY_TOO_LONG`, anything else for an upstream that failed.
 */
export type ReadKeys = (keys: readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, number | SluiceError>>;

/** What a `GET /read` is answered with. */
export interface ReadAnswer {
  /** JSON text. */
  readonly body: string;
  /** Keys left out because the backend's value is not a number. */
  readonly invalid: number;
}

/**
 * Answers one `GET /read`. A key whose value is not a number is left out like one that does not exist: it fails nobody else.
 *
 * @throws HttpError 400 (no keys, malformed), 414 (a key is too long for the upstream), 502 (the upstream failed), 503 (full),
 * 504 (too late).
 */
export async function answerRead(rawUrl: string, read: ReadKeys, signal: AbortSignal): Promise<ReadAnswer> {
  const query = readQuery(rawUrl);
  try {
    const { values, invalid } = numbersOf(await read(query.keys, signal));
    return { body: toJsonObject(query.select(values)), invalid };
  } catch (error) {
    throw readError(error);
  }
}

function numbersOf(found: ReadonlyMap<string, number | SluiceError>): { values: Map<string, number>; invalid: number } {
  const values = new Map<string, number>();
  let invalid = 0;
  for (const [key, value] of found) {
    if (typeof value === 'number') values.set(key, value);
    else if (value.code === 'INVALID_VALUE') invalid++;
    else throw value;
  }
  return { values, invalid };
}

function readError(error: unknown): HttpError {
  const { code, message, retryAfterMs } = error as { code?: unknown; message?: string; retryAfterMs?: number };
  switch (code) {
    case 'TIMEOUT':
      return new HttpError(504, 'UPSTREAM_TIMEOUT', 'the key-value backend did not answer in time');
    case 'OVERLOADED':
      return overloaded('OVERLOADED', 'too many reads are under way; send this one again later', retryAfterMs);
    case 'CLOSED':
    case 'SHUTDOWN_TIMEOUT':
      return overloaded('SHUTTING_DOWN', 'the service is shutting down; send the request again later', 5_000);
    case 'INVALID_KEY':
      return new HttpError(400, 'INVALID_KEY', message ?? 'a key is not valid');
    case 'KEY_TOO_LONG':
      return new HttpError(414, 'KEY_TOO_LONG', 'a key is too long for the URL of the key-value backend');
    case 'CANCELLED':
      return new HttpError(499, 'CANCELLED', 'the client left before the answer');
    default:
      return new HttpError(
        502,
        'UPSTREAM_FAILED',
        `the key-value backend could not be read: ${(message ?? String(error)).slice(0, 200)}`,
      );
  }
}
