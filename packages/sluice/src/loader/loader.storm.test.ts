/** Everything at once: early answers, leaving, retries, time-outs, a cache, partitions; each call is settled once, and the counts agree. */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { failure } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { retry } from '../layers/index.js';
import { testEnv } from '../testing/index.js';
import type { BatchContext } from './batch-call.js';
import { createLoader } from './loader.js';

const step = fc.record({
  kind: fc.constantFrom(
    ...(['load', 'load', 'load', 'find', 'many', 'settled', 'prefetch', 'abort', 'prime', 'clear', 'clearAll', 'flush'] as const),
    ...(['early', 'early', 'earlyError', 'end', 'end', 'endShort', 'fail', 'turn', 'wait', 'wait'] as const),
  ),
  key: fc.nat(5),
  which: fc.nat(3),
});

const options = fc.record({
  cached: fc.boolean(),
  retries: fc.boolean(),
  partitions: fc.boolean(),
  maxItems: fc.constantFrom(1, 2, 3, 1000),
  maxInFlight: fc.constantFrom(1, 2, 1000),
  maxHeldWaiters: fc.constantFrom(2, 5, 1000),
  window: fc.constantFrom('tick' as const, 'whileBusy' as const, { maxDelayMs: 10 }),
  timeoutMs: fc.constantFrom(15, 60),
});

interface OpenCall {
  readonly keys: readonly number[];
  readonly context: BatchContext<number>;
  resolve(values: readonly (string | undefined)[]): void;
  reject(error: Error): void;
}

it('settles each call exactly once, keeps the balance at every step, and leaves no timer behind', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.info(`seed ${seed}`);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), options, async (steps, { cached, retries, partitions, ...rest }) => {
      const env = testEnv({ seed });
      const open: OpenCall[] = [];
      const loader = createLoader<number, string>(
        (keys, context) => new Promise((resolve, reject) => open.push({ keys, context, resolve, reject })),
        {
          env,
          ...rest,
          ...(cached ? { cache: { maxItems: 3, ttlMs: 40, errorTtlMs: 10 } } : {}),
          ...(retries ? { layers: [retry({ maxAttempts: 3, baseMs: 5 })] } : {}),
          ...(partitions ? { partition: (key: number) => key % 2 } : {}),
        },
      );
      const controllers = Array.from({ length: 4 }, () => new AbortController());
      const wrong: string[] = [];
      let [asked, told] = [0, 0];
      const watch = (promise: Promise<unknown>, key: number) => {
        asked++;
        promise.then(
          (value) => {
            told++;
            if (typeof value === 'string' && value !== `v${key}`) wrong.push(`${key} got ${value}`);
          },
          () => told++,
        );
      };
      for (const { kind, key, which } of steps) {
        const { signal } = controllers[which]!;
        const call = open[which % Math.max(1, open.length)];
        if (kind === 'load') watch(loader.load(key, which === 0 ? { timeoutMs: 25 } : { signal }), key);
        else if (kind === 'find') watch(loader.find(key), key);
        else if (kind === 'many') watch(loader.loadMany([key, which, key], { signal }), key);
        else if (kind === 'settled') watch(loader.loadSettled([key, which]), key);
        else if (kind === 'prefetch') loader.prefetch([key, which]);
        else if (kind === 'prime') loader.prime(key, `v${key}`);
        else if (kind === 'clear') loader.clear(key);
        else if (kind === 'clearAll') loader.clearAll();
        else if (kind === 'flush') void loader.flush();
        else if (kind === 'early') call?.context.resolve(key, `v${key}`);
        else if (kind === 'earlyError') call?.context.reject(key, failure('no', { class: 'transient' }));
        else if (kind === 'end') call?.resolve(call.keys.map((each) => (each === 5 ? undefined : `v${each}`)));
        else if (kind === 'endShort') call?.resolve([]);
        else if (kind === 'fail') call?.reject(new Error('down'));
        else if (kind === 'wait') await env.clock.advance(7);
        else if (kind === 'turn') await env.clock.settle();
        else if (kind === 'abort') {
          controllers[which]!.abort();
          controllers[which] = new AbortController();
        }
        if (kind.startsWith('end') || kind === 'fail') open.splice(which % Math.max(1, open.length), 1);
        const stats = loader.stats();
        if (tallyImbalance(stats) + tallyImbalance(stats.keys) > 0) wrong.push(`imbalance after ${kind}`);
        if (stats.held + stats.inFlight > rest.maxHeldWaiters) wrong.push('too many are held');
        for (const name of ['held', 'inFlight'] as const) if (stats[name] < 0 || stats.keys[name] < 0) wrong.push(`${name} < 0`);
      }
      const closed = loader.close({ deadlineMs: 500 });
      for (let i = 0; i < 200; i++) {
        for (const { resolve, keys } of open.splice(0)) resolve(keys.map((each) => `v${each}`));
        await env.clock.advance(10);
      }
      await closed;
      const { held, inFlight } = loader.stats();
      expect({ wrong, told, timers: env.clock.timers, held, inFlight }).toEqual({
        wrong: [],
        told: asked,
        timers: 0,
        held: 0,
        inFlight: 0,
      });
    }),
    { seed, numRuns: 400 },
  );
}, 120_000);
