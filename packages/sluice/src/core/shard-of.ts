/** Shard of a key: the same for the same key, evenly spread. */

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
