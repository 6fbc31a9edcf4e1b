/** Order: what the sink sees of a lane, or of a key, and when. */

/** Watches the order in which items reach the sink. Items are known by their place in the order of offers. */
export interface OrderRule<T> {
  /** A call of the sink begins; `isNew`: an item that no call has had before. */
  sent(items: readonly T[], isNew: (item: T) => boolean): void;
  /** The sink took an item. */
  taken(item: T): void;
}

/** Reports items that a lane shows the sink for the first time after a later one of it; a retry may come after what followed it. */
export function laneOrder<T>(
  sequenceOf: (item: T) => number,
  laneOf: (item: T) => string,
  report: (what: string) => void,
): OrderRule<T> {
  const last = new Map<string, number>();
  return {
    taken: () => {},
    sent(items, isNew) {
      for (const item of items) {
        if (!isNew(item)) continue;
        const lane = laneOf(item);
        const n = sequenceOf(item);
        const before = last.get(lane) ?? -1;
        if (n < before) report(`item ${n} was sent after item ${before}`);
        else last.set(lane, n);
      }
    },
  };
}

/**
 * Reports items of a key that are sent, for the first time or again, after the sink took a later one of the key; and calls that hold
 * the items of a key in another order. `undefined`: this one has no order.
 */
export function keyOrder<T>(
  sequenceOf: (item: T) => number,
  keyOf: (item: T) => unknown,
  report: (what: string) => void,
): OrderRule<T> {
  const last = new Map<unknown, number>();
  return {
    taken(item) {
      const key = keyOf(item);
      if (key !== undefined) last.set(key, Math.max(last.get(key) ?? -1, sequenceOf(item)));
    },
    sent(items) {
      const newest = new Map<unknown, number>();
      for (const item of items) {
        const key = keyOf(item);
        if (key === undefined) continue;
        const n = sequenceOf(item);
        const before = newest.get(key) ?? -1;
        if (n < before) report(`item ${n} stands behind item ${before} in a call`);
        newest.set(key, Math.max(before, n));
      }
      // A call that carries the later one again is the same call once more: its reply was lost.
      for (const [key, n] of newest) {
        const before = last.get(key) ?? -1;
        if (n < before) report(`item ${n} was sent after the sink took item ${before}`);
      }
    },
  };
}
