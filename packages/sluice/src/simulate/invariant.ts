/** Invariants: what a batcher promises, and what it looks like when a promise is broken. */

import { failure } from '../core/errors.js';
import type { Window } from '../core/window.js';

/**
 * What must hold at every step.
 *
 * - `settledOnce`: every item is cut once and told once, and nobody is told `ok` of what the sink never took.
 * - `tally`: it balances, per lane too, no count is negative, and it agrees with what was offered.
 * - `bounds`: items and bytes of a batch, held items and bytes, waiters, calls at once, batches of a lane; no empty batch.
 * - `delay`: a batch leaves when its window is over, or in the turn in which a slot is free again, whichever is later; no lane has
 *   something due, could send it, and does not.
 * - `order`: the sink sees the items of a lane for the first time in their order, those of a key in order whatever is retried; a lane
 *   that halted sends nothing until it is resumed.
 * - `boundary`: a value comes from a call that began after it was asked for.
 * - `fairness`: a lane that could go is not passed over for long.
 * - `rest`: when all is over no timer runs, no listener is left, nothing is held, every caller has been told.
 */
export type Invariant = 'settledOnce' | 'tally' | 'bounds' | 'delay' | 'order' | 'boundary' | 'fairness' | 'rest';

/** A promise that was broken. */
export interface Violation {
  readonly invariant: Invariant;
  /** In monotonic milliseconds. */
  readonly atMs: number;
  readonly what: string;
}

/** What the watched batcher has promised: its options as they were given. Bounds that are left out are not checked. */
export interface Promised {
  readonly window: Window;
  readonly maxItems?: number;
  readonly maxBytes?: number;
  readonly maxInFlight?: number;
  readonly maxHeldItems?: number;
  readonly maxHeldBytes?: number;
  readonly maxWaiting?: number;
  /** Unsettled batches of one lane. */
  readonly maxInFlightPerLane?: number;
  /** Held items and bytes of one lane. */
  readonly maxHeldItemsPerLane?: number;
  readonly maxHeldBytesPerLane?: number;
  /** After an item that failed for good nothing of its lane is sent until it is resumed (`strict: 'halt'`). */
  readonly halts?: boolean;
  /** Items of other lanes that may leave while a lane could go. */
  readonly maxPassedOver?: number;
  /**
   * A layer may come to refuse at once what it made wait before, as a breaker with `open: 'reject'` does; who waits is not woken for
   * that, and what could go without being written may stay. Default: from the first time that a breaker opens.
   */
  readonly refuses?: boolean;
  /** No other layer than the batcher's own limit stands between it and the sink, and no call is ever abandoned: slot waits are exact. */
  readonly plain?: boolean;
}

/** A failure that names what was broken, for a test to throw. */
export function broken(violations: readonly Violation[]): Error {
  const lines = violations.map(({ invariant, atMs, what }) => `${invariant} at ${atMs} ms: ${what}`);
  return failure(`${violations.length} invariants were broken\n${lines.join('\n')}`, { code: 'INVARIANT_BROKEN' });
}
