/** The whole chain in its documented order, beneath a batcher: nothing is lost, counted twice, or left running. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBatcher } from '../batcher/batcher.js';
import type { Layer, Sink } from '../core/dispatcher.js';
import { type FailureClass, failure, type SluiceError } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { seededRandom } from '../testing/seeded-random.js';
import { type TestEnv, testEnv } from '../testing/test-env.js';
import { adaptive } from './adaptive.js';
import { bisect } from './bisect.js';
import { breaker } from './breaker.js';
import { deadLetter } from './dead-letter.js';
import { idempotency } from './idempotency.js';
import { memoryDeadLetterStore } from './memory-dead-letter-store.js';
import { memoryIdempotencyStore } from './memory-idempotency-store.js';
import { observe } from './observe.js';
import { rate } from './rate.js';
import { retry } from './retry.js';

/** Observe, idempotency, deadLetter, retry, bisect, breaker, adaptive, rate: limit and time-out come with the batcher. */
function wholeChain(env: TestEnv) {
  const letters = memoryDeadLetterStore<number>({ env });
  const keys = memoryIdempotencyStore<number>({ env });
  const layers: Layer<number, number>[] = [
    observe(),
    idempotency({ store: keys, keyOf: (value) => (value % 3 === 0 ? String(value % 30) : undefined) }),
    deadLetter({ store: letters }),
    retry({ maxAttempts: 3, baseMs: 20, maxWaiting: 5, budget: { burst: 20, minPerSecond: 5 } }),
    bisect(),
    breaker({ maxFailures: 4, cooldownMs: 200 }),
    adaptive({ initialLimit: 2, maxLimit: 8 }),
    rate({ perSecond: 200, burst: 5 }),
  ];
  return { letters, keys, layers };
}

/** A sink that fails in every way, and sometimes hangs past its time-out. */
function wildSink(env: TestEnv, seed: number): Sink<number, number> & { written: number[] } {
  const random = seededRandom(seed);
  const classes: readonly FailureClass[] = ['transient', 'unknown', 'permanent', 'blocked', 'rejected'];
  const written: number[] = [];
  return {
    idempotent: true,
    written,
    async write(items) {
      const dice = random.next();
      await new Promise<void>((resolve) => env.clock.after(dice < 0.05 ? 300 : 10 * random.next(), resolve));
      if (dice > 0.7) throw failure('whole', { class: classes[Math.floor(random.next() * classes.length)]! });
      return items.map((item) => {
        if (item % 11 === 0) return failure('bad item', { code: 'BAD' });
        if (random.next() < 0.05) return failure('busy', { class: 'transient' });
        written.push(item);
        return item;
      });
    },
  };
}

