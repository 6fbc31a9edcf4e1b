/** Watermark: the contiguous settled prefix of offsets that are settled in any order, and the ranges above it. Pure. */

import type { GroupPosition, OffsetRange } from './position.js';

/** Where a consumer group stands in one partition, as it moves. */
export interface Watermark extends GroupPosition {
  /** How many ranges are settled above the cursor. */
  readonly rangesAbove: number;
  /**
   * Settles one offset.
   *
   * @returns false when it was settled already.
   */
  settle(offset: number): boolean;
  /** Settles all offsets of a range that are not settled. */
  settleRange(range: OffsetRange): void;
  isSettled(offset: number): boolean;
  /** A copy that later settlements do not change: what is written with {@link Log.settle}. */
  position(): GroupPosition;
}

/** A watermark that goes on from a stored position. */
export function createWatermark(from: GroupPosition): Watermark {
  // Two arrays of numbers: a batch that is settled behind a gap moves an end, and makes no object.
  let firsts: number[] = [];
  let lasts: number[] = [];
  let { cursor } = from;
  for (const range of from.settledAbove) settleRange(range);

  return {
    get cursor() {
      return cursor;
    },
    get settledAbove() {
      return ranges();
    },
    get rangesAbove() {
      return firsts.length;
    },
    settle(offset) {
      // Settling in order is the common case: it looks at nothing else.
      if (offset === cursor) {
        cursor++;
        if (firsts.length > 0) advance();
        return true;
      }
      if (isSettled(offset)) return false;
      settleRange({ first: offset, last: offset });
      return true;
    },
    settleRange,
    isSettled,
    position: () => ({ cursor, settledAbove: ranges() }),
  };

  function isSettled(offset: number): boolean {
    if (offset < cursor) return true;
    const at = firstEndingFrom(offset);
    return at < firsts.length && firsts[at]! <= offset;
  }

  function settleRange({ first, last }: OffsetRange): void {
    if (last < cursor || last < first) return;
    if (first <= cursor) {
      cursor = last + 1;
      advance();
      return;
    }
    // All ranges that touch or overlap the new one become one with it.
    const from = firstEndingFrom(first - 1);
    let to = from;
    let low = first;
    let high = last;
    for (; to < firsts.length && firsts[to]! <= last + 1; to++) {
      low = Math.min(low, firsts[to]!);
      high = Math.max(high, lasts[to]!);
    }
    if (to === from + 1) {
      firsts[from] = low;
      lasts[from] = high;
    } else {
      firsts.splice(from, to - from, low);
      lasts.splice(from, to - from, high);
    }
  }

  /** Index of the first range whose last offset is at or behind `offset`. */
  function firstEndingFrom(offset: number): number {
    // What is settled above the cursor mostly grows at its end.
    const end = lasts.length;
    if (end === 0 || lasts[end - 1]! < offset) return end;
    let low = 0;
    let high = end - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (lasts[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The cursor has moved: it passes the ranges that it has reached. */
  function advance(): void {
    let passed = 0;
    while (passed < firsts.length && firsts[passed]! <= cursor) cursor = Math.max(cursor, lasts[passed++]! + 1);
    if (passed === 0) return;
    firsts = firsts.slice(passed);
    lasts = lasts.slice(passed);
  }

  function ranges(): OffsetRange[] {
    return firsts.map((first, i) => ({ first, last: lasts[i]! }));
  }
}
