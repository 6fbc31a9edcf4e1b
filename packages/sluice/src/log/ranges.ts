/** Ranges of offsets: ascending, disjoint, never side by side. Pure. */

import type { GroupPosition, OffsetRange } from './position.js';

/** Ranges in any order, overlapping or not, as the fewest ranges, ascending. */
export function mergeRanges(ranges: readonly OffsetRange[]): OffsetRange[] {
  const merged: { first: number; last: number }[] = [];
  for (const { first, last } of isAscending(ranges) ? ranges : [...ranges].sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else merged.push({ first, last });
  }
  return merged;
}

/** Offsets in any order as ranges. */
export function rangesOf(offsets: Iterable<number>): OffsetRange[] {
  const ranges: { first: number; last: number }[] = [];
  let last: { first: number; last: number } | undefined;
  for (const offset of ascending([...offsets])) {
    if (last !== undefined && offset <= last.last + 1) {
      last.last = offset;
      continue;
    }
    last = { first: offset, last: offset };
    ranges.push(last);
  }
  return ranges;
}

/** How many offsets the ranges hold. */
export function countOf(ranges: readonly OffsetRange[]): number {
  let count = 0;
  for (const { first, last } of ranges) count += last - first + 1;
  return count;
}

/** Whether ascending, disjoint ranges hold an offset. */
export function holds(ranges: readonly OffsetRange[], offset: number): boolean {
  return holdsAny(ranges, offset, offset);
}

/** Whether ascending, disjoint ranges hold an offset from `first` to `last`, both included. */
export function holdsAny(ranges: readonly OffsetRange[], first: number, last: number): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.last < first) low = middle + 1;
    else high = middle;
  }
  return low < ranges.length && ranges[low]!.first <= last;
}

/** What of a range a position has not settled. */
export function unsettledIn({ first, last }: OffsetRange, { cursor, settledAbove }: GroupPosition): OffsetRange[] {
  const left: OffsetRange[] = [];
  let from = Math.max(first, cursor);
  for (const settled of settledAbove) {
    if (settled.last < from) continue;
    if (settled.first > last) break;
    if (settled.first > from) left.push({ first: from, last: settled.first - 1 });
    from = settled.last + 1;
  }
  if (from <= last) left.push({ first: from, last });
  return left;
}

/** A position with more offsets settled, or with its cursor moved on: the cursor passes what is settled above it. */
export function settledPosition(cursor: number, settledAbove: readonly OffsetRange[]): GroupPosition {
  const above: OffsetRange[] = [];
  for (const { first, last } of mergeRanges(settledAbove)) {
    if (first <= cursor) cursor = Math.max(cursor, last + 1);
    else above.push({ first, last });
  }
  return { cursor, settledAbove: above };
}

/** To sort what is sorted takes its time too, and a batch mostly is. */
function ascending(offsets: number[]): number[] {
  for (let i = 1; i < offsets.length; i++) if (offsets[i]! < offsets[i - 1]!) return offsets.sort((a, b) => a - b);
  return offsets;
}

function isAscending(ranges: readonly OffsetRange[]): boolean {
  for (let i = 1; i < ranges.length; i++) if (ranges[i]!.first < ranges[i - 1]!.first) return false;
  return true;
}
