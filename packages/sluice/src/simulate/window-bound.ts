/** The latest moment at which a window lets a batch wait, whatever its strategy. */

import type { Window } from '../core/window.js';

/** What the windows of the engine may say of time; read by its members, so that a new strategy needs no change here. */
interface Times {
  readonly maxDelayMs?: number;
  readonly everyMs?: number;
  readonly throttleMs?: number;
  readonly quietMs?: number;
}

/**
 * When a batch whose first item was accepted at `firstAt` is due at the latest, in monotonic milliseconds, were a slot free.
 *
 * @param lastCutAt when the batch before it left, from which `{ throttleMs }` counts.
 */
export function latestDueAt(window: Window, firstAt: number, lastCutAt: number): number {
  if (typeof window !== 'object') return firstAt;
  const { maxDelayMs, everyMs, throttleMs, quietMs } = window as Times;
  if (throttleMs !== undefined) return Math.max(firstAt, lastCutAt + throttleMs);
  return firstAt + (maxDelayMs ?? everyMs ?? quietMs ?? Number.POSITIVE_INFINITY);
}
