/** Invariants: what a batcher promises, and what it looks like when a promise is broken. */

import { failure } from '../core/errors.js';
import type { Window } from '../core/window.js';

/**
 * What must hold at every step.
 *
 * - `settledOnce`: every item is cut once and told once, and nobody is told `ok` of what the sink never took.
 * - `tally`: it balances, per lane too, no count is negative, and it agrees with what was offered.
 * - `bounds`: items and bytes of a batch, held items and bytes, waiters, calls at once, batches of a lane; no empty batch.
 * - `delay`: a batch leaves when its window is over, or in the turn in which a slot is free again, whichever is later.
 * - `order`: the sink sees the items of a lane for the first time in their order.
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
  /** Items of other lanes that may leave while a lane could go. */
  readonly maxPassedOver?: number;
  /** No other layer than the batcher's own limit stands between it and the sink, and no call is ever abandoned: slot waits are exact. */
  readonly plain?: boolean;
}

/** A failure that names what was broken, for a test to throw. */
export function broken(violations: readonly Violation[]): Error {
  const lines = violations.map(({ invariant, atMs, what }) => `${invariant} at ${atMs} ms: ${what}`);
  return failure(`${violations.length} invariants were broken\n${lines.join('\n')}`, { code: 'INVARIANT_BROKEN' });
}
