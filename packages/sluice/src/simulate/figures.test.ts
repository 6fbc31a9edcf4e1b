/** The figures that the documents of the project give, worked out again by simulation. */

import { describe, expect, it } from 'vitest';
import { createBatcher } from '../batcher/batcher.js';
import { failure } from '../core/errors.js';
import type { Window } from '../core/window.js';
import { seededRandom } from '../env/seeded-random.js';
import { VirtualClock } from '../env/virtual.js';
import { retry } from '../layers/index.js';
import { poisson, steady, trace } from './arrivals.js';
import { simulate } from './simulate.js';

const unlimited = { maxInFlight: Number.POSITIVE_INFINITY, maxHeldItems: Number.POSITIVE_INFINITY };
const fast = { sink: {}, by: 'offer', checks: 'off', record: 'figures' } as const;

describe('1,000 items or 100 ms (C3)', () => {
  const batcher = { ...unlimited, window: { maxDelayMs: 100 }, maxItems: 1000 };
  // A whole number of batches, so that the last one is not cut short by the close.
  const at = (perSecond: number, items: number) =>
    simulate({ ...fast, arrivals: steady({ perSecond, items }), batcher, untilMs: 1e6 });

  it.each([
    ['Q37: 100 a second: the time rules, 10 a batch', 100, 1000, 'time', 10, 55, 100, 100],
    ['Q35: 1,000 a second: the time rules, 100 a batch, not the size', 1000, 10_000, 'time', 100, 50.5, 99, 100],
    [
      'Q36: 10,000 a second: the thousandth comes at 99.9 ms, p99 is 98.9 ms and not 10',
      10_000,
      100_000,
      'size',
      1000,
      49.95,
      98.9,
      99.9,
    ],
    ['20,000 a second: the size rules', 20_000, 100_000, 'size', 1000, 24.975, 49.45, 49.95],
    ['100,000 a second: only here is p99 10 ms', 100_000, 200_000, 'size', 1000, 4.995, 9.89, 9.99],
  ] as const)('%s', async (_, perSecond, items, reason, size, mean, p99, max) => {
    const { batches, waits } = await at(perSecond, items);
    expect(batches.reasons).toEqual({ [reason]: items / size });
    expect(batches.meanItems).toBe(size);
    expect(waits.mean).toBeCloseTo(mean, 3);
    expect(waits.p99).toBeGreaterThan(p99 * 0.998);
    expect(waits.p99).toBeLessThan(p99 * 1.002);
    expect(waits.max).toBeCloseTo(max, 6);
  });

  it.each([
    ['Q37', 100, 11, 54.5, 100],
    ['Q35', 1000, 101, 50.5, 99.99],
    ['Q36', 10_000, 986, 50, 98.9],
  ])('%s with Poisson arrivals', async (_, perSecond, size, mean, p99) => {
    const { batches, waits } = await simulate({
      ...fast,
      arrivals: poisson({ perSecond, items: Math.min(perSecond * 60, 200_000) }),
      batcher,
      untilMs: 1e6,
    });
    expect(batches.meanItems / size).toBeCloseTo(1, 1);
    expect(waits.mean / mean).toBeCloseTo(1, 1);
    expect(waits.p99 / p99).toBeCloseTo(1, 1.5);
  });
});

describe('a limit of 100 calls a second and a load of 50,000 items a second (C3.2, C3.3)', () => {
  const seconds = 8;
  const callsPerSecond = async (perSecond: number, maxItems: number, window: Window) => {
    const { batches } = await simulate({
      ...fast,
      arrivals: poisson({ perSecond, items: perSecond * seconds }),
      batcher: { ...unlimited, window, maxItems },
      untilMs: seconds * 1000,
    });
    return { calls: batches.count / seconds, batches };
  };
  const delay: Window = { maxDelayMs: 20 };
  const ticker: Window = { everyMs: 20 };

  it('C3.2: a delay that the size reaches exactly leaves half of the cuts to chance', async () => {
    const { calls, batches } = await callsPerSecond(50_000, 1000, delay);
    expect(calls).toBeGreaterThan(50);
    expect(calls).toBeLessThan(51.5);
    expect(batches.meanItems).toBeGreaterThan(975);
    expect(batches.reasons.size! / batches.count).toBeCloseTo(0.5, 0.5);
  });

  it.each([
    [50_000, 1000, 50.4, 70],
    [55_000, 1000, 54.8, 99.6],
    [50_000, 715, 69.5, 99.8],
  ])(
    'C3.3, D-1: at %i a second and %i a batch a timer makes %f calls a second, a ticker that is not reset %f',
    async (perSecond, maxItems, withTimer, withTicker) => {
      const timer = await callsPerSecond(perSecond, maxItems, delay);
      const ticking = await callsPerSecond(perSecond, maxItems, ticker);
      expect(timer.calls / withTimer).toBeGreaterThan(0.97);
      expect(timer.calls / withTimer).toBeLessThan(1.03);
      // At the boundary the phase of the ticker wanders, and the rate with it.
      expect(ticking.calls / withTicker).toBeGreaterThan(0.9);
      expect(ticking.calls / withTicker).toBeLessThan(1.1);
      expect(ticking.calls / timer.calls).toBeGreaterThan(1.3);
    },
  );
});

