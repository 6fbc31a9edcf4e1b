/** Drops: what an overflow policy gives up when there is no room. Nothing is dropped without a count. */

import type { DropReason } from '../core/event.js';
import type { Barrier } from './barrier.js';
import type { Capacity } from './capacity.js';
import { EngineItem } from './item.js';
import type { Lane } from './lane.js';

/** What drops need of their engine. */
export interface DropsOptions<I> {
  readonly capacity: Capacity;
  lanes(): Iterable<Lane<I>>;
  /** A lane other than the newcomer's may have nothing left. */
  retire(lane: Lane<I>): void;
  /** One item of so many bytes is held no more. */
  release(lane: Lane<I>, bytes: number): void;
  /** Told of each item, or bare value, that was dropped, once it is counted. */
  dropped(held: unknown, reason: DropReason): void;
}

/** Drops items, and counts them. */
export class Drops<I> {
  readonly #options: DropsOptions<I>;

  constructor(options: DropsOptions<I>) {
    this.#options = options;
  }

  /**
   * Drops what has been held longest, until there is room for a newcomer to a lane: in that lane, or in the one that holds most, if it
   * is others who fill the engine. Returns false when all that is held is under way, so that nothing can be dropped.
   */
  makeRoom(lane: Lane<I>, bytes: number): boolean {
    while (!lane.capacity.hasRoomFor(bytes) || !this.#options.capacity.hasRoomFor(bytes)) {
      if (!this.#dropOldest(lane)) return false;
    }
    return true;
  }

  /** The newcomer itself goes: it is accepted, and dropped. */
  dropNewcomer(held: unknown, lane: Lane<I>, barrier: Barrier): void {
    lane.tally.offered++;
    lane.tally.accepted++;
    barrier.enter();
    this.#drop(held, lane, barrier, 'dropNewest');
  }

  #dropOldest(lane: Lane<I>): boolean {
    let from = lane;
    if (from.live === 0) for (const other of this.#options.lanes()) if (other.live > from.live) from = other;
    const oldest = from.takeOldest();
    if (oldest === undefined) return false;
    const { held, run } = oldest;
    from.tally.held--;
    this.#options.release(from, held instanceof EngineItem ? held.bytes : 0);
    this.#drop(held, from, run.barrier, 'dropOldest');
    if (from !== lane) this.#options.retire(from);
    return true;
  }

  #drop(held: unknown, lane: Lane<I>, barrier: Barrier, reason: DropReason): void {
    lane.tally.dropped++;
    barrier.leave('dropped');
    if (held instanceof EngineItem) held.phase = 'settled';
    this.#options.dropped(held, reason);
  }
}
