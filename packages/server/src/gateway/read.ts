/** Read: `GET /read` over the key-value client, which batches the reads of all clients. */

import { HttpError, overloaded } from './http-error.js';
import { readQuery, toJsonObject } from './read-query.js';

/**
 * Looks keys up; keys that do not exist are absent from the answer. Rejects with a `SluiceError`: `TIMEOUT`, `OVERLOADED`,
 * `CLOSED`, `KEY_TOO_LONG`, anything else for an upstream that failed.
 */
export type ReadKeys = (keys: readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, number>>;

/**
 * Answers one `GET /read` with the JSON text of its body.
 *
 * @throws HttpError 400 (no keys, malformed), 414 (a key is too long for the upstream), 502 (the upstream failed), 503 (full),
 * 504 (too late).
 */
export async function answerRead(rawUrl: string, read: ReadKeys, signal: AbortSignal): Promise<string> {
  const query = readQuery(rawUrl);
  try {
    return toJsonObject(query.select(await read(query.keys, signal)));
  } catch (error) {
    throw readError(error);
  }
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
