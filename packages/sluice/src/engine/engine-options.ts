/** What an engine is made of. */

import type { BatchBounds } from '../core/accumulator.js';
import type { Dispatcher } from '../core/dispatcher.js';
import type { OutcomeCounts } from '../core/event.js';
import type { Outcome } from '../core/outcome.js';
import type { Window } from '../core/window.js';
import type { Env } from '../env/env.js';
import type { HeldBounds } from './capacity.js';
import type { Drops } from './drops.js';
import type { Engine } from './engine.js';
import type { EngineItem } from './item.js';
import type { Lane } from './lane.js';
import type { LaneSet, LaneSetOptions } from './lane-set.js';
import type { Waiting } from './waiting.js';

/** What an engine is made of; the faces fill it in. What is optional is brought by the face that needs it, and costs no other. */
export interface EngineOptions<I, R, E extends EngineItem<I>> extends HeldBounds, BatchBounds {
  /** Names it in events and messages. */
  readonly name: string;
  readonly env: Env;
  readonly window: Window;
  /** Trying the same items again does no harm. */
  readonly idempotent: boolean;
  /** Divides items into lanes: `manyLanes`. Default: one lane, named `''`. */
  readonly lanes?: ((options: LaneSetOptions<I>) => LaneSet<I>) | undefined;
  /** Bound on batches of one lane that are not settled, back-off included. Default: none but what may be held. */
  readonly maxInFlightPerLane?: number | undefined;
  /** A batch takes one item of each key. Default: no keys. */
  orderKeyOf?(value: I): unknown;
  /** Lets callers wait for room: `waitingRoom`. Default: who finds no room is refused. */
  readonly waiting?: ((engine: Engine<I, R, E>) => Waiting<I, E>) | undefined;
  /** At a bound, gives something up in place of refusing the newcomer: `dropping`. Default: refuses. */
  readonly drops?: ((engine: Engine<I, R, E>) => Drops<I>) | undefined;
  /** Makes the layers down to the sink; told of their events, the engine keeps the count of abandoned calls. */
  dispatcher(env: Env): Dispatcher<I, R>;
  /** Tells the waiters of one item what became of it; called once per item that has not been cancelled. `index`: its place in the batch. */
  settle(item: E, outcome: Outcome<R>, index: number): void;
  /** Told of a batch that has ended, once it is counted and before anyone is told. */
  onCounted?:
    | ((engine: Engine<I, R, E>, lane: Lane<I>, counts: OutcomeCounts, outcomes: readonly Outcome<R>[]) => void)
    | undefined;
  /** Told once after the last `settle` of a batch, or of a drain. */
  onSettled?(): void;
  /** Told which items leave, before they are dispatched. */
  onCut?(items: readonly E[]): void;
  /** Divides what was cut into the batches that are dispatched together, each settled by itself. Default: one batch. */
  split?(items: readonly E[]): readonly (readonly E[])[];
}
