/** Occurrences: how many times each line was seen, without keeping the lines. */

/** Counts the occurrences of lines, by a hash of each. */
export interface Occurrences {
  /** The how-many-eth time, from 1, that the line of this hash is seen. */
  next(hash: Buffer): number;
}

const fallbackSlots = 2 ** 20;

/**
 * Counts up to about 10 million distinct lines exactly, in 12 bytes a slot (at most 200 MB). Lines first seen beyond that share
 * one million counters: their numbers are then larger than the truth, but still the same for the same input, and never the same
 * for two equal lines, which is all that an id needs.
 *
 * @param maxSlots most slots of the exact table, a power of two. Default 2^24.
 */
export function createOccurrences(maxSlots = 2 ** 24): Occurrences {
  let slots = Math.min(2 ** 16, maxSlots);
  let keys = new Float64Array(slots);
  let counts = new Uint32Array(slots);
  let used = 0;
  let fallback: Uint32Array | undefined;

  const slotOf = (key: number): number => {
    let slot = key % slots;
    while (keys[slot] !== 0 && keys[slot] !== key) slot = (slot + 1) % slots;
    return slot;
  };
  const grow = (): void => {
    const old = { keys, counts };
    slots *= 2;
    keys = new Float64Array(slots);
    counts = new Uint32Array(slots);
    for (const [at, key] of old.keys.entries()) {
      if (key === 0) continue;
      const slot = slotOf(key);
      keys[slot] = key;
      counts[slot] = old.counts[at]!;
    }
  };
  return {
    next(hash) {
      // 48 bits, and never 0, which marks a free slot.
      const key = hash.readUIntBE(0, 6) + 1;
      let slot = slotOf(key);
      if (keys[slot] === 0) {
        if (used >= 0.6 * slots) {
          if (slots >= maxSlots) {
            fallback ??= new Uint32Array(fallbackSlots);
            return ++fallback[key % fallbackSlots]!;
          }
          grow();
          slot = slotOf(key);
        }
        keys[slot] = key;
        used++;
      }
      return ++counts[slot]!;
    },
  };
}
