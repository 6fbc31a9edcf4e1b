/** Lanes: who has one, how many there may be, and when one is forgotten. */

import type { RaiseReason } from '../core/batch.js';
import { addTally, type Counts, emptyTally, type Tally } from '../core/tally.js';
import { Capacity, type HeldBounds } from './capacity.js';
import { worthOf } from './fairness.js';
import { Lane, type LaneOptions } from './lane.js';
import type { LaneSet, LaneSetOptions } from './lane-set.js';
import { Pump } from './pump.js';

/** How items are divided into lanes. */
export interface LanesOptions<I> {
  /** The lane of an item. */
  laneOf(value: I): string;
  /** Lanes at most. */
  readonly maxLanes: number;
  /** What one lane may hold. */
  readonly held: HeldBounds;
  /** What a batch is worth when lanes share: by its items, or by its bytes where they are the larger part. Default items. */
  readonly fairBy?: 'items' | 'bytes' | undefined;
  /** The share of a lane; more than 0. */
  weightOf(lane: string): number;
  /** Bound on the batches of a lane that are not settled. Default: the same for all. */
  maxInFlightOf?(lane: string): number;
}

/** Many lanes, each with its own bounds, which take turns. */
export function manyLanes<I>(split: LanesOptions<I>): (options: LaneSetOptions<I>) => LaneSet<I> {
  return (options) => new Lanes(split, options);
}

class Lanes<I> implements LaneSet<I> {
  readonly only = undefined;
  readonly #split: LanesOptions<I>;
  readonly #options: LaneOptions;
  readonly #pump: Pump<Lane<I>>;
  readonly #byName = new Map<string, Lane<I>>();
  /** What became of the items of lanes that are forgotten. */
  readonly #past: Counts = emptyTally();
  #raised: { readonly index: number; readonly reason: RaiseReason } | undefined;

  constructor(split: LanesOptions<I>, { lane, ready, send }: LaneSetOptions<I>) {
    this.#split = split;
    this.#options = lane;
    this.#pump = new Pump({
      ready,
      send: (one) => {
        const { held, bytes } = send(one);
        return worthOf(held.length, bytes, lane.bounds, split.fairBy);
      },
    });
  }

  of(value: I): Lane<I> | undefined {
    const name = this.#split.laneOf(value);
    return this.#byName.get(name) ?? this.#admit(name);
  }

  get all(): Iterable<Lane<I>> {
    return this.#byName.values();
  }

  look(lane: Lane<I>): void {
    this.#pump.look(lane);
  }

  raise(index: number, reason: RaiseReason): void {
    this.#raised = { index, reason };
    for (const lane of this.#byName.values()) lane.raise(index, reason);
    for (const lane of [...this.#byName.values()]) this.look(lane);
  }

  retire(lane: Lane<I>): void {
    // By identity: it may be forgotten already, and have a successor.
    if (this.#byName.get(lane.name) !== lane || !lane.isIdle()) return;
    this.#byName.delete(lane.name);
    addTally(this.#past, lane.tally);
  }

  tally(): Tally {
    const sum = { ...this.#past };
    for (const lane of this.#byName.values()) addTally(sum, lane.tally);
    return sum;
  }

  refuse(): void {
    this.#past.offered++;
    this.#past.rejected++;
  }

  #admit(name: string): Lane<I> | undefined {
    const { maxLanes, weightOf } = this.#split;
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
    const maxInFlight = this.#split.maxInFlightOf?.(name) ?? this.#options.maxInFlight;
    const options = maxInFlight === this.#options.maxInFlight ? this.#options : { ...this.#options, maxInFlight };
    const lane = new Lane<I>(name, weight, new Capacity(this.#split.held), options, (one) => this.look(one));
    if (this.#raised !== undefined) lane.raise(this.#raised.index, this.#raised.reason);
    this.#byName.set(name, lane);
    return lane;
  }
}
