/** Shards: a few lanes for many keys; each key in one of them, in order. */

import { shardOf } from '../core/shard-of.js';

/** Which lane each key is in, while any of its items is unsettled. */
export interface Shards {
  /** The lane of a key. */
  laneOf(key: string | number | bigint): string;
  /** The lane of an item without a key: each in turn. */
  anyLane(): string;
  /** An item of this key is on its way: until it has ended, so are all that follow, in the same lane. */
  enter(key: string | number | bigint): void;
  leave(key: string | number | bigint): void;
  /** Spreads over so many from here on. A key whose items are on their way moves when the last of them has ended. */
  resize(shards: number): void;
}

/** Keeps each key in its lane while any of its items is unsettled, so that resizing cannot reorder them. */
export function createShards(initial: number): Shards {
  let shards = initial;
  let next = 0;
  const places = new Map<string | number | bigint, { readonly lane: string; items: number }>();
  return {
    laneOf: (key) => places.get(key)?.lane ?? shardOf(key, shards),
    anyLane: () => String(next++ % shards),
    enter(key) {
      const place = places.get(key);
      if (place === undefined) places.set(key, { lane: shardOf(key, shards), items: 1 });
      else place.items++;
    },
    leave(key) {
      const place = places.get(key);
      if (place !== undefined && --place.items === 0) places.delete(key);
    },
    resize(given) {
      shards = given;
    },
  };
}
