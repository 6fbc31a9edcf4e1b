import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assign } from './assignment.js';

const none = (partitions: number) => new Array<string | undefined>(partitions).fill(undefined);

describe('assignment', () => {
  it('R-188: gives each consumer its share, and takes turns', () => {
    expect(assign(none(5), ['a', 'b'])).toEqual(['a', 'b', 'a', 'b', 'a']);
  });

  it('R-188: leaves consumers without a partition when there are more of them', () => {
    expect(assign(none(2), ['a', 'b', 'c'])).toEqual(['a', 'b']);
  });

  it('moves only what must: one that comes takes its share, one that goes leaves its own', () => {
    const before = ['a', 'b', 'a', 'b', 'a', 'b'];
    expect(assign(before, ['a', 'b', 'c'])).toEqual(['a', 'b', 'a', 'b', 'c', 'c']);
    expect(assign(before, ['b'])).toEqual(['b', 'b', 'b', 'b', 'b', 'b']);
    expect(assign(before, [])).toEqual(none(6));
  });

  it('is even, complete and lazy for any partitions, owners and consumers', () => {
    const names = fc.constantFrom('a', 'b', 'c', 'd', 'e');
    fc.assert(
      fc.property(
        fc.array(fc.option(names, { nil: undefined }), { maxLength: 20 }),
        fc.uniqueArray(names, { minLength: 1 }),
        (owners, consumers) => {
          const assigned = assign(owners, consumers);
          const counts = consumers.map((one) => assigned.filter((owner) => owner === one).length);
          expect(counts.reduce((sum, count) => sum + count, 0)).toBe(owners.length);
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
          // No fewer could stay: each consumer keeps all that it had, up to what it has now.
          const stayed = consumers.reduce((sum, one, i) => {
            const had = owners.filter((owner) => owner === one).length;
            return sum + Math.min(had, counts[i]!);
          }, 0);
          expect(assigned.filter((owner, i) => owner === owners[i]).length).toBe(stayed);
          expect(assign(assigned, consumers)).toEqual(assigned);
        },
      ),
      { numRuns: 500 },
    );
  });
});
