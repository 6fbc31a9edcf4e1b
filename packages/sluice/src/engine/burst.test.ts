/** Tests of bursts: values that are let in by one decision are counted, bounded, cut and timed as if each had been decided on. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BatcherOptions, createBatcher } from '../batcher/batcher.js';
import type { Sink } from '../core/dispatcher.js';
import { tallyImbalance } from '../core/tally.js';
import type { Clock } from '../env/env.js';
import { testEnv } from '../testing/test-env.js';

/** A batcher whose sink notes what it gets; `held` is offered in one run of code, long enough for bursts. */
function world(options: Partial<BatcherOptions<number>> = {}) {
  const env = testEnv();
  const { clock } = env;
  // A test clock may move within a turn, and each arrival asks it; the system's clock stands for the many arrivals of one run of code.
  const still: Clock = {
    now: () => clock.now(),
    wall: () => clock.wall(),
    after: (ms, fn) => clock.after(ms, fn),
    afterTurn: (fn) => clock.afterTurn(fn),
  };
  const written: (readonly number[])[] = [];
  const sink = { write: async (items: readonly number[]) => void written.push(items) };
  const batcher = createBatcher<number>({
    sink,
    env: { ...env, clock: still },
    window: { maxDelayMs: 100 },
    maxItems: 1e6,
    maxHeldItems: 1e6,
    ...options,
  });
  const offerAll = (from: number, to: number) => {
    const answers = new Map<string, number>();
    for (let i = from; i < to; i++) {
      const answer = batcher.offer(i);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
    return Object.fromEntries(answers);
  };
  return { env, batcher, written, offerAll };
}
const upTo = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('a burst', () => {
  it.each([3, 50, 97, 300])(
    'that a sink has in its write is not forgotten by the one that filled its batch of %i',
    async (maxItems) => {
      let next = 0;
      let calls = 0;
      const written: number[] = [];
      const write = async (items: readonly number[]) => {
        written.push(...items);
        if (calls++ < 5) for (let i = 0; i < 80; i++) batcher.offer(next++);
      };
      const { batcher, env } = world({ maxItems, maxInFlight: 2, sink: { write } });
      for (let i = 0; i < 1_000; i++) batcher.offer(next++);
      expect(batcher.stats().offered).toBe(next);
      await env.clock.advance(1_000);
      expect(tallyImbalance(batcher.stats())).toBe(0);
      expect(batcher.stats()).toMatchObject({ offered: next, ok: next, held: 0, inFlight: 0 });
      expect(written.sort((a, b) => a - b)).toEqual(upTo(0, next));
    },
  );

  it('is counted whenever somebody looks', () => {
    const { batcher, offerAll } = world();
    for (let i = 0; i < 1000; i += 7) {
      offerAll(i, i + 7);
      const stats = batcher.stats();
      expect([stats.offered, stats.accepted, stats.held, tallyImbalance(stats)]).toEqual([i + 7, i + 7, i + 7, 0]);
      expect(stats.lanes[0]).toMatchObject({ offered: i + 7, held: i + 7 });
    }
  });

  it('R-61: never makes a batch larger than maxItems, and keeps the order', async () => {
    const { batcher, written, offerAll } = world({ maxItems: 70, maxInFlight: Number.POSITIVE_INFINITY });
    offerAll(0, 1000);
    await batcher.flush();
    expect(written.map((items) => items.length)).toEqual([...new Array<number>(14).fill(70), 20]);
    expect(written.flat()).toEqual(upTo(0, 1000));
  });

  it.each([1, 31, 32, 33, 34, 160, 161, 162, 500])(
    'stops at the bound of %i items, and not one before or after it',
    async (maxHeldItems) => {
      const { batcher, offerAll } = world({ maxHeldItems });
      expect(offerAll(0, 700)).toEqual({ accepted: maxHeldItems, full: 700 - maxHeldItems });
      expect(batcher.stats()).toMatchObject({ held: maxHeldItems, rejected: 700 - maxHeldItems });
      await batcher.flush();
      expect(offerAll(0, 700)).toEqual({ accepted: maxHeldItems, full: 700 - maxHeldItems });
      await batcher.close();
    },
  );

  it('drops the oldest at the bound, one for each newcomer', async () => {
    const { batcher, written, offerAll } = world({ maxHeldItems: 100, overflow: 'dropOldest' });
    expect(offerAll(0, 1000)).toEqual({ accepted: 1000 });
    expect(batcher.stats()).toMatchObject({ held: 100, dropped: 900 });
    await batcher.close();
    expect(written).toEqual([upTo(900, 1000)]);
  });

  it('does not outlive its turn: the first of the next opens a window of its own time', async () => {
    const { env, batcher, written, offerAll } = world();
    offerAll(0, 100);
    await env.clock.advance(100);
    expect(written).toEqual([upTo(0, 100)]);
    offerAll(100, 240);
    await env.clock.advance(60);
    offerAll(240, 400);
    await env.clock.advance(39);
    expect(written).toHaveLength(1);
    await env.clock.advance(1);
    expect(written[1]).toEqual(upTo(100, 400));
    await batcher.close();
  });

  it('lets quiet windows begin again with each run of arrivals', async () => {
    const { env, batcher, written, offerAll } = world({ window: { quietMs: 10, maxDelayMs: 1000 } });
    // What is left of the burst of the first run must not take in the second at the time of the first.
    offerAll(0, 50);
    await env.clock.advance(9);
    offerAll(50, 60);
    await env.clock.advance(9);
    expect(written).toEqual([]);
    await env.clock.advance(1);
    expect(written).toEqual([upTo(0, 60)]);
    await batcher.close();
  });

  it('ends where something else comes between: an item that is waited for, a flush, a cancellation, a close', async () => {
    const { batcher, written, offerAll } = world({ maxInFlight: Number.POSITIVE_INFINITY });
    offerAll(0, 50);
    const pushed = batcher.push(50);
    offerAll(51, 100);
    const controller = new AbortController();
    const left = batcher.push(-1, { signal: controller.signal });
    offerAll(100, 150);
    controller.abort();
    offerAll(150, 200);
    const flushed = batcher.flush();
    offerAll(200, 250);
    const report = batcher.close();
    expect(offerAll(250, 300)).toEqual({ closed: 50 });
    await expect(left).rejects.toMatchObject({ code: 'CANCELLED' });
    await pushed;
    expect(await flushed).toMatchObject({ ok: 200, cancelled: 0 });
    expect(await report).toMatchObject({ ok: 250, dropped: 0 });
    expect(written).toEqual([upTo(0, 200), upTo(200, 250)]);
    expect(tallyImbalance(batcher.stats())).toBe(0);
  });

  it('is timed afresh after a sink that took its time', async () => {
    const env = testEnv();
    let now = 0;
    const clock: Clock = { now: () => now, wall: () => 0, after: () => () => {}, afterTurn: () => () => {} };
    const sink: Sink<number> = {
      async write() {
        now += 90;
      },
    };
    const batcher = createBatcher<number>({ sink, env: { ...env, clock }, window: { maxDelayMs: 100 }, maxItems: 50 });
    // The fiftieth sends a batch within this very run; what follows came when that was done.
    for (let i = 0; i < 60; i++) batcher.offer(i);
    await batcher.flush();
    expect(env.eventsOf('cut').map(({ items, waitMs }) => [items, waitMs])).toEqual([
      [50, 0],
      [10, 0],
    ]);
  });

  it('comes to the same as single decisions, whatever comes between', async () => {
    const step = fc.record({
      kind: fc.constantFrom('offer', 'offer', 'offer', 'push', 'flush', 'stats', 'turn', 'advance'),
      count: fc.integer({ min: 1, max: 200 }),
    });
    const options = fc.record({ maxItems: fc.integer({ min: 1, max: 300 }), maxHeldItems: fc.integer({ min: 1, max: 400 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), options, async (steps, bounds) => {
        const run = async (single: boolean) => {
          const { env, batcher, written } = world({ ...bounds, overflow: 'reject' });
          const answers: string[] = [];
          let next = 0;
          for (const { kind, count } of steps) {
            if (kind === 'offer') {
              for (let i = 0; i < count; i++) {
                answers.push(batcher.offer(next++));
                // Whoever looks ends a burst.
                if (single) batcher.stats();
              }
            } else if (kind === 'push') void batcher.push(next++);
            else if (kind === 'flush') void batcher.flush();
            else if (kind === 'stats') answers.push(JSON.stringify(batcher.stats()));
            else if (kind === 'turn') await Promise.resolve();
            else await env.clock.advance(count);
          }
          const report = await batcher.close();
          return { answers, written, report, stats: batcher.stats() };
        };
        expect(await run(false)).toEqual(await run(true));
      }),
      { numRuns: 60 },
    );
  });
});
