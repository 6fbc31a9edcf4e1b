/** Hastened lanes: those in which what is held is due at once, whatever their window says, until a cut has emptied them. */

import type { RaiseReason } from '../core/batch.js';
import type { Engine } from './engine.js';
import type { EngineItem } from './item.js';
import type { Lane } from './lane.js';

/** The lanes of an engine that are in a hurry. */
export interface HastenedLanes<I> {
  /**
   * Sends what is held, now where that can be, else as soon as it can; what comes to such a lane meanwhile goes with it. Unlike a flush it is not
   * waited for, and leaves nothing behind: it costs nothing that others are stuck.
   */
  hasten(reason: RaiseReason): void;
  /** A batch of this lane has been cut: its window counts again once nothing is left. */
  cut(lane: Lane<I>): void;
}

/** No lane is in a hurry at first. */
export function hastenedLanes<I, R, E extends EngineItem<I>>(engine: () => Engine<I, R, E>): HastenedLanes<I> {
  const hastened = new Set<Lane<I>>();

  /** All that stands behind an older barrier has been made due by a flush; only who is in a hurry is due before one. */
  function calm(lane: Lane<I>): void {
    hastened.delete(lane);
    lane.raise(engine().barriers.current.index - 1, 'manual');
  }

  return {
    hasten(reason) {
      const { lanes, barriers } = engine();
      // What was held there has gone back to where it came from.
      for (const lane of hastened) if (lane.live === 0) calm(lane);
      const holding = [...lanes.all].filter((lane) => lane.live > 0);
      for (const lane of holding) {
        hastened.add(lane);
        lane.raise(barriers.current.index, reason);
      }
      for (const lane of holding) lanes.look(lane);
    },
    cut(lane) {
      if (hastened.size > 0 && lane.live === 0 && hastened.has(lane)) calm(lane);
    },
  };
}
