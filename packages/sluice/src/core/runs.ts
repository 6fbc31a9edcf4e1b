/** Runs: what neighbours in a queue have in common, kept once for all of them. */

import { Deque } from './deque.js';

/** Some neighbours in the queue that were accepted at the same reading of the clock and stand behind the same flush barrier. */
export interface Run<B> {
  /** Monotonic milliseconds. */
  readonly acceptedAt: number;
  readonly barrier: B;
  /** How many of them there are. */
  length: number;
}

/**
 * The runs of a queue, first to last. A million items that came in one burst are a few runs: the time and the barrier of an item
 * cost no memory of its own. A class: hot.
 */
export class Runs<B> {
  readonly #runs = new Deque<Run<B>>();
  #last: Run<B> | undefined = undefined;

  /** The run of the first in the queue. */
  get first(): Run<B> | undefined {
    let first = this.#runs.peek();
    for (; first !== undefined && first.length === 0; first = this.#runs.peek()) this.#drop();
    return first;
  }

  /** One more at the end of the queue. Returns its run. */
  push(acceptedAt: number, barrier: B): Run<B> {
    const last = this.#last;
    if (last !== undefined && last.acceptedAt === acceptedAt && last.barrier === barrier) {
      last.length++;
      return last;
    }
    const run: Run<B> = { acceptedAt, barrier, length: 1 };
    this.#runs.push(run);
    this.#last = run;
    return run;
  }

  /** So many more at the end of the queue, like the last one. */
  extend(count: number): void {
    this.#last!.length += count;
  }

  /** Takes the first `count` of the queue away. */
  take(count: number): Run<B>[] {
    const taken: Run<B>[] = [];
    for (let left = count; left > 0; ) {
      const first = this.first!;
      const length = Math.min(left, first.length);
      taken.push({ acceptedAt: first.acceptedAt, barrier: first.barrier, length });
      first.length -= length;
      left -= length;
    }
    return taken;
  }

  clear(): void {
    this.#runs.clear();
    this.#last = undefined;
  }

  #drop(): void {
    if (this.#runs.shift() === this.#last) this.#last = undefined;
  }
}
