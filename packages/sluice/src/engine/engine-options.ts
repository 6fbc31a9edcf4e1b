/** What an engine is made of. */

import type { BatchBounds } from '../core/accumulator.js';
import type { Dispatcher } from '../core/dispatcher.js';
import type { DropReason } from '../core/event.js';
import type { Outcome } from '../core/outcome.js';
import type { Window } from '../core/window.js';
import type { Env } from '../env/env.js';
import type { HeldBounds } from './capacity.js';
import type { EngineItem } from './item.js';
import type { LanesOptions } from './lanes.js';

/** What an engine is made of; the faces fill it in. */
export interface EngineOptions<I, R, E extends EngineItem<I>> extends HeldBounds, BatchBounds {
  /** Names it in events and messages. */
  readonly name: string;
  readonly env: Env;
  readonly window: Window;
  /** Bound on callers that wait for room. */
  readonly maxWaiting: number;
  /** Trying the same items again does no harm. */
  readonly idempotent: boolean;
  /** Divides items into lanes. Default: one lane, named `''`. */
  readonly lanes?: LanesOptions<I> | undefined;
  /** Bounds of what one lane holds. Default: those of the whole. */
  readonly heldPerLane?: HeldBounds | undefined;
  /** Bound on batches of one lane that are not settled, back-off included. Default: none but what may be held. */
  readonly maxInFlightPerLane?: number | undefined;
  /** What a batch is worth when lanes share: by its items, or by its bytes where they are the larger part. Default items. */
  readonly fairBy?: 'items' | 'bytes' | undefined;
  /** A batch takes one item of each key. Default: no keys. */
  orderKeyOf?(value: I): unknown;
  /** A lane in which something failed sends nothing more until it is resumed. Default false. */
  readonly haltOnFailure?: boolean | undefined;
  /** At a bound, drops what is held longest, or the newcomer, in place of refusing it. Default: refuses. */
  readonly drop?: DropReason | undefined;
  /** Told what an overflow policy has dropped. */
  onDropped?(value: I, reason: DropReason): void;
  /** Makes the layers down to the sink; told of their events, the engine keeps the count of abandoned calls. */
  dispatcher(env: Env): Dispatcher<I, R>;
  /** Tells the waiters of one item what became of it; called once per item that has not been cancelled. `index`: its place in the batch. */
  settle(item: E, outcome: Outcome<R>, index: number): void;
  /** Told once after the last `settle` of a batch, or of a drain. */
  onSettled?(): void;
  /** Told which items leave, before they are dispatched. */
  onCut?(items: readonly E[]): void;
  /** Divides what was cut into the batches that are dispatched together, each settled by itself. Default: one batch. */
  split?(items: readonly E[]): readonly (readonly E[])[];
}
