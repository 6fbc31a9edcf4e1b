/** binary-numeric: a decimal number as PostgreSQL's binary numeric, which counts in digits of base 10,000. Pure. */

import type { Bytes } from './bytes.js';

/**
 * Writes the number behind its length; `false` when the text is not plain decimal digits (an exponent, NaN, spaces): then the
 * server must read it as text.
 *
 * The format is that of `numeric_recv` (PostgreSQL, utils/adt/numeric.c): number of digits, weight of the first, sign, digits after
 * the point, digits.
 */
export function writeNumeric(out: Bytes, text: string): boolean {
  if (text.length > 1000) return false;
  const match = /^(-)?(\d+)(?:\.(\d*))?$/.exec(text);
  if (match === null) return false;
  const [, minus, whole = '', fraction = ''] = match;
  const groups = groupsOf(whole, fraction);
  let weight = Math.ceil(whole.length / 4) - 1;
  let first = 0;
  while (first < groups.length && groups[first] === 0) {
    first++;
    weight--;
  }
  let last = groups.length;
  while (last > first && groups[last - 1] === 0) last--;
  const zero = first === last;
  out.int32(8 + 2 * (last - first));
  out.int16(last - first);
  out.int16(zero ? 0 : weight);
  out.int16(minus !== undefined && !zero ? 0x4000 : 0);
  out.int16(fraction.length);
  for (let i = first; i < last; i++) out.int16(groups[i]!);
  return true;
}

/** The digits in groups of four, counted from the decimal point to both sides. */
function groupsOf(whole: string, fraction: string): number[] {
  const digits = whole.padStart(Math.ceil(whole.length / 4) * 4, '0') + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0');
  const groups: number[] = [];
  for (let i = 0; i < digits.length; i += 4) groups.push(Number(digits.slice(i, i + 4)));
  return groups;
}
