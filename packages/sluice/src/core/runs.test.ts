/** Tests of the runs: what neighbours have in common, through any taking. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Run, Runs } from './runs.js';

const flat = (runs: readonly Run<string>[]) =>
  runs.flatMap(({ acceptedAt, barrier, length }) => new Array(length).fill(`${acceptedAt}${barrier}`));

describe('Runs', () => {
  it('keep the time and the barrier of each in the queue, whatever is pushed and taken', () => {
    const step = fc.record({ at: fc.nat(2), barrier: fc.constantFrom('x', 'y'), take: fc.nat(4) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const runs = new Runs<string>();
        const model: string[] = [];
        for (const { at, barrier, take } of steps) {
          runs.push(at, barrier);
          model.push(`${at}${barrier}`);
          const count = Math.min(take, model.length);
          expect(flat(runs.take(count))).toEqual(model.splice(0, count));
          const { first } = runs;
          expect(first && `${first.acceptedAt}${first.barrier}`).toBe(model[0]);
        }
      }),
    );
  });

  it('are one for a burst', () => {
    const runs = new Runs<string>();
    for (let i = 0; i < 1_000; i++) runs.push(5, 'x');
    expect(runs.take(1_000)).toEqual([{ acceptedAt: 5, barrier: 'x', length: 1_000 }]);
    expect(runs.first).toBeUndefined();
  });
});
