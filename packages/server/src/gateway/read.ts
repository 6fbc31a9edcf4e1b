/** Read: what is answered to one of the reads that the key-value client puts together. */

import type { SluiceError } from 'sluice';
import { HttpError, overloaded } from './http-error.js';
import { type ReadQuery, toJsonObject } from './read-query.js';

/**
 * Looks keys up; keys that do not exist are absent from the answer. What failed is a `SluiceError` in its key's place, or the
 * rejection: `INVALID_VALUE`, `TIMEOUT`, `OVERLOADED`, `CLOSED`, `KEY_TOO_LONG`, anything else for an upstream that failed.
 */
export type ReadKeys = (
  keys: readonly string[],
  /** Takes what makes the read leave: it is called when the client is gone, or has its answer. */
  whenGone: (leave: () => void) => void,
) => Promise<Found>;

/** What was found of the keys that were asked for: a value each, or why there is none. */
export type Found = ReadonlyMap<string, number | SluiceError>;

/** What a read is answered with. */
export interface ReadAnswer {
  /** 200, or 207 when some keys failed and that was asked for. */
  readonly status: number;
  /** JSON text. */
  readonly body: string;
  /** Keys left out because the backend's value is not a number. */
  readonly invalid: number;
}

/**
 * What a read is answered with. A key whose value is not a number is left out like one that does not exist: it fails nobody else.
 *
 * @param partial answers `{ "values", "errors" }`, so that keys which failed do not hide the others; else the first failure is that of
 * the whole read.
 * @throws HttpError as {@link readError}.
 */
export function answerRead(query: ReadQuery, found: Found, partial: boolean): ReadAnswer {
  const { values, failed, invalid } = sorted(found);
  const selected = toJsonObject(query.select(values));
  if (!partial) {
    for (const error of failed.values()) throw readError(error);
    return { status: 200, body: selected, invalid };
  }
  const errors = new Map([...failed].map(([key, error]) => [key, errorOf(error)]));
  return { status: failed.size > 0 ? 207 : 200, body: `{"values":${selected},"errors":${toJsonObject(errors)}}`, invalid };
}

function sorted(found: Found) {
  const values = new Map<string, number>();
  const failed = new Map<string, SluiceError>();
  let invalid = 0;
  for (const [key, value] of found) {
    if (typeof value === 'number') values.set(key, value);
    else if (value.code === 'INVALID_VALUE') invalid++;
    else failed.set(key, value);
  }
  return { values, failed, invalid };
}

function errorOf(error: SluiceError): { readonly code: string; readonly message: string } {
  const { code, message } = readError(error);
  return { code, message };
}

/** What failed, as it is answered: 414 (a key is too long for the upstream), 502 (the upstream failed), 503 (full), 504 (too late). */
export function readError(error: unknown): HttpError {
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
