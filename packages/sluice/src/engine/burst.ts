/** Burst: bare values that come within one reading of the clock are let in by one decision, and counted together. */

import { HeldItem } from '../core/accumulator.js';
import type { Lane } from './lane.js';

/**
 * After a value was let in, so many more may follow it before anything of what decided that can change: the time, the room, the batch.
 * Those are only put into the queue; whoever looks at a count, or changes anything, ends the burst first. A class: nothing else runs on
 * the hot path of an offer.
 */
export class Burst<I> {
  #left = 0;
  #most = 0;
  #lane: Lane<I> | undefined = undefined;

  /** Takes a value in, if it belongs to the burst. */
  take(value: I): boolean {
    // What another engine has made an item of would be taken for an item of this one.
    if (this.#left === 0 || value instanceof HeldItem) return false;
    this.#left--;
    this.#lane!.append(value);
    return true;
  }

  /** From here on so many may follow into `lane`. */
  begin(lane: Lane<I>, most: number): void {
    this.#lane = lane;
    this.#left = most;
    this.#most = most;
  }

  /** Takes no more. Returns how many have come, which are not counted anywhere yet. */
  end(): number {
    const came = this.#most - this.#left;
    this.#left = 0;
    this.#most = 0;
    return came;
  }
}
