/** The errors of single callers: each its own object, because callers may change or rethrow it. */

import { failure, invalidOption, type SluiceError, shorten } from '../core/errors.js';
import { checkCall } from '../core/options.js';
import type { CallOptions } from './leaving.js';

/** The error of one caller whose key failed; the failure that all share is its cause. */
export function ownError(shared: SluiceError, key: unknown): SluiceError {
  const missing = shared.code === 'KEY_NOT_FOUND' ? `no value for key ${shorten(key)}: ` : '';
  // Its members are options, too: code, class, retryAfterMs, deadLetterId.
  return failure(`${missing}${shared.message}`, { ...shared, cause: shared, key: shared.key ?? key });
}

/** The error of a caller whose signal was aborted. */
export function cancelled(signal: AbortSignal): SluiceError {
  return failure('the caller aborted.', { code: 'CANCELLED', class: 'rejected', cause: signal.reason });
}

/** The error of a caller whose own time was up. */
export function outOfTime(timeoutMs: number): SluiceError {
  return failure(`no value within ${timeoutMs} ms.`, { code: 'TIMEOUT', class: 'unknown' });
}

/** Why a call with these options cannot even begin, if it cannot. */
export function leftAlready(options: CallOptions): SluiceError | undefined {
  try {
    checkCall(options, ['signal', 'timeoutMs']);
  } catch (refusal) {
    return refusal as SluiceError;
  }
  const { signal, timeoutMs } = options;
  if (signal?.aborted) return cancelled(signal);
  if (timeoutMs === undefined || timeoutMs >= 0) return undefined;
  return invalidOption(`timeoutMs must be 0 ms or more; got ${shorten(timeoutMs)}`);
}

/** What tells a key apart: itself, or what `keyBy` makes of it; an object when it is no key. */
export function identityOf<K>(key: K, keyBy: ((key: K) => unknown) | undefined): unknown {
  if (keyBy === undefined) return key;
  try {
    return keyBy(key);
  } catch (thrown) {
    return thrown instanceof Error ? thrown : failure('keyBy threw', { cause: thrown });
  }
}

/** Whether it can tell keys apart. */
export function isIdentity(identity: unknown): boolean {
  return identity !== undefined && typeof identity !== 'object' && typeof identity !== 'function';
}

/** The error of a caller whose key has no identity. */
export function invalidKey(key: unknown, byKeyBy: boolean, identity: unknown): SluiceError {
  const thrown = byKeyBy && identity instanceof Error;
  const kinds = 'a string, number, bigint, boolean or symbol';
  const what = byKeyBy ? `keyBy must return ${kinds}` : `a key is ${kinds}; for objects, pass keyBy`;
  return failure(`invalid key: ${what}; got ${shorten(byKeyBy && !thrown ? identity : key)}.`, {
    code: 'INVALID_KEY',
    class: 'rejected',
    key,
    cause: thrown ? identity : undefined,
  });
}