describe('the whole chain', () => {
  it('R-144, R-69: settles each item once, balances at every step, parks what is dead and leaves nothing running', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 150 }), async (seed, count) => {
        const env = testEnv({ seed });
        const { letters, keys, layers } = wholeChain(env);
        const sink = wildSink(env, seed);
        const batcher = createBatcher<number, number>({
          env,
          sink,
          layers,
          maxItems: 7,
          window: { maxDelayMs: 15 },
          timeoutMs: 200,
        });
        const random = seededRandom(seed + 1);
        const ends = { ok: 0, failed: 0, dead: 0 };
        for (let value = 0; value < count; value++) {
          batcher.push(value).then(
            () => ends.ok++,
            (thrown: SluiceError) => ends[thrown.deadLetterId === undefined ? 'failed' : 'dead']++,
          );
          if (random.next() < 0.5) await env.clock.advance(10 * random.next());
          expect(tallyImbalance(batcher.stats())).toBe(0);
        }
        const closed = batcher.close({ deadlineMs: Number.POSITIVE_INFINITY });
        for (let i = 0; i < 2000 && env.clock.timers > 0; i++) await env.clock.advance(100);
        await closed;
        await env.clock.settle();
        const { ok, failed, dead } = batcher.stats();
        expect(ends).toEqual({ ok, failed, dead });
        expect(ok + failed + dead).toBe(count);
        // A duplicate of a dead item is dead as well, by the same letter.
        expect(letters.stats().letters).toBeLessThanOrEqual(dead);
        expect(letters.list().filter(({ class: cls }) => cls === 'rejected' || cls === 'blocked')).toEqual([]);
        expect([keys.stats().claimed, env.clock.timers]).toEqual([0, 0]);
      }),
      { numRuns: 60 },
    );
  });

  it('D-16: counts attempts apart from items, which count once, at their end', async () => {
    const env = testEnv();
    const sink: Sink<string> = { write: () => Promise.reject(failure('down', { class: 'transient' })) };
    const batcher = createBatcher<string>({
      env,
      sink,
      window: { maxDelayMs: 0 },
      layers: [observe(), retry({ maxAttempts: 3 })],
    });
    batcher.offer('a');
    await env.clock.advance(10_000);
    expect(env.eventsOf('called').map((event) => event.attempt)).toEqual([1, 2, 3]);
    expect(env.eventsOf('settled')).toHaveLength(1);
    expect(env.eventsOf('ended')).toHaveLength(1);
    expect(batcher.stats()).toMatchObject({ accepted: 1, failed: 1 });
  });

  it('D-15, R-173: a failing batch that backs off leaves its place to fresh ones', async () => {
    const env = testEnv();
    const sink: Sink<string> = {
      async write([item]) {
        if (item === 'bad') throw failure('down', { class: 'transient' });
      },
    };
    const layers = [retry<string, void>({ baseMs: 1000 })];
    const batcher = createBatcher<string>({ env, sink, maxInFlight: 1, maxItems: 1, layers });
    batcher.offer('bad');
    const fresh = batcher.push('fresh');
    await env.clock.settle();
    await fresh;
    expect(batcher.stats()).toMatchObject({ ok: 1, inFlight: 1 });
    const closed = batcher.close({ deadlineMs: 0 });
    await env.clock.settle();
    expect(await closed).toMatchObject({ dropped: 1 });
  });

  it('E-37: retries reorder batches (one unsettled batch a lane would not)', async () => {
    const env = testEnv();
    const written: string[] = [];
    let calls = 0;
    const sink: Sink<string> = {
      async write(items) {
        if (++calls === 1) throw failure('down', { class: 'transient' });
        written.push(...items);
      },
    };
    const batcher = createBatcher<string>({ env, sink, maxItems: 1, layers: [retry({ baseMs: 100 })] });
    for (const item of ['first', 'second']) batcher.offer(item);
    await env.clock.advance(1000);
    expect(written).toEqual(['second', 'first']);
  });

  it('E-35: while the breaker is open, items stay held up to the bounds, and are written once the sink is back', async () => {
    const env = testEnv();
    let down = true;
    let calls = 0;
    const sink: Sink<string> = {
      async write() {
        calls++;
        if (down) throw failure('down', { class: 'transient' });
      },
    };
    const layers = [
      retry<string, void>({ maxAttempts: Number.POSITIVE_INFINITY, baseMs: 10 }),
      breaker<string, void>({ cooldownMs: 1000 }),
    ];
    const batcher = createBatcher<string>({ env, sink, layers, maxItems: 1, maxHeldItems: 10 });
    for (let i = 0; i < 12; i++) batcher.offer(`${i}`);
    await env.clock.advance(10_000);
    expect(batcher.stats()).toMatchObject({ accepted: 10, rejected: 2, ok: 0 });
    // Those that had begun when it opened, and a probe each second.
    expect(calls).toBeLessThanOrEqual(10 + 10);
    down = false;
    await env.clock.advance(2000);
    expect(batcher.stats()).toMatchObject({ ok: 10, held: 0, inFlight: 0 });
    expect(env.clock.timers).toBe(0);
  });
});
