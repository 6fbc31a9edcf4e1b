/** Keys: which keys the callers of a simulated loader ask for. */

import { invalidOption, shorten } from '../core/errors.js';
import { numberOption } from '../core/options.js';
import type { Random } from '../env/env.js';

/** Draws the key of each call: a whole number, 0 or more. Make one with {@link uniformKeys} or {@link zipfKeys}, or your own. */
export type KeyDraw = (random: Random) => number;

/**
 * Every key as often as any other.
 *
 * @param keys how many there are, 1 or more.
 * @throws SluiceError `INVALID_OPTION`
 */
export function uniformKeys(keys: number): KeyDraw {
  const count = numberOption('uniformKeys', keys ?? Number.NaN, 0, { least: 1, whole: true });
  return (random) => Math.floor(random.next() * count);
}

/**
 * A few keys often, most of them seldom: key k is asked for in proportion to 1 / (k + 1)^s, as pages, users and products are (Zipf's
 * law).
 *
 * @param keys how many there are, 1 to 1,000,000.
 * @param s the steepness, 0 (as {@link uniformKeys}) or more. Default 1.
 * @throws SluiceError `INVALID_OPTION`
 */
export function zipfKeys(keys: number, s = 1): KeyDraw {
  const count = numberOption('zipfKeys', keys ?? Number.NaN, 0, { least: 1, whole: true });
  if (count > 1_000_000) throw invalidOption(`zipfKeys takes 1,000,000 keys at most; got ${count}`);
  if (!(s >= 0 && Number.isFinite(s))) throw invalidOption(`zipfKeys: s must be a number, 0 or more; got ${shorten(s)}`);
  const sums = new Float64Array(count);
  let sum = 0;
  for (let k = 0; k < count; k++) {
    sum += (k + 1) ** -s;
    sums[k] = sum;
  }
  return (random) => firstAbove(sums, random.next() * sum);
}

/** The place of the first number that is above `wanted`; the numbers rise. */
function firstAbove(numbers: Float64Array, wanted: number): number {
  let low = 0;
  let high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! > wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}
