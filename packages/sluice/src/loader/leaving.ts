/** Leaving: a call has a signal, or a time of its own, and stops waiting by it. */

import type { SluiceError } from '../core/errors.js';
import { onAbort } from '../engine/signals.js';
import type { Cancel } from '../env/env.js';
import type { Deadlines } from './deadlines.js';
import { cancelled, outOfTime } from './refusals.js';

/** Options of one call. */
export interface CallOptions {
  /** Leaves: the call rejects with `CANCELLED`. Nobody else who waits for the same key is affected. Default none. */
  readonly signal?: AbortSignal;
  /** Longest time to wait, the window included, in milliseconds, 0 or more; then the call rejects with `TIMEOUT`. Default: no bound. */
  readonly timeoutMs?: number;
}

/**
 * Calls `leave` when the signal is aborted, or the time is up: with what makes the reasons, for each key one of its own.
 *
 * @returns how to stop watching, where there is anything to watch. A signal that is aborted already, or is none, calls nobody.
 */
export function watchCall(
  deadlines: Deadlines,
  { signal, timeoutMs = Number.POSITIVE_INFINITY }: CallOptions,
  leave: (reasonOf: () => SluiceError) => void,
): Cancel | undefined {
  const unsign = signal?.aborted !== false ? undefined : onAbort(signal, () => leave(() => cancelled(signal)));
  if (timeoutMs === Number.POSITIVE_INFINITY || !(timeoutMs >= 0)) return unsign;
  const stopTimer = deadlines.start(timeoutMs, () => leave(() => outOfTime(timeoutMs)));
  return () => {
    unsign?.();
    stopTimer();
  };
}
