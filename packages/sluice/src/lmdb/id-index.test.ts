import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createIdIndex, createIdIndexes, type IdIndex } from './id-index.js';

/** All numbers that an index offers for a hash. */
function hints(index: IdIndex, hash: number): number[] {
  const numbers: number[] = [];
  index.find(hash, (number) => void numbers.push(number));
  return numbers;
}

describe('the index of ids', () => {
  it('R-190: offers every number of the window for its hash, through growth and generations', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 400 }),
        fc.integer({ min: 1, max: 60 }),
        (hashes, window) => {
          const index = createIdIndex(window, 0);
          hashes.forEach((hash, number) => {
            index.add(hash, number);
            const oldest = Math.max(0, number + 1 - window);
            for (const each of [oldest, number]) expect(hints(index, hashes[each]!)).toContain(each);
          });
          expect(index.next).toBe(hashes.length);
        },
      ),
    );
  });

  it('offers nothing for a hash that it does not hold', () => {
    const index = createIdIndex(100, 0);
    for (let number = 0; number < 50; number++) index.add(number, number);
    expect(hints(index, 50)).toEqual([]);
  });

  it('takes two windows of memory and no more, whatever comes', () => {
    const index = createIdIndex(1_000, 0);
    for (let number = 0; number < 50_000; number++) index.add(number, number);
    // 1,000 at a load of at most 0.6 need 2,048 places of 8 bytes.
    expect(index.bytes).toBeLessThanOrEqual(2 * 2_048 * 8);
  });

  it('keeps the scopes that were used last, within its bytes, and always the one that is asked for', () => {
    const filled: number[] = [];
    const indexes = createIdIndexes(2 * 512);
    const get = (scope: number) => indexes.get(scope, 10, 0, () => void filled.push(scope));
    for (const scope of [1, 2, 1, 3, 1, 2]) get(scope);
    expect(filled).toEqual([1, 2, 3, 2]);
    const tight = createIdIndexes(1);
    const index = tight.get(7, 10, 0, () => {});
    index.add(5, 0);
    expect(
      hints(
        tight.get(7, 10, 1, () => {}),
        5,
      ),
    ).toEqual([0]);
  });

  it('is made anew for a window that has grown, and after a transaction that failed', () => {
    const indexes = createIdIndexes(1 << 20);
    let fills = 0;
    const get = (window: number) => indexes.get(1, window, 0, () => void fills++);
    get(10);
    get(10);
    get(5);
    get(20);
    expect(fills).toBe(2);
    get(20).add(1, 0);
    get(20);
    expect(fills).toBe(3);
  });
});
