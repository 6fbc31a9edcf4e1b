import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DispatchContext, Layer, Sink } from '../core/dispatcher.js';
import type { Window } from '../core/window.js';
import type { Env } from '../env/env.js';
import { bisect, retry } from '../layers/index.js';
import { type Arrivals, bursts, onOff, poisson, steady, trace } from './arrivals.js';
import type { SimulatedItem } from './item.js';
import { type SimulationOptions, simulate } from './simulate.js';

const at = { arrivals: trace([0, 30, 60, 99, 100]), sink: {}, untilMs: 1000 } satisfies SimulationOptions;

/** A simulation of some of everything. */
const someOfEverything = (seed: number, extra: Partial<SimulationOptions> = {}): SimulationOptions => ({
  seed,
  arrivals: [
    { arrivals: poisson({ perSecond: 400 }), stream: 'a', bytes: { least: 10, most: 200 } },
    { arrivals: bursts({ items: 60, everyMs: 700 }), stream: 'b', bytes: 50 },
    { arrivals: onOff({ perSecond: 900, onMs: 200, offMs: 600 }), stream: 'c' },
  ],
  sink: {
    fixedMs: 8,
    perItemMs: 0.2,
    spread: 'exponential',
    errors: { transient: 0.1, unknown: 0.05, permanent: 0.02 },
    badItems: 0.01,
    idempotent: seed % 2 === 0,
    outages: [{ fromMs: 2000, toMs: 2300, how: seed % 3 === 0 ? 'hang' : 'fail' }],
    rateLimit: { perSecond: 60, burst: 20 },
  },
  batcher: {
    window: seed % 2 === 0 ? { maxDelayMs: 30 } : 'whileBusy',
    maxItems: 40,
    maxInFlight: 3,
    maxHeldItems: 300,
    timeoutMs: 150,
    layers: [retry({ baseMs: 20 }), bisect()],
  },
  untilMs: 2500,
  ...extra,
});

describe('a simulation', () => {
  it('runs the production batcher: windows are half-open, from the first item', async () => {
    const { dispatches, tally, violations } = await simulate({ ...at, batcher: { window: { maxDelayMs: 100 } } });
    expect(dispatches.map(({ atMs, items, reason }) => `${items}@${atMs} ${reason}`)).toEqual(['4@100 time', '1@200 time']);
    expect(tally.ok).toBe(5);
    expect(violations).toEqual([]);
  });

  it('cuts by size, by time, and at the close (R-163)', async () => {
    const size = { window: { maxDelayMs: 50 }, maxItems: 3 };
    const { dispatches, drain } = await simulate({ ...at, arrivals: trace([0, 1, 2, 10, 70]), batcher: size, untilMs: 80 });
    expect(dispatches.map(({ atMs, items, reason }) => `${items}@${atMs} ${reason}`)).toEqual([
      '3@2 size',
      '1@60 time',
      '1@80 shutdown',
    ]);
    expect(drain).toMatchObject({ ok: 1, dropped: 0 });
  });

  it('is reproduced by its seed, byte for byte, and no other seed gives the same', async () => {
    const reports = new Set<string>();
    for (let seed = 1; seed <= 4; seed++) {
      const once = JSON.stringify(await simulate(someOfEverything(seed, { record: 'items', sampleEveryMs: 100 })));
      const [twice, thrice] = await Promise.all(
        [1, 2].map(() => simulate(someOfEverything(seed, { record: 'items', sampleEveryMs: 100 }))),
      );
      expect(JSON.stringify(twice)).toBe(once);
      expect(JSON.stringify(thrice)).toBe(once);
      reports.add(once);
    }
    expect(reports.size).toBe(4);
  });

  it('comes to the same whether it takes the short cut for items that only join an open batch or not', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const quick = await simulate(someOfEverything(seed, { record: 'items' }));
      // A sample between any two events of this load: the clock never takes the short cut with `add`, whose figures are the same.
      const slow = await simulate(someOfEverything(seed, { record: 'items', by: 'add' }));
      expect({ ...slow, violations: 0 }).toEqual({ ...quick, violations: 0 });
    }
  });

  it('keeps every promise under some of everything, and counts what became of each item', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const { tally, violations, latencies, waits, calls, retries } = await simulate(someOfEverything(seed));
      expect(violations).toEqual([]);
      expect(tally.offered).toBe(tally.accepted + tally.rejected);
      expect(tally.accepted).toBe(tally.ok + tally.failed + tally.dropped + tally.cancelled);
      expect(latencies.count).toBe(tally.accepted - tally.dropped);
      expect(latencies.p99).toBeGreaterThanOrEqual(waits.p50);
      expect(calls.mostAtOnce).toBeGreaterThan(0);
      expect(retries).toBeGreaterThan(0);
    }
  });

  it('tells the latencies of each stream, and the tally over time', async () => {
    const { streams, samples, settlements, latencies } = await simulate(
      someOfEverything(3, { record: 'items', sampleEveryMs: 500 }),
    );
    expect(Object.keys(streams).sort()).toEqual(['a', 'b', 'c']);
    expect(Object.values(streams).reduce((sum, { count }) => sum + count, 0)).toBe(latencies.count);
    expect(samples.map(({ atMs }) => atMs)).toEqual([0, 500, 1000, 1500, 2000, 2500]);
    expect(samples.every(({ offered }, i) => offered >= (samples[i - 1]?.offered ?? 0))).toBe(true);
    expect(settlements.length).toBe(latencies.count);
  });

  it('drops at the deadline of the close what a dead sink never answered, and says so', async () => {
    const sink = { outages: [{ fromMs: 0, toMs: 1e9, how: 'lost' as const }], heedsAbort: false };
    const { drain, tally, endedMs, violations } = await simulate({
      arrivals: bursts({ items: 10, everyMs: 50 }),
      sink,
      batcher: { maxInFlight: 1, maxItems: 10 },
      untilMs: 90,
      closeDeadlineMs: 500,
    });
    expect(drain).toMatchObject({ dropped: 20, droppedInFlight: 10, droppedHeld: 10 });
    expect([tally.dropped, endedMs]).toEqual([20, 590]);
    expect(violations).toEqual([]);
  });

  it('takes a sink of your own, and finds what it does to the order', async () => {
    const shuffling = (): Sink<SimulatedItem> => ({ write: async () => {} });
    expect((await simulate({ ...at, sink: shuffling })).violations).toEqual([]);
    const leaving = async (leave: (env: Env, context: DispatchContext) => void) => {
      const layer: Layer<SimulatedItem, void> = (inner, env) => ({
        ready: (lane) => inner.ready(lane),
        dispatch(batch, context) {
          leave(env, context);
          return inner.dispatch(batch, context);
        },
      });
      const { violations } = await simulate({ ...at, batcher: { window: { maxDelayMs: 10 }, layers: [layer] } });
      return violations.map(({ invariant }) => invariant);
    };
    expect(await leaving((_, { signal }) => signal.addEventListener('abort', () => {}))).toEqual(['rest']);
    // A timer of a layer ends with the batcher.
    expect(await leaving((env) => void env.clock.after(1e6, () => {}))).toEqual([]);
  });

  it('refuses what makes no sense', async () => {
    const bad: readonly [object, string][] = [
      [{ untilMs: -1 }, 'simulate.untilMs'],
      [{ untilMs: undefined }, 'simulate.untilMs'],
      [{ seed: 1.5 }, 'simulate.seed'],
      [{ by: 'mail' }, 'simulate.by'],
      [{ record: 'all' }, 'simulate.record'],
      [{ sed: 1 }, 'did you mean seed'],
      [
        {
          arrivals: {
            start: () => {
              let n = 9;
              return () => n--;
            },
          },
        },
        'back in time',
      ],
    ];
    for (const [wrong, message] of bad) await expect(simulate({ ...at, ...wrong } as SimulationOptions)).rejects.toThrow(message);
  });
});