describe('a call costs 5 ms and an item 50 µs (Q38)', () => {
  it('R-58: what a call costs, whatever is in it, is paid once a batch (C3.1): one at a time, batches of 100 do 10,000 items a second, single items 198: 50.5 times less', async () => {
    const sink = { fixedMs: 5, perItemMs: 0.05 };
    const rate = async (maxItems: number, items: number) => {
      const batcher = { maxItems, maxInFlight: 1, maxHeldItems: Number.POSITIVE_INFINITY, window: { maxDelayMs: 0 } };
      const { endedMs } = await simulate({
        ...fast,
        arrivals: steady({ perSecond: 1e9, items }),
        sink,
        batcher,
        untilMs: 1,
        closeDeadlineMs: 1e9,
      });
      return (items * 1000) / endedMs;
    };
    const [single, batched] = [await rate(1, 2000), await rate(100, 100_000)];
    expect(single).toBeCloseTo(198.02, 1);
    expect(batched / 10_000).toBeCloseTo(1, 3);
    expect(batched / single).toBeCloseTo(50.5, 1);
  });
});

describe('200 items 6 ms apart, a sink of 100 ms, one call at a time (decision 0001)', () => {
  const load = { arrivals: steady({ perSecond: 1000 / 6, items: 200 }), sink: { fixedMs: 100 }, untilMs: 1e6 };

  it('cut late they are 13 calls, and p99 is 199 ms', async () => {
    const { calls, latencies } = await simulate({ ...load, batcher: { window: { maxDelayMs: 5 }, maxInFlight: 1 } });
    expect(calls.count).toBe(13);
    expect(Math.round(latencies.p99)).toBe(199);
  });

  it('cut early, each when its window is over, they are 200 calls, and p99 is 18.6 s', async () => {
    // No two items fall into one window of 5 ms: batches that are cut early hold one item each.
    const { calls, latencies } = await simulate({ ...load, batcher: { window: { maxDelayMs: 5 }, maxInFlight: 1, maxItems: 1 } });
    expect(calls.count).toBe(200);
    expect(latencies.p99 / 18_600).toBeCloseTo(1, 2);
  });
});

describe('a thousand clients that fail together', () => {
  it('R-82: jitter spreads their first retries: no 10 ms hold more than 5 % of them, at a base of 1 s', async () => {
    const clock = new VirtualClock();
    const env = { clock, random: seededRandom(82), observe: () => {}, neutral: <T>(fn: () => T) => fn() };
    const retriesAt: number[] = [];
    const batchers = Array.from({ length: 1000 }, () => {
      let calls = 0;
      const sink = {
        async write() {
          if (calls++ === 0) throw failure('all of them fail at once', { class: 'transient' });
          retriesAt.push(clock.now());
        },
      };
      return createBatcher<number>({ sink, env, window: { maxDelayMs: 10 }, layers: [retry({ baseMs: 1000 })] });
    });
    for (const batcher of batchers) batcher.offer(1);
    await clock.run(Number.POSITIVE_INFINITY);
    const buckets = new Map<number, number>();
    for (const at of retriesAt) buckets.set(Math.floor(at / 10), (buckets.get(Math.floor(at / 10)) ?? 0) + 1);
    expect(retriesAt.length).toBe(1000);
    expect(Math.max(...buckets.values())).toBeLessThanOrEqual(50);
    expect(Math.min(...retriesAt)).toBeGreaterThanOrEqual(1010);
    expect(Math.max(...retriesAt)).toBeLessThan(2010);
  });
});

it('R-75: batches whose p99 is the largest are throughput-bound, cut by size; batches of one say low traffic, cut by time', async () => {
  const run = (perSecond: number) =>
    simulate({
      arrivals: poisson({ perSecond }),
      sink: { fixedMs: 5 },
      batcher: { window: { maxDelayMs: 20 }, maxItems: 100, maxInFlight: 8 },
      untilMs: 20_000,
    });
  const sizes = ({ dispatches }: Awaited<ReturnType<typeof run>>) => dispatches.map(({ items }) => items).sort((a, b) => a - b);
  const [busy, quiet] = [await run(20_000), await run(2)];
  const [large, small] = [sizes(busy), sizes(quiet)];
  expect(large[Math.floor(large.length * 0.01)]).toBe(100);
  expect(busy.batches.reasons.size! / busy.batches.count).toBeGreaterThan(0.99);
  expect(small[Math.floor(small.length / 2)]).toBe(1);
  expect(quiet.batches.reasons.time! / quiet.batches.count).toBeGreaterThan(0.9);
});

describe('R-165: batching and pipelining, 1,000 items, 5 ms a call and 0.05 ms an item', () => {
  const run = async (maxItems: number, maxInFlight: number) => {
    const report = await simulate({
      arrivals: trace(new Array<number>(1000).fill(0)),
      sink: { fixedMs: 5, perItemMs: 0.05 },
      batcher: { window: { maxDelayMs: 1 }, maxItems, maxInFlight },
      untilMs: 0,
    });
    expect(report.violations).toEqual([]);
    return { calls: report.calls.count, ms: Math.round(report.endedMs) };
  };

  it.each([
    ['neither', 1, 1, 1000, 5050],
    ['pipelining: ten calls at once', 1, 10, 1000, 505],
    ['batching: a hundred items a call', 100, 1, 10, 100],
    ['both', 100, 10, 10, 10],
  ] as const)('%s', async (_, maxItems, maxInFlight, calls, ms) => {
    expect(await run(maxItems, maxInFlight)).toEqual({ calls, ms });
  });
});
