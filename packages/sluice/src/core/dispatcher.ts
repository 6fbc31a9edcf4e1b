/** Dispatcher, layer, sink: how a batch is handed on, and the three laws that every layer keeps. */

import type { Env } from '../env/env.js';
import type { Batch, Item } from './batch.js';
import type { Outcome } from './outcome.js';

/** What travels with a batch through the layers. */
export interface DispatchContext {
  /** Aborted when nobody waits any more, or when the drain deadline has passed. */
  readonly signal: AbortSignal;
  /** The total deadline of the batch in monotonic milliseconds, retries included; `Infinity` when there is none. */
  readonly deadlineAt: number;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Writing the same items again does no harm, so that an `unknown` failure may be tried again. */
  readonly idempotent: boolean;
}

/**
 * Hands a batch on. Three laws:
 *
 * 1. `dispatch` resolves to one outcome per item, in item order, and never rejects.
 * 2. `ready(lane)` is advice: `true` when a dispatch begun in this same turn would start, or be refused, at once, else a promise to
 *    ask again. It reserves nothing, so nothing can leak. The same promise for two lanes says that all wait for the same thing, as for a permit;
 *    what stops one lane alone is a promise of its own. No layer awaits between `dispatch` and the permit.
 * 3. After resolving, a dispatcher reads and settles nothing. A call that still runs is *abandoned*: counted, its bytes still
 *    held, at most `maxAbandoned` of them, beyond which `ready` waits.
 */
export interface Dispatcher<I, R> {
  ready(lane: string): true | Promise<void>;
  dispatch(batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]>;
}

/** One policy: a function from dispatcher to dispatcher. Layer order, outermost first: see `sluice/layers`. */
export type Layer<I, R> = (inner: Dispatcher<I, R>, env: Env) => Dispatcher<I, R>;

/** What a sink is told beside the items. */
export interface SinkContext extends DispatchContext {
  /** The batch's id: stable over retries of the same members, hence fit for an idempotency key. */
  readonly batchId: string;
  readonly lane: string;
  /** The items behind the values, in the same order, for a sink that wants ids, deadlines or idempotency keys. */
  readonly entries: readonly Item<unknown>[];
}

/** What a sink answers: nothing (all done), or one entry per item: its value, or the error that fails it. */
export type SinkAnswer<R> = void | readonly (R | Error)[];

/**
 * Where writes end. Structural: a third-party sink need not import us.
 *
 * Return nothing (all done), or one entry per item: a value, or any `Error`, which fails that item (with its own `class`, else
 * `permanent`). A wrong length fails the batch (`unknown`, `RESULT_LENGTH_MISMATCH`). A plain throw is `transient`; a thrown
 * error's own `class` is believed.
 */
export interface Sink<T, R = void> {
  /** Writing the same items again does no harm, and what was written once is not refused for good later. Default false. */
  readonly idempotent?: boolean;
  /** All of the batch is written, or nothing. Default false. */
  readonly atomic?: boolean;
  write(items: readonly T[], context: SinkContext): SinkAnswer<R> | Promise<SinkAnswer<R>>;
  close?(): Promise<void>;
}
