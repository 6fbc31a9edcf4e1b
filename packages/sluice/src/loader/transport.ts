/** The transport of the key fetcher: a callback that may lie becomes a promise that settles once. */

import { asFailure, type FailureClass, failure, type SluiceError } from '../core/errors.js';

/**
 * Sends `GET path` and calls back once, with an error or with the text of the reply.
 *
 * The third argument and the return value are optional extras for a transport that can cancel: it is given a `signal`, and may
 * return a function; at the time-out, or when nobody waits any more, the signal is aborted and the function called. A transport
 * may also return a promise: if that rejects, the call has failed.
 *
 * An error with a numeric `status` or `statusCode` is classified by it (408, 425, 429 and 5xx transient; 401, 403 and 404 blocked;
 * 414 and 431: sent again in halves; all others permanent), any other is transient, unless it has a `class`. Its `retryAfterMs` is
 * a floor for the pause before a retry.
 */
export type HttpGetAsync = (
  path: string,
  callback: (error: unknown, body?: unknown) => void,
  options: { readonly signal: AbortSignal },
) => unknown;

/** The code of a failure that a shorter URL may mend. */
export const urlTooLong = 'URL_TOO_LONG';

/**
 * One call of the transport, as a promise of the body. It settles at the first answer, or when `signal` is aborted: a transport
 * that cannot cancel goes on alone, and what it answers then, or answers twice, goes to `onLate`.
 */
export function get(httpGetAsync: HttpGetAsync, path: string, signal: AbortSignal, onLate: () => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let over = false;
    let cancel: unknown;
    const onAbort = () => {
      over = true;
      reject(signal.reason);
      if (typeof cancel === 'function') cancelQuietly(cancel as () => void);
    };
    const answer = (error: unknown, body?: unknown) => {
      if (over) return isEcho(error, signal) ? undefined : onLate();
      over = true;
      signal.removeEventListener('abort', onAbort);
      if (error === undefined || error === null) resolve(body);
      else reject(transportFailure(error));
    };
    signal.addEventListener('abort', onAbort);
    try {
      const returned = httpGetAsync(path, answer, { signal });
      if (typeof returned === 'function') {
        cancel = returned;
        if (signal.aborted) cancelQuietly(returned as () => void);
      } else if (isThenable(returned)) {
        // A transport that rejects after it has called back has answered: that is not a late reply.
        returned.then(undefined, (error: unknown) => {
          if (!over) answer(error ?? failure('the transport rejected.'));
        });
      }
    } catch (thrown) {
      if (!over) answer(thrown ?? failure('the transport threw.'));
    }
  });
}

/** A transport that reports its own cancellation brings no reply. */
function isEcho(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || (error instanceof Error && error.name === 'AbortError'));
}

/** What an error of the transport means, by the status that it carries. */
function transportFailure(error: unknown): SluiceError {
  const status = statusOf(error);
  if (status === undefined) return asFailure(error, 'transient');
  const code = status === 414 || status === 431 ? urlTooLong : 'HTTP_STATUS';
  const message = error instanceof Error ? error.message : '';
  const retryAfterMs = (error as { retryAfterMs?: unknown }).retryAfterMs;
  return failure(`the backend answered ${status}${message === '' ? '.' : `: ${message}`}`, {
    code,
    class: classOf(status),
    cause: error,
    ...(typeof retryAfterMs === 'number' && Number.isFinite(retryAfterMs) ? { retryAfterMs } : {}),
  });
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { status, statusCode } = error as { status?: unknown; statusCode?: unknown };
  if (typeof status === 'number') return status;
  return typeof statusCode === 'number' ? statusCode : undefined;
}

function classOf(status: number): FailureClass {
  if (status === 408 || status === 425 || status === 429 || status >= 500) return 'transient';
  return status === 401 || status === 403 || status === 404 ? 'blocked' : 'permanent';
}

/** Whether something can be waited for. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

function cancelQuietly(cancel: () => void): void {
  try {
    cancel();
  } catch {
    // It could not cancel; its answer, if it comes, is late.
  }
}
