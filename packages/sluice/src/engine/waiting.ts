/** Waiting: whose turn it is when there is room again, across lanes. */

import type { SluiceError } from '../core/errors.js';
import type { Capacity } from './capacity.js';
import type { EngineItem } from './item.js';
import type { Lane } from './lane.js';

/**
 * Items whose callers wait for room: in order within a lane; lanes take turns. A lane that is full itself keeps only its own waiting.
 * Where the whole engine is full, everyone stands behind who is next, so that one that needs much room is not passed for ever.
 */
export class Waiting<I, E extends EngineItem<I>> {
  readonly #maxWaiting: number;
  readonly #capacity: Capacity;
  /** Lanes in which somebody waits, next first. */
  readonly #lanes = new Set<Lane<I>>();
  #count = 0;
  #behindAll = false;

  constructor(maxWaiting: number, capacity: Capacity) {
    this.#maxWaiting = maxWaiting;
    this.#capacity = capacity;
  }

  get isFull(): boolean {
    return this.#count >= this.#maxWaiting;
  }

  /** Whether somebody waits whom a newcomer to this lane must not pass. */
  isBefore(lane: Lane<I>): boolean {
    return this.#count > 0 && (this.#behindAll || lane.room.waiting > 0);
  }

  wait(item: E, lane: Lane<I>): Promise<void> {
    this.#count++;
    this.#lanes.add(lane);
    if (lane.capacity.hasRoomFor(item.bytes)) this.#behindAll = true;
    return lane.room.wait(item);
  }

  leave(item: E, lane: Lane<I>, reason: SluiceError): void {
    lane.room.leave(item, reason);
    this.#gone(lane);
  }

  /** Lets in whoever there is room for, by `accept`. */
  admit(accept: (item: E, lane: Lane<I>) => void): void {
    if (this.#count === 0) return;
    this.#behindAll = false;
    // A lane that has had its turn stands at the end of the set, where this loop meets it again.
    for (const lane of this.#lanes) {
      const next = lane.room.next() as E;
      if (!lane.capacity.hasRoomFor(next.bytes)) continue;
      if (!this.#capacity.hasRoomFor(next.bytes)) {
        this.#behindAll = true;
        return;
      }
      this.#lanes.delete(lane);
      this.#lanes.add(lane);
      lane.room.admit(next);
      this.#gone(lane);
      accept(next, lane);
    }
  }

  /** Sends everyone away. */
  takeAll(reason: SluiceError): { readonly item: E; readonly lane: Lane<I> }[] {
    const away = [...this.#lanes].flatMap((lane) => lane.room.takeAll(reason).map((item) => ({ item: item as E, lane })));
    this.#lanes.clear();
    this.#count = 0;
    return away;
  }

  #gone(lane: Lane<I>): void {
    this.#count--;
    if (lane.room.waiting === 0) this.#lanes.delete(lane);
  }
}
