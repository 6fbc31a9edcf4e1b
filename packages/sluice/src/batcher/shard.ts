/** Shards: a few lanes for many keys; each key in one of them, in order. */

/**
 * The shard of a key, from 0 to `shards` - 1: the same for the same key, evenly spread; with one shard more or less, only as many keys
 * move as must (1 in `shards`).
 *
 * Rendezvous hashing (Thaler, Ravishankar 1998) over FNV-1a with the finaliser of MurmurHash3. Linear in `shards`: for some dozens.
 */
export function shardOf(key: string | number | bigint, shards: number): string {
  const hash = hashOf(String(key));
  let best = 0;
  let most = -1;
  for (let shard = 0; shard < shards; shard++) {
    const score = mix(hash ^ mix(shard + 1));
    if (score > most) {
      most = score;
      best = shard;
    }
  }
  return String(best);
}

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

function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

function mix(value: number): number {
  let mixed = value >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
