/** Seeded randomness: one seed reproduces everything. */

import type { Random } from '../env/env.js';

/** Random numbers that depend on the seed alone. mulberry32 (Tommy Ettinger, public domain): 32 bits of state, enough for tests. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    },
  };
}
