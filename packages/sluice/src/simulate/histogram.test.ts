import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Histogram } from './histogram.js';

it('gives percentiles by nearest rank, to a thousandth', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 300 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (times, share) => {
        const histogram = new Histogram();
        for (const ms of times) histogram.add(ms);
        const sorted = [...times].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(times.length * share - 1e-9)) - 1]!;
        expect(Math.abs(histogram.percentile(share) - exact)).toBeLessThanOrEqual(exact / 1000 + 0.0011);
      },
    ),
  );
});

it('says how many, the mean, the least and the most exactly; of nothing, zero', () => {
  const histogram = new Histogram();
  expect(histogram.spread()).toEqual({ count: 0, mean: 0, min: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 });
  for (const ms of [0.0004, 3.25, 7_200_000]) histogram.add(ms);
  const { count, mean, min, max } = histogram.spread();
  expect({ count, mean, min, max }).toEqual({ count: 3, mean: (0.0004 + 3.25 + 7_200_000) / 3, min: 0.0004, max: 7_200_000 });
});
