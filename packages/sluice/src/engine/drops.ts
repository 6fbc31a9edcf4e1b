/** Drops: what an overflow policy gives up when there is no room. Nothing is dropped without a count. */

import { failure } from '../core/errors.js';
import type { DropReason } from '../core/event.js';
import { failed } from '../core/outcome.js';
import type { Barrier } from './barrier.js';
import type { Engine } from './engine.js';
import { EngineItem } from './item.js';
import type { Lane } from './lane.js';

/** Drops items in place of refusing newcomers. */
export interface Drops<I> {
  /** There is no room in a lane for a newcomer, an item or a bare value of so many bytes. Answers whether room was made; else it has been dropped. */
  makeRoom(held: unknown, bytes: number, lane: Lane<I>): boolean;
}

/**
 * Drops what has been held longest until there is room for a newcomer (`'dropOldest'`): in its lane, or in the one that holds most, if
 * it is others who fill the engine. Or drops the newcomer itself, which is also what is done where all that is held is under way.
 *
 * @param onDropped told of each value, once it is counted.
 */
export function dropping<I, R, E extends EngineItem<I>>(
  policy: DropReason,
  onDropped: (value: I, reason: DropReason) => void,
): (engine: Engine<I, R, E>) => Drops<I> {
  return (engine) => {
    const drop = (held: unknown, lane: Lane<I>, barrier: Barrier, reason: DropReason) => {
      const { name } = engine;
      lane.tally.dropped++;
      barrier.leave('dropped');
      if (held instanceof EngineItem) held.phase = 'settled';
      engine.observe({ type: 'dropped', name, items: 1, reason });
      if (held instanceof EngineItem) engine.tellDropped(held as EngineItem<I>, failed(droppedError(name, reason)));
      onDropped((held instanceof EngineItem ? held.value : held) as I, reason);
    };

    const dropOldest = (lane: Lane<I>): boolean => {
      let from = lane;
      if (from.live === 0) for (const other of engine.lanes.all) if (other.live > from.live) from = other;
      const oldest = from.takeOldest();
      if (oldest === undefined) return false;
      const { held, run } = oldest;
      from.tally.held--;
      engine.release(from, 1, held instanceof EngineItem ? held.bytes : 0);
      drop(held, from, run.barrier, 'dropOldest');
      if (from !== lane) engine.lanes.retire(from);
      return true;
    };

    const hasRoom = (bytes: number, lane: Lane<I>) => {
      while (!lane.capacity.hasRoomFor(bytes) || !engine.capacity.hasRoomFor(bytes)) if (!dropOldest(lane)) return false;
      return true;
    };

    return {
      makeRoom(held, bytes, lane) {
        if (policy === 'dropOldest' && hasRoom(bytes, lane)) return true;
        const { tally } = lane;
        tally.offered++;
        tally.accepted++;
        const barrier = engine.barriers.current;
        barrier.enter();
        drop(held, lane, barrier, 'dropNewest');
        engine.lanes.retire(lane);
        return false;
      },
    };
  };
}

function droppedError(name: string, reason: DropReason) {
  const which = reason === 'dropOldest' ? 'the oldest items make room for new ones' : 'new items are dropped';
  return failure(`${name} is full, and ${which}: this one was never sent.`, { code: 'DROPPED', class: 'rejected' });
}
