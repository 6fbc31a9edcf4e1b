/** Seeded randomness: one seed reproduces everything. */

import type { Random } from './env.js';

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

/**
 * The seed of one stream of random numbers among several that come from one seed, so that more draws from one stream change nothing
 * in another. The finaliser of MurmurHash3 (Austin Appleby, public domain).
 */
export function streamSeed(seed: number, stream: number): number {
  let mixed = (seed ^ Math.imul(stream + 1, 0x9e3779b9)) >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
