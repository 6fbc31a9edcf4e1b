import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangesOf } from './ranges.js';
import { createWatermark } from './watermark.js';

describe('watermark', () => {
  it('moves over offsets settled in order', () => {
    const mark = createWatermark({ cursor: 5, settledAbove: [] });
    expect(mark.settle(5)).toBe(true);
    expect(mark.settle(6)).toBe(true);
    expect(mark.position()).toEqual({ cursor: 7, settledAbove: [] });
  });

  it('waits at a gap and jumps over what was settled above it', () => {
    const mark = createWatermark({ cursor: 0, settledAbove: [] });
    for (const offset of [3, 1, 2]) mark.settle(offset);
    expect(mark.position()).toEqual({ cursor: 0, settledAbove: [{ first: 1, last: 3 }] });
    mark.settle(0);
    expect(mark.position()).toEqual({ cursor: 4, settledAbove: [] });
  });

  it('says when an offset was settled already', () => {
    const mark = createWatermark({ cursor: 2, settledAbove: [{ first: 4, last: 4 }] });
    expect([1, 4, 2].map((offset) => mark.settle(offset))).toEqual([false, false, true]);
  });

  it('goes on from a position whose settled offsets touch or overlap the cursor', () => {
    expect(
      createWatermark({
        cursor: 3,
        settledAbove: [
          { first: 1, last: 1 },
          { first: 3, last: 4 },
          { first: 6, last: 6 },
        ],
      }).position(),
    ).toEqual({ cursor: 5, settledAbove: [{ first: 6, last: 6 }] });
  });

  it('gives out a position that later settlements leave alone', () => {
    const mark = createWatermark({ cursor: 0, settledAbove: [{ first: 2, last: 2 }] });
    const before = mark.position();
    mark.settle(0);
    mark.settle(1);
    expect(before).toEqual({ cursor: 0, settledAbove: [{ first: 2, last: 2 }] });
  });

  it('agrees with a set of all settled offsets, in any order and over restarts', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(30), fc.constant('restart' as const)), { maxLength: 80 }), (steps) => {
        let mark = createWatermark({ cursor: 0, settledAbove: [] });
        const settled = new Set<number>();
        for (const step of steps) {
          if (step === 'restart') {
            mark = createWatermark(mark.position());
          } else {
            expect(mark.settle(step)).toBe(!settled.has(step));
            settled.add(step);
          }
          let cursor = 0;
          while (settled.has(cursor)) cursor++;
          expect(mark.cursor).toBe(cursor);
          expect(mark.settledAbove).toEqual(rangesOf([...settled].filter((offset) => offset > cursor)));
          for (let offset = 0; offset <= 31; offset++) expect(mark.isSettled(offset)).toBe(settled.has(offset));
        }
      }),
    );
  });
});
