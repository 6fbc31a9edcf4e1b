/** Room again: how soon a log that is full takes events again, by how fast it shrinks, or by how long it has not. */

/** An estimate, told how a log stands at each look. */
export interface RoomAgain {
  /** So many bytes are too many at this time; 0 or less: the log is not full. */
  look(now: number, overBytes: number): void;
  /**
   * When it is worth asking again, in milliseconds from now: when the bytes that are too many are gone, 30 s at most; while the log does not shrink,
   * after as long as that has lasted, 10 s at most. At least a second: nobody looks at the log more often while it is full.
   */
  afterMs(now: number): number;
}

const leastMs = 1_000;
const mostMs = 30_000;
/** Its pipelines may go on at any moment: whoever comes late leaves the room that there is to others. */
const mostStuckMs = 10_000;
/** The log is shortened piece by piece: between two of them it stands still. */
const pieceMs = 5_000;
/** Weight of the last two seconds in the rate. */
const halfLifeMs = 2_000;

/** Begins with a log that is not full. */
export function roomAgain(): RoomAgain {
  let last: { readonly at: number; readonly overBytes: number } | undefined;
  let shrankAt = 0;
  /** Bytes a millisecond; 0 while it is not known to shrink. */
  let perMs = 0;
  return {
    look(now, overBytes) {
      if (overBytes <= 0) {
        last = undefined;
        perMs = 0;
        return;
      }
      if (last === undefined) shrankAt = now;
      else if (now > last.at) {
        const rate = Math.max(0, (last.overBytes - overBytes) / (now - last.at));
        perMs = perMs === 0 ? rate : perMs + (1 - 2 ** ((last.at - now) / halfLifeMs)) * (rate - perMs);
        if (rate > 0) shrankAt = now;
        if (now - shrankAt > pieceMs) perMs = 0;
      }
      last = { at: now, overBytes };
    },
    afterMs(now) {
      if (perMs === 0) return within(now - shrankAt, mostStuckMs);
      return within((last?.overBytes ?? 0) / perMs, mostMs);
    },
  };
}

function within(ms: number, most: number): number {
  return Math.min(most, Math.max(leastMs, ms));
}
