import { expect, it } from 'vitest';
import { seededRandom } from '../env/seeded-random.js';
import { breaker, retry } from '../layers/index.js';
import { bursts, poisson, steady } from './arrivals.js';
import { uniformKeys, zipfKeys } from './keys.js';
import { simulateLoader } from './simulate-loader.js';

it('C2: a window of 100 ms from the first key makes one call for what came within it, half-open', async () => {
  const report = await simulateLoader({
    arrivals: steady({ perSecond: 20, items: 3 }),
    keys: uniformKeys(1),
    backend: { fixedMs: 10 },
    loader: { window: { maxDelayMs: 100 } },
    untilMs: 1000,
  });
  // 0 and 50 leave at 100; what comes at 100 belongs to the next window.
  expect(report.calls.count).toBe(2);
  expect(report.latencies).toMatchObject({ count: 3, max: 110, min: 60 });
  expect(report.violations).toEqual([]);
});

it('R-163: the same seed gives the same report of a loader, byte for byte, and another seed another one', async () => {
  const run = (seed: number) =>
    simulateLoader({
      seed,
      arrivals: poisson({ perSecond: 2000 }),
      keys: zipfKeys(100),
      callers: { leave: 0.2, leaveAfterMs: 5, timeoutMs: 30 },
      backend: { fixedMs: 5, spread: 'exponential', errors: { transient: 0.1 } },
      loader: { window: { maxDelayMs: 3 }, layers: [retry({ baseMs: 5 })] },
      untilMs: 2000,
    });
  const once = await run(7);
  expect(await run(7)).toEqual(once);
  expect(await run(8)).not.toEqual(once);
  expect(once.violations).toEqual([]);
  expect(once.failures.CANCELLED).toBeGreaterThan(50);
  expect(once.failures.TIMEOUT).toBeGreaterThan(0);
});

it('asks once for a key that many want, and less with a cache', async () => {
  const run = (cache: boolean) =>
    simulateLoader({
      arrivals: bursts({ items: 100, everyMs: 10 }),
      keys: zipfKeys(50),
      backend: { fixedMs: 2 },
      loader: cache ? { cache: { maxItems: 1000 } } : {},
      untilMs: 1000,
    });
  const [plain, cached] = [await run(false), await run(true)];
  expect(plain.violations.concat(cached.violations)).toEqual([]);
  expect(plain.loads.ok).toBe(10_100);
  expect(plain.keys.ok).toBeLessThan(5000);
  expect(cached.keys.ok).toBe(50);
  expect(cached.cache?.hits).toBeGreaterThan(9000);
});

it('keeps every promise through outages, bad and missing keys, a breaker and a full house', async () => {
  const report = await simulateLoader({
    arrivals: poisson({ perSecond: 3000 }),
    keys: zipfKeys(500, 0.8),
    callers: { leave: 0.1 },
    backend: {
      fixedMs: 4,
      badItems: 0.05,
      outages: [
        { fromMs: 500, toMs: 700 },
        { fromMs: 1200, toMs: 1300, how: 'hang' },
      ],
    },
    missing: 0.1,
    loader: { maxInFlight: 2, maxHeldWaiters: 200, layers: [breaker({ maxFailures: 3, cooldownMs: 50 })], timeoutMs: 80 },
    untilMs: 2000,
  });
  expect(report.violations).toEqual([]);
  expect(report.calls.mostAtOnce).toBeLessThanOrEqual(4);
  expect(Object.keys(report.failures).sort()).toEqual(
    expect.arrayContaining(['BAD_ITEM', 'CANCELLED', 'KEY_NOT_FOUND', 'OVERLOADED']),
  );
  expect(report.latencies.count + Object.values(report.failures).reduce((sum, count) => sum + count, 0)).toBe(
    report.loads.offered,
  );
});

it('sees a loader that breaks its word (canary)', async () => {
  const report = await simulateLoader({
    arrivals: steady({ perSecond: 1000 }),
    keys: uniformKeys(5),
    backend: { fixedMs: 5 },
    loader: {
      layers: [
        (inner) => ({
          ready: (lane) => inner.ready(lane),
          // The values of the first call for ever.
          dispatch: memory((batch, context) => inner.dispatch(batch, context)),
        }),
      ],
    },
    untilMs: 200,
  });
  expect(new Set(report.violations.map(({ invariant }) => invariant))).toEqual(new Set(['boundary', 'settledOnce']));
});

function memory<A extends unknown[], V>(call: (...given: A) => Promise<V>): (...given: A) => Promise<V> {
  let first: Promise<V> | undefined;
  return (...given) => {
    first ??= call(...given);
    return first;
  };
}

it('draws keys uniformly, or by Zipf', () => {
  const random = seededRandom(3);
  const shares = (draw: ReturnType<typeof zipfKeys>) => {
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 50_000; i++) counts[draw(random)]!++;
    return counts.map((count) => count / 50_000);
  };
  for (const share of shares(uniformKeys(10))) expect(share).toBeCloseTo(0.1, 1);
  const harmonic = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].reduce((sum, k) => sum + 1 / k, 0);
  shares(zipfKeys(10)).forEach((share, k) => {
    expect(Math.abs(share - 1 / ((k + 1) * harmonic))).toBeLessThan(0.01);
  });
  for (const wrong of [() => uniformKeys(0), () => zipfKeys(2e6), () => zipfKeys(5, -1)])
    expect(wrong).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
});
