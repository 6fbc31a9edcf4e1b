/** Lanes: who has one, how many there may be, and when one is forgotten. */

import { addTally, type Counts, emptyTally, type Tally } from '../core/tally.js';
import type { Capacity } from './capacity.js';
import { Lane, type LaneOptions } from './lane.js';

/** How items are divided into lanes. */
export interface LanesOptions<I> {
  /** The lane of an item. */
  laneOf(value: I): string;
  /** Lanes at most. */
  readonly maxLanes: number;
  /** The share of a lane; more than 0. */
  weightOf(lane: string): number;
  /** Bound on the batches of a lane that are not settled. Default: the same for all. */
  maxInFlightOf?(lane: string): number;
}

/** All lanes of an engine. Without `laneOf` there is one, named `''`, for ever. */
export class Lanes<I> {
  readonly #split: LanesOptions<I> | undefined;
  readonly #options: LaneOptions;
  readonly #look: (lane: Lane<I>) => void;
  readonly #capacityOf: () => Capacity;
  readonly #byName = new Map<string, Lane<I>>();
  /** What became of the items of lanes that are forgotten. */
  readonly #past: Counts = emptyTally();
  /** The one lane, where items are not divided. */
  readonly only: Lane<I> | undefined;
  #raised: { readonly index: number; readonly reason: 'manual' | 'shutdown' } | undefined;

  /** @param capacityOf makes the capacity of a lane. */
  constructor(
    split: LanesOptions<I> | undefined,
    options: LaneOptions,
    capacityOf: () => Capacity,
    look: (lane: Lane<I>) => void,
  ) {
    this.#split = split;
    this.#capacityOf = capacityOf;
    this.#options = options;
    this.#look = look;
    this.only = split === undefined ? this.#make('', 1) : undefined;
  }

  /** The lane of an item; undefined when it would need a new one, and there are as many as there may be. */
  of(value: I): Lane<I> | undefined {
    if (this.only !== undefined) return this.only;
    const name = this.#split!.laneOf(value);
    return this.#byName.get(name) ?? this.#admit(name);
  }

  get all(): Iterable<Lane<I>> {
    return this.#byName.values();
  }

  get count(): number {
    return this.#byName.size;
  }

  /** Makes everything behind the barrier due at once, in the lanes that there are and in those that will be. */
  raise(index: number, reason: 'manual' | 'shutdown'): void {
    this.#raised = { index, reason };
    for (const lane of this.#byName.values()) lane.raise(index, reason);
    for (const lane of [...this.#byName.values()]) this.#look(lane);
  }

  /** Forgets a lane that has nothing left; what it counted stays in the tally. */
  retire(lane: Lane<I>): void {
    // By identity: it may be forgotten already, and have a successor.
    if (this.only !== undefined || this.#byName.get(lane.name) !== lane || !lane.isIdle()) return;
    this.#byName.delete(lane.name);
    addTally(this.#past, lane.tally);
  }

  /** The balance of all lanes, and of those that are no more. */
  tally(): Tally {
    const sum = { ...this.#past };
    for (const lane of this.#byName.values()) addTally(sum, lane.tally);
    return sum;
  }

  /** Refused before it had a lane. */
  refuse(): void {
    this.#past.offered++;
    this.#past.rejected++;
  }

  #admit(name: string): Lane<I> | undefined {
    const { maxLanes, weightOf } = this.#split!;
    // Lanes that keep a distance from their last dispatch outlive it, and there is no timer to end them.
    this.#sweep(this.#byName.size < maxLanes ? 2 : Number.POSITIVE_INFINITY);
    if (this.#byName.size >= maxLanes) return undefined;
    const weight = weightOf(name);
    // A user's function may have called in.
    return this.#byName.get(name) ?? this.#make(name, weight);
  }

  /** Looks at so many lanes, the longest unlooked-at first, and forgets those that are idle. */
  #sweep(most: number): void {
    let left = Math.min(most, this.#byName.size);
    for (const lane of this.#byName.values()) {
      if (left-- <= 0) return;
      this.retire(lane);
      if (this.#byName.delete(lane.name)) this.#byName.set(lane.name, lane);
    }
  }

  #make(name: string, weight: number): Lane<I> {
    const maxInFlight = this.#split?.maxInFlightOf?.(name) ?? this.#options.maxInFlight;
    const options = maxInFlight === this.#options.maxInFlight ? this.#options : { ...this.#options, maxInFlight };
    const lane = new Lane<I>(name, weight, this.#capacityOf(), options, this.#look);
    if (this.#raised !== undefined) lane.raise(this.#raised.index, this.#raised.reason);
    this.#byName.set(name, lane);
    return lane;
  }
}
