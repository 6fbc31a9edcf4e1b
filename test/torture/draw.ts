/** Draw: choices from a seed. */

import { seededRandom } from '../../packages/sluice/src/testing/seeded-random.js';

/** Draws from one stream of random numbers. */
export interface Draw {
  /** A whole number from `least` to `most`, both included. */
  int(least: number, most: number): number;
  /** True with this probability. */
  chance(share: number): boolean;
  pick<T>(from: readonly T[]): T;
}

/** Choices that depend on the seed alone. */
export function drawFrom(seed: number): Draw {
  const random = seededRandom(seed);
  const int = (least: number, most: number) => least + Math.floor(random.next() * (most - least + 1));
  return { int, chance: (share) => random.next() < share, pick: (from) => from[int(0, from.length - 1)]! };
}
