import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../env/seeded-random.js';
import { type Arrivals, bursts, merged, onOff, poisson, steady, trace } from './arrivals.js';

const first = (arrivals: Arrivals, count: number, seed = 1) => {
  const next = arrivals.start(seededRandom(seed));
  return Array.from({ length: count }, next);
};

describe('arrivals', () => {
  it('come at equal distances, without drift', () => {
    expect(first(steady({ perSecond: 100, fromMs: 5 }), 4)).toEqual([5, 15, 25, 35]);
    expect(first(steady({ perSecond: 10_000 }), 1_000_001).at(-1)).toBe(100_000);
    expect(first(steady({ perSecond: 1, items: 2 }), 4)).toEqual([0, 1000, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });

  it('of a Poisson process have the mean and the variance of one', () => {
    const times = first(poisson({ perSecond: 1000 }), 100_000);
    const gaps = times.map((at, i) => at - (times[i - 1] ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
    expect(mean).toBeCloseTo(1, 1);
    expect(variance).toBeCloseTo(1, 1);
  });

  it('come in bursts', () => {
    expect(first(bursts({ items: 2, everyMs: 30, fromMs: 1 }), 5)).toEqual([1, 1, 31, 31, 61]);
  });

  it('are switched on and off, at the mean rate of the share that is on', () => {
    const times = first(onOff({ perSecond: 1000, onMs: 100, offMs: 300 }), 200_000);
    expect((times.length * 1000) / times.at(-1)!).toBeGreaterThan(230);
    expect((times.length * 1000) / times.at(-1)!).toBeLessThan(270);
  });

  it('are played from a recording', () => {
    expect(first(trace([1, 1, 4]), 4)).toEqual([1, 1, 4, Number.POSITIVE_INFINITY]);
    expect(() => trace([1, 0])).toThrow('never fall');
    expect(() => trace([Number.NaN])).toThrow('index 0');
  });

  it('never go back in time, and depend on the seed alone', () => {
    const any = fc.constantFrom(
      steady({ perSecond: 333 }),
      poisson({ perSecond: 50 }),
      bursts({ items: 3, everyMs: 7 }),
      onOff({ perSecond: 90, onMs: 10, offMs: 30 }),
    );
    fc.assert(
      fc.property(any, fc.nat(), (arrivals, seed) => {
        const times = first(arrivals, 200, seed);
        expect(times.every((at, i) => at >= (times[i - 1] ?? 0))).toBe(true);
        expect(first(arrivals, 200, seed)).toEqual(times);
      }),
    );
  });

  it('of several streams come in the order of their times, with sizes of their own', () => {
    const next = merged(
      [
        { arrivals: trace([5, 10]), stream: 'a', bytes: 7 },
        { arrivals: trace([1, 10]), stream: 'b', bytes: { least: 2, most: 3 } },
      ],
      (stream) => seededRandom(stream),
    );
    const all = [next(), next(), next(), next(), next()];
    expect(all.map((arrival) => arrival && `${arrival.stream}@${arrival.atMs}`)).toEqual([
      'b@1',
      'a@5',
      'a@10',
      'b@10',
      undefined,
    ]);
    expect(all.map((arrival) => arrival?.bytes).filter((bytes) => bytes !== undefined && (bytes < 2 || bytes > 7))).toEqual([]);
  });

  it('refuse what is no rate', () => {
    for (const perSecond of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => steady({ perSecond })).toThrow('above 0');
    expect(() => bursts({ items: 0, everyMs: 1 })).toThrow('bursts.items');
    expect(() => onOff({ perSecond: 1, onMs: 0, offMs: 1 })).toThrow('onOff.onMs');
  });
});
