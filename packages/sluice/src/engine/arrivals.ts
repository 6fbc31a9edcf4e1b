/** Arrivals: the time at which items come, without a reading of the clock for each. */

import type { Clock } from '../env/env.js';

/** So many arrivals of one turn read the clock each; from then on so many share a reading. */
const shared = 32;

/** Readings that differ by less, in ms, are the same time: no timer is finer, and neighbours of one time are kept together. */
const resolutionMs = 0.1;

/**
 * The time of an arrival. A reading of the clock costs more than all else of an offer, so the arrivals of one uninterrupted run of
 * code share readings, once there are many: their times are at most {@link shared} arrivals old, and never of an earlier turn.
 */
export class Arrivals {
  readonly #clock: Clock;
  readonly #onRunEnded: () => void;
  #now = Number.NEGATIVE_INFINITY;
  #left = 0;
  #readings = 0;

  /** @param onRunEnded called when the running code is done, before any other runs, if its arrivals have shared readings. */
  constructor(clock: Clock, onRunEnded: () => void) {
    this.#clock = clock;
    this.#onRunEnded = onRunEnded;
  }

  now(): number {
    if (this.#clock.movesWithinTurn === true) return this.#clock.now();
    if (this.#left > 0) this.#left--;
    else this.#read();
    return this.#now;
  }

  /** How many more arrivals may share the last reading. They are the caller's from here on: the next one that asks reads the clock. */
  lend(): number {
    const lent = this.#left;
    this.#left = 0;
    return lent;
  }

  /** Other code has run, and may have taken its time: the next arrival reads the clock. */
  forget(): void {
    this.#left = 0;
  }

  #read(): void {
    const now = this.#clock.now();
    if (now - this.#now >= resolutionMs) this.#now = now;
    if (++this.#readings < shared) return;
    this.#left = shared;
    // Until the running code is done.
    if (this.#readings === shared) void Promise.resolve().then(() => this.#startAnew());
  }

  #startAnew(): void {
    this.#left = 0;
    this.#readings = 0;
    this.#onRunEnded();
  }
}
