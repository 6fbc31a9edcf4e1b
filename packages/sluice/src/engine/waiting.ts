/** Waiting: callers that wait until there is room for their items, and whose turn it is then, across lanes. */

import type { SluiceError } from '../core/errors.js';
import type { Engine } from './engine.js';
import type { EngineItem } from './item.js';
import type { Lane } from './lane.js';
import { Room } from './room.js';

/** Lets at most `maxWaiting` callers of `accept` wait for room. */
export function waitingRoom<I, R, E extends EngineItem<I>>(maxWaiting: number): (engine: Engine<I, R, E>) => Waiting<I, E> {
  return (engine) => new Waiting(maxWaiting, engine as unknown as Engine<I, unknown, E>);
}

/**
 * Items whose callers wait for room: in order within a lane; lanes take turns. A lane that is full itself keeps only its own waiting.
 * Where the whole engine is full, everyone stands behind who is next, so that one that needs much room is not passed for ever.
 */
export class Waiting<I, E extends EngineItem<I>> {
  readonly max: number;
  readonly #engine: Engine<I, unknown, E>;
  /** The lines of the lanes in which somebody waits, next first. */
  readonly #lines = new Map<Lane<I>, Room<E>>();
  #count = 0;
  #behindAll = false;

  constructor(max: number, engine: Engine<I, unknown, E>) {
    this.max = max;
    this.#engine = engine;
  }

  get isFull(): boolean {
    return this.#count >= this.max;
  }

  /** Whether somebody waits whom a newcomer to this lane must not pass. */
  isBefore(lane: Lane<I>): boolean {
    return this.#count > 0 && (this.#behindAll || this.#lines.has(lane));
  }

  wait(item: E, lane: Lane<I>): Promise<void> {
    const barrier = this.#engine.barriers.current;
    lane.tally.offered++;
    lane.tally.waiting++;
    item.phase = 'waiting';
    item.lane = lane;
    item.run = { acceptedAt: 0, barrier, length: 1 };
    barrier.enter();
    this.#count++;
    const line = this.#lines.get(lane) ?? new Room<E>();
    this.#lines.set(lane, line);
    if (lane.capacity.hasRoomFor(item.bytes)) this.#behindAll = true;
    return line.wait(item);
  }

  leave(item: E, lane: Lane<I>, reason: SluiceError): void {
    const line = this.#lines.get(lane)!;
    line.leave(item, reason);
    this.#gone(lane, line);
    this.#turnedAway(item, lane);
    // It may have been the first in line, and too large for the room that there is for the next.
    this.admit();
  }

  /** Lets in whoever there is room for. */
  admit(): void {
    if (this.#count === 0) return;
    this.#behindAll = false;
    // A lane that has had its turn stands at the end of the map, where this loop meets it again.
    for (const [lane, line] of this.#lines) {
      const next = line.next()!;
      if (!lane.capacity.hasRoomFor(next.bytes)) continue;
      if (!this.#engine.capacity.hasRoomFor(next.bytes)) {
        this.#behindAll = true;
        return;
      }
      this.#lines.delete(lane);
      this.#lines.set(lane, line);
      line.admit(next);
      this.#gone(lane, line);
      lane.tally.waiting--;
      this.#engine.hold(next, next, lane, next.run!.barrier);
    }
  }

  /** Sends everyone away. */
  close(reason: SluiceError): void {
    const lines = [...this.#lines];
    this.#lines.clear();
    this.#count = 0;
    const away = lines.flatMap(([lane, line]) => line.takeAll(reason).map((item) => ({ item, lane })));
    for (const { item, lane } of away) {
      item.phase = 'settled';
      this.#turnedAway(item, lane);
      this.#engine.observe({ type: 'rejected', name: this.#engine.name, reason: 'closed' });
    }
  }

  #turnedAway(item: E, lane: Lane<I>): void {
    item.run!.barrier.leave();
    lane.tally.waiting--;
    lane.tally.rejected++;
    this.#engine.lanes.retire(lane);
  }

  #gone(lane: Lane<I>, line: Room<E>): void {
    this.#count--;
    if (line.waiting === 0) this.#lines.delete(lane);
  }
}
