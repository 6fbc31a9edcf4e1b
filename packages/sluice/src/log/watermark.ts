/** Watermark: the contiguous settled prefix of offsets that are settled in any order. Pure. */

import type { GroupPosition } from './position.js';
import { rangesOf } from './ranges.js';

/** Where a consumer group stands in one partition, as it moves. */
export interface Watermark extends GroupPosition {
  /**
   * Settles one offset.
   *
   * @returns false when it was settled already.
   */
  settle(offset: number): boolean;
  isSettled(offset: number): boolean;
  /** A copy that later settlements do not change: what is written with {@link Log.settle}. */
  position(): GroupPosition;
}

/** A watermark that goes on from a stored position. */
export function createWatermark(from: GroupPosition): Watermark {
  const above = new Set<number>();
  for (const { first, last } of from.settledAbove)
    for (let offset = first; offset <= last; offset++) if (offset >= from.cursor) above.add(offset);
  let cursor = from.cursor;
  advance();

  return {
    get cursor() {
      return cursor;
    },
    get settledAbove() {
      return rangesOf(above);
    },
    settle(offset) {
      if (offset < cursor || above.has(offset)) return false;
      // Settling in order is the common case: it never touches the set.
      if (offset === cursor) cursor++;
      else above.add(offset);
      advance();
      return true;
    },
    isSettled(offset) {
      return offset < cursor || above.has(offset);
    },
    position() {
      return { cursor, settledAbove: rangesOf(above) };
    },
  };

  function advance(): void {
    while (above.size > 0 && above.delete(cursor)) cursor++;
  }
}