describe('size and delay together', () => {
  const any: fc.Arbitrary<Arrivals> = fc.oneof(
    fc.integer({ min: 1, max: 3000 }).map((perSecond) => poisson({ perSecond })),
    fc.integer({ min: 1, max: 3000 }).map((perSecond) => steady({ perSecond })),
    fc.record({ items: fc.integer({ min: 1, max: 300 }), everyMs: fc.integer({ min: 1, max: 400 }) }).map(bursts),
    fc
      .record({
        perSecond: fc.integer({ min: 10, max: 3000 }),
        onMs: fc.integer({ min: 5, max: 300 }),
        offMs: fc.integer({ min: 5, max: 300 }),
      })
      .map(onOff),
    fc.array(fc.nat(1000), { maxLength: 200 }).map((times) => trace(times.sort((a, b) => a - b))),
  );

  it('R-61: no batch is larger than maxItems and no item waits longer than the delay, whatever the arrivals', {
    timeout: 60_000,
  }, async () => {
    const property = fc.asyncProperty(
      any,
      fc.integer({ min: 0, max: 200 }),
      fc.integer({ min: 1, max: 50 }),
      fc.nat(),
      async (arrivals, maxDelayMs, maxItems, seed) => {
        const batcher = { window: { maxDelayMs }, maxItems, maxInFlight: Number.POSITIVE_INFINITY };
        const { waits, latencies, batches, violations } = await simulate({
          seed,
          arrivals,
          sink: { fixedMs: 7 },
          batcher,
          untilMs: 500,
        });
        expect(waits.max).toBeLessThanOrEqual(maxDelayMs + 1e-6);
        expect(latencies.max).toBeLessThanOrEqual(maxDelayMs + 7 + 1e-6);
        expect(batches.maxItems).toBeLessThanOrEqual(maxItems);
        expect(violations).toEqual([]);
      },
    );
    await fc.assert(property, { numRuns: 100 });
  });

  it('R-59: with a size alone, the first of 100 items that come once a minute waits 99 minutes', async () => {
    const window: Window = { maxDelayMs: 365 * 24 * 3_600_000 };
    const { waits, batches } = await simulate({
      arrivals: steady({ perSecond: 1 / 60, items: 100 }),
      sink: {},
      batcher: { window, maxItems: 100 },
      untilMs: 1e8,
    });
    expect(batches.reasons).toEqual({ size: 1 });
    expect(waits.max / 60_000).toBeCloseTo(99, 6);
  });

  it('R-60: with a delay alone, a million items of one window are one batch; with a size, none is larger than that', async () => {
    const million = {
      arrivals: bursts({ items: 1_000_000, everyMs: 1e9 }),
      sink: {},
      by: 'offer' as const,
      untilMs: 1000,
      checks: 'off' as const,
    };
    const unbounded = { maxHeldItems: 1_000_000, maxInFlight: Number.POSITIVE_INFINITY };
    const alone = await simulate({ ...million, batcher: { ...unbounded, maxItems: Number.POSITIVE_INFINITY } });
    expect(alone.batches).toMatchObject({ count: 1, maxItems: 1_000_000, reasons: { time: 1 } });
    const both = await simulate({ ...million, batcher: { ...unbounded, maxItems: 500 } });
    expect(both.batches).toMatchObject({ count: 2000, maxItems: 500, reasons: { size: 2000 } });
  });
});
