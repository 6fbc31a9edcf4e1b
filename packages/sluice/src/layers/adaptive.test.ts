/** Tests of adaptive: it finds the knee of a sink, from above and below, for batches of any size, and stays within its bounds. */

import { describe, expect, it } from 'vitest';
import type { Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf } from '../testing/made-batch.js';
import { seededRandom } from '../testing/seeded-random.js';
import { type TestEnv, testEnv } from '../testing/test-env.js';
import { type AdaptiveOptions, adaptive } from './adaptive.js';
import { batchLatency } from './latency.js';
import { retry } from './retry.js';

interface Model {
  /** Calls that the sink works on at once; more share its speed. */
  knee: number;
  baseMs: number;
  perItemMs?: number;
  /** Uniform, as a share of the latency. */
  noise?: number;
  failing?: boolean;
}

/** A sink whose latency grows in proportion to the calls beyond its knee. */
function modelled(env: TestEnv, model: Model): Sink<number> & { most: number } {
  const random = seededRandom(7);
  let running = 0;
  return {
    most: 0,
    async write(items) {
      running++;
      this.most = Math.max(this.most, running);
      const { knee, baseMs, perItemMs = 0, noise = 0, failing } = model;
      const ms = (baseMs + perItemMs * items.length) * Math.max(1, running / knee) * (1 + noise * (random.next() - 0.5));
      await new Promise<void>((resolve) => env.clock.after(ms, resolve));
      running--;
      if (failing) throw failure('overloaded', { class: 'transient' });
    },
  };
}

/** Offers as much as is taken for so many calls; answers the limits that were reached, one per change. */
async function driven(model: Model, calls: number, options: AdaptiveOptions = {}, itemsOf: (call: number) => number = () => 1) {
  const env = testEnv({ seed: 5 });
  const sink = modelled(env, model);
  const dispatcher = stack([adaptive<number, void>(options)], sinkDispatcher(sink, env), env);
  let begun = 0;
  const offer = async (): Promise<void> => {
    while (begun < calls) {
      const ready = dispatcher.ready('');
      if (ready !== true) {
        await ready;
        continue;
      }
      void dispatcher.dispatch(batchOf(...new Array<number>(itemsOf(begun++)).fill(0)), contextOf());
    }
  };
  const offered = offer();
  for (let i = 0; i < 100_000 && begun < calls; i++) await env.clock.advance(500);
  await offered;
  await env.clock.advance(60_000);
  const limits = env.eventsOf('limit').map((event) => event.limit);
  const settled = limits.slice(-Math.ceil(limits.length / 3)).sort((a, b) => a - b);
  return { env, sink, limits, median: settled[settled.length >> 1] ?? options.initialLimit ?? 4, dispatcher };
}

describe('adaptive', () => {
  it.each([
    ['below', 20, 2],
    ['above', 20, 80],
    ['below', 6, 1],
  ])('converges to the knee of a sink from %s', async (_, knee, initialLimit) => {
    const { median } = await driven({ knee, baseMs: 20 }, 6000, { initialLimit });
    expect(median).toBeGreaterThanOrEqual(knee * 0.9);
    // tolerance · knee, and the square root that it always tries.
    expect(median).toBeLessThanOrEqual(1.25 * knee + 2 * Math.sqrt(1.25 * knee) + 1);
  });

  it('finds the knee though batches differ in size a hundredfold: their latency is normalised', async () => {
    const random = seededRandom(3);
    const { median } = await driven({ knee: 12, baseMs: 5, perItemMs: 0.5 }, 6000, {}, () => 1 + Math.floor(random.next() * 100));
    expect(median).toBeGreaterThanOrEqual(9);
    expect(median).toBeLessThanOrEqual(26);
  });

  it('bears noise of half the latency', async () => {
    const { median } = await driven({ knee: 16, baseMs: 20, noise: 0.5 }, 6000);
    expect(median).toBeGreaterThanOrEqual(10);
    expect(median).toBeLessThanOrEqual(32);
  });

  it('W-17: goes down from fifty to a few calls for a sink that works on one at a time', async () => {
    const { median } = await driven({ knee: 1, baseMs: 20 }, 3000, { initialLimit: 50 });
    expect(median).toBeLessThanOrEqual(5);
  });

  it('shrinks to its least when calls fail, and never leaves its bounds', async () => {
    const { limits, sink, env } = await driven({ knee: 10, baseMs: 10, failing: true }, 1500, { initialLimit: 20, maxLimit: 20 });
    expect(limits.at(-1)).toBe(1);
    expect(Math.max(...limits)).toBeLessThanOrEqual(20);
    expect(sink.most).toBeLessThanOrEqual(20);
    expect(env.clock.timers).toBe(0);
  });

  it('does not raise a limit that is not used', async () => {
    const env = testEnv();
    const dispatcher = stack(
      [adaptive<number, void>({ initialLimit: 8 })],
      sinkDispatcher(modelled(env, { knee: 100, baseMs: 10 }), env),
      env,
    );
    for (let i = 0; i < 300; i++) {
      void dispatcher.dispatch(batchOf(1), contextOf());
      await env.clock.advance(10);
    }
    expect(env.eventsOf('limit').every((event) => event.limit <= 8)).toBe(true);
  });

  it('W-16: beneath retry its samples hold no back-off', async () => {
    const env = testEnv();
    let call = 0;
    const sink: Sink<number> = {
      async write() {
        await new Promise<void>((resolve) => env.clock.after(10, resolve));
        if (call++ % 2 === 0) throw failure('x', { class: 'transient' });
      },
    };
    const layers = [retry<number, void>({ baseMs: 10_000 }), adaptive<number, void>({ minLimit: 4 })];
    const dispatcher = stack(layers, sinkDispatcher(sink, env), env);
    for (let i = 0; i < 200; i++) void dispatcher.dispatch(batchOf(1), contextOf());
    await env.clock.advance(1e6);
    for (const { latencyMs } of env.eventsOf('limit')) expect(Number.isNaN(latencyMs) || latencyMs <= 11).toBe(true);
  });

  it.each([
    { minLimit: 0 },
    { maxLimit: 2, minLimit: 3 },
    { initialLimit: 300 },
    { tolerance: 0.5 },
    { tolerance: 11 },
    { limit: 3 },
  ])('refuses %o', (options) => {
    expect(() => adaptive(options as AdaptiveOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

describe('latency by batch size', () => {
  it('takes out what items cost, also while load slows every call down alike', () => {
    const random = seededRandom(1);
    const latency = batchLatency();
    for (let window = 0; window < 50; window++) {
      const load = 1 + window / 10;
      const calls = Array.from({ length: 20 }, () => {
        // Batches grow with the load, as those that are cut late do.
        const items = Math.floor(1 + random.next() * 50 * load);
        return { items, latencyMs: (10 + 0.4 * items) * load };
      });
      latency.learn(calls);
    }
    expect(latency.ofOneItem(1, 10.4)).toBeCloseTo(10.4, 6);
    expect(latency.ofOneItem(100, 50)).toBeGreaterThan(8);
    expect(latency.ofOneItem(100, 50)).toBeLessThan(13);
  });

  it('leaves latencies as they are when all batches are of one size', () => {
    const latency = batchLatency();
    latency.learn(Array.from({ length: 10 }, (_, i) => ({ items: 5, latencyMs: 10 + i })));
    expect(latency.ofOneItem(5, 20)).toBe(20);
  });
});
