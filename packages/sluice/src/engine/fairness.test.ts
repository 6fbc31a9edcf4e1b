/** Tests of the turns: order, weights, no saving up, no gain by coming late. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Turns, worthOf } from './fairness.js';

class Taker {
  readonly name: string;
  readonly weight: number;
  credit = 0;
  previous: this | undefined = undefined;
  next: this | undefined = undefined;
  constructor(name: string, weight = 1) {
    this.name = name;
    this.weight = weight;
  }
}

/** Serves `count` batches worth `worth` each. */
function serve(turns: Turns<Taker>, count: number, worth: (taker: Taker) => number = () => 1): string {
  let served = '';
  for (let i = 0; i < count; i++) {
    const taker = turns.next()!;
    served += taker.name;
    turns.spend(taker, worth(taker));
  }
  return served;
}

const ring = (...takers: Taker[]) => {
  const turns = new Turns<Taker>();
  for (const taker of takers) turns.add(taker);
  return turns;
};

describe('Turns (R-175)', () => {
  it('go round', () => {
    expect(serve(ring(new Taker('a'), new Taker('b'), new Taker('c')), 7)).toBe('abcabca');
    expect(new Turns<Taker>().next()).toBeUndefined();
  });

  it('are worth their weight, above and below one batch', () => {
    expect(serve(ring(new Taker('a', 2), new Taker('b')), 9)).toBe('aabaabaab');
    const shares = serve(ring(new Taker('a', 0.01), new Taker('b', 0.03)), 400);
    expect([...shares].filter((name) => name === 'a')).toHaveLength(100);
  });

  it('last while something is left of them: small batches go several to a turn', () => {
    expect(serve(ring(new Taker('a'), new Taker('b')), 12, ({ name }) => (name === 'a' ? 0.25 : 1))).toBe('aaaabaaaabaa');
  });

  it('D-46: who leaves does not make the next one miss its turn, and who comes joins at the tail', () => {
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => new Taker(name)) as [Taker, Taker, Taker, Taker];
    const turns = ring(a, b, c);
    expect(serve(turns, 1)).toBe('a');
    turns.remove(b);
    turns.add(d);
    turns.add(b);
    expect(serve(turns, 5)).toBe('cadbc');
  });

  it('are not gained by leaving and coming back in the middle of one', () => {
    const [a, b] = [new Taker('a'), new Taker('b')];
    const turns = ring(a, b);
    let served = '';
    for (let i = 0; i < 10; i++) {
      const taker = turns.next()!;
      served += taker.name;
      turns.spend(taker, 1);
      if (taker !== a) continue;
      turns.remove(a);
      turns.add(a);
    }
    expect(served).toBe('ababababab');
  });

  it('share by weight in the long run, whatever the batches are worth', () => {
    const lane = fc.record({ weight: fc.integer({ min: 1, max: 8 }), worth: fc.double({ min: 0.05, max: 1, noNaN: true }) });
    fc.assert(
      fc.property(fc.array(lane, { minLength: 2, maxLength: 6 }), (lanes) => {
        const takers = lanes.map(({ weight }, i) => new Taker(`${i}`, weight / 4));
        const turns = ring(...takers);
        const got = takers.map(() => 0);
        for (let i = 0; i < 4_000; i++) {
          const taker = turns.next()!;
          const at = Number(taker.name);
          got[at]! += lanes[at]!.worth;
          turns.spend(taker, lanes[at]!.worth);
        }
        const perWeight = got.map((worth, i) => worth / takers[i]!.weight);
        // What was left of a turn is not saved up, so that each may lose less than one batch a turn; never more than one turn apart.
        expect(Math.min(...perWeight)).toBeGreaterThan(0);
        const most = Math.max(...lanes.map(({ worth }, i) => worth / takers[i]!.weight));
        expect(Math.max(...perWeight) / Math.min(...perWeight)).toBeLessThan(1 + 2 * most + 0.1);
      }),
    );
  });
});

describe('worthOf', () => {
  it('counts by items, or by the larger part of items and bytes', () => {
    const bounds = { maxItems: 100, maxBytes: 1000 };
    expect(worthOf(50, 900, bounds)).toBe(0.5);
    expect(worthOf(50, 900, bounds, 'bytes')).toBe(0.9);
    expect(worthOf(50, 100, bounds, 'bytes')).toBe(0.5);
    expect(worthOf(7, 0, { maxItems: Number.POSITIVE_INFINITY, maxBytes: 10 })).toBe(1);
  });
});
