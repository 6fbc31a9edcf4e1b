import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createWatermark } from './watermark.js';

const range = (first: number, last = first) => ({ first, last });

describe('watermark', () => {
  it('moves over offsets settled in order', () => {
    const mark = createWatermark({ cursor: 5, settledAbove: [] });
    expect(mark.settle(5)).toBe(true);
    expect(mark.settle(6)).toBe(true);
    expect(mark.position()).toEqual({ cursor: 7, settledAbove: [] });
  });

  it('waits at a gap and jumps over what was settled above it', () => {
    const mark = createWatermark({ cursor: 0, settledAbove: [] });
    for (const offset of [3, 1, 2, 7]) mark.settle(offset);
    expect(mark.position()).toEqual({ cursor: 0, settledAbove: [range(1, 3), range(7)] });
    mark.settle(0);
    expect(mark.position()).toEqual({ cursor: 4, settledAbove: [range(7)] });
  });

  it('says when an offset was settled already', () => {
    const mark = createWatermark({ cursor: 2, settledAbove: [range(4)] });
    expect([1, 4, 2].map((offset) => mark.settle(offset))).toEqual([false, false, true]);
  });

  it('goes on from a position whose settled ranges touch or overlap the cursor', () => {
    const mark = createWatermark({ cursor: 3, settledAbove: [range(1, 1), range(3, 4), range(6)] });
    expect(mark.position()).toEqual({ cursor: 5, settledAbove: [range(6)] });
  });

  it('gives out a position that later settlements leave alone', () => {
    const mark = createWatermark({ cursor: 0, settledAbove: [range(2)] });
    const before = mark.position();
    mark.settle(0);
    mark.settle(1);
    expect(before).toEqual({ cursor: 0, settledAbove: [range(2)] });
  });

  it('settles a million offsets above a gap, from both ends inwards, in a few ranges', () => {
    const mark = createWatermark({ cursor: 0, settledAbove: [] });
    for (let i = 0; i < 500_000; i++) {
      mark.settle(1 + i);
      mark.settle(1_000_000 - i);
    }
    expect(mark.rangesAbove).toBe(1);
    mark.settle(0);
    expect(mark.position()).toEqual({ cursor: 1_000_001, settledAbove: [] });
  });

  it('agrees with a set of all settled offsets, in any order, by ones and by ranges, and over restarts', () => {
    const step = fc.oneof(
      fc.nat(30),
      fc.tuple(fc.nat(30), fc.nat(8)).map(([first, more]) => ({ first, last: Math.min(30, first + more) })),
      fc.constant('restart' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        let mark = createWatermark({ cursor: 0, settledAbove: [] });
        const settled = new Set<number>();
        for (const step of steps) {
          if (step === 'restart') mark = createWatermark(mark.position());
          else if (typeof step === 'number') {
            expect(mark.settle(step)).toBe(!settled.has(step));
            settled.add(step);
          } else {
            mark.settleRange(step);
            for (let offset = step.first; offset <= step.last; offset++) settled.add(offset);
          }
          let cursor = 0;
          while (settled.has(cursor)) cursor++;
          expect(mark.cursor).toBe(cursor);
          const above = mark.settledAbove.flatMap(({ first, last }) =>
            Array.from({ length: last - first + 1 }, (_, i) => first + i),
          );
          expect(above).toEqual([...settled].filter((offset) => offset > cursor).sort((a, b) => a - b));
          for (const [i, { first, last }] of mark.settledAbove.entries()) {
            expect(last).toBeGreaterThanOrEqual(first);
            if (i > 0) expect(first).toBeGreaterThan(mark.settledAbove[i - 1]!.last + 1);
          }
          for (let offset = 0; offset <= 31; offset++) expect(mark.isSettled(offset)).toBe(settled.has(offset));
        }
      }),
      { numRuns: 500 },
    );
  });
});
