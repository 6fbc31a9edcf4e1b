/** The defects of other loaders, each a test: the marks are those of our notes on them. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { createContext, runInContext, runInNewContext } from 'node:vm';
import { expect, it, vi } from 'vitest';
import { answered, codeOf, doubling } from '../../test/support/batch-functions.js';
import type { SluiceError } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { testEnv } from '../testing/index.js';
import { createLoader } from './loader.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

it('P2 1: no caller’s asynchronous context owns the batch, and each caller keeps its own', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  const loader = createLoader(async (keys: readonly number[]) => {
    seen.push(storage.getStore());
    await undefined;
    seen.push(storage.getStore());
    return [...keys];
  });
  const call = (tenant: string, key: number) =>
    storage.run(tenant, async () => {
      await loader.load(key);
      return storage.getStore();
    });
  expect(await Promise.all([call('ann', 1), call('bob', 2)])).toEqual(['ann', 'bob']);
  expect(await storage.run('ann', () => loader.loadMany([1]).then(() => storage.getStore()))).toBe('ann');
  expect(seen).toEqual([undefined, undefined, undefined, undefined]);
});

it('P2 1: nor does the context of whom a full batch, a free slot, a flush or a retry happens to run in', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  let calls = 0;
  const loader = createLoader(
    async (keys: readonly number[]) => {
      seen.push(storage.getStore());
      if (++calls === 1) await turn();
      return [...keys];
    },
    { maxItems: 2, maxInFlight: 1, window: 'whileBusy' },
  );
  const loads = storage.run('ann', () => loader.loadMany([1, 2, 3, 4, 5]));
  await storage.run('bob', () => loader.flush());
  await loads;
  expect(new Set(seen)).toEqual(new Set([undefined]));
});

it('P2 2: a batch that never settles ends with TIMEOUT, and a later caller of the same key is not caught in it', async () => {
  for (const cache of [undefined, {}]) {
    const env = testEnv();
    const { calls, batchFn } = answered<number, number>();
    const loader = createLoader(batchFn, { env, timeoutMs: 100, ...(cache === undefined ? {} : { cache }) });
    const hung = codeOf(loader.load(1));
    await env.clock.advance(100);
    const later = loader.load(1);
    await env.clock.settle();
    calls[1]!.resolve([5]);
    expect([await hung, await later]).toEqual(['TIMEOUT', 5]);
  }
});

it('P2 2: the default timeoutMs is 30 s, so that nothing hangs unless it is told to', async () => {
  const env = testEnv();
  const load = codeOf(createLoader(answered<number, number>().batchFn, { env }).load(1));
  await env.clock.advance(30_000);
  expect(await load).toBe('TIMEOUT');
});

it('P2 4: each caller gets an Error of its own, and all share its cause', async () => {
  const shared = new Error('down');
  const loader = createLoader(async (_: readonly number[]): Promise<number[]> => Promise.reject(shared));
  const [a, b, c] = (await Promise.all(
    [1, 1, 2].map((key) => loader.load(key).catch((error: unknown) => error)),
  )) as SluiceError[];
  expect(new Set([a, b, c]).size).toBe(3);
  expect([a!.cause, b!.cause, c!.cause].map((cause) => (cause as Error).cause)).toEqual([shared, shared, shared]);
  expect([a!.key, c!.key]).toEqual([1, 2]);
});

it('P2 5: awaits of any depth join one batch; setTimeout and setImmediate do not', async () => {
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn);
  const deep = async (depth: number) => {
    for (let i = 0; i < depth; i++) await undefined;
    return loader.load(depth);
  };
  const immediate = turn().then(() => loader.load(99));
  await Promise.all([0, 1, 5, 50].map(deep));
  await immediate;
  expect(calls).toEqual([[0, 1, 5, 50], [99]]);
});

it('P2 5b: a window in time joins what nextTick, timers and turns would split', async () => {
  const { calls, batchFn } = doubling();
  const env = testEnv();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 5 } });
  void loader.load(1);
  await new Promise<void>((resolve) => process.nextTick(resolve));
  void loader.load(2);
  await turn();
  void loader.load(3);
  await env.clock.advance(5);
  expect(calls).toEqual([[1, 2, 3]]);
});

it('P6 d: under a timer window a full batch leaves at once, and leaves no timer behind', async () => {
  const env = testEnv();
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 1000 }, maxItems: 2 });
  expect(await loader.loadMany([1, 2])).toEqual([2, 4]);
  expect([calls, env.clock.now(), env.clock.timers]).toEqual([[[1, 2]], 0, 0]);
});

it('P6 f: a thousand keys, ten a batch, never run more than maxInFlight calls', async () => {
  let [running, most] = [0, 0];
  const loader = createLoader(
    async (keys: readonly number[]) => {
      most = Math.max(most, ++running);
      await turn();
      running--;
      return [...keys];
    },
    { maxItems: 10, maxInFlight: 4 },
  );
  await loader.loadMany(Array.from({ length: 1000 }, (_, i) => i));
  expect(most).toBe(4);
});

it('P7, P5 A: equal keys are asked for once without a cache, and what is in flight is not joined', async () => {
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn);
  await Promise.all([loader.load(1), loader.load(1), loader.load(2)]);
  expect(calls).toEqual([[1, 2]]);
});

it('P1 A: the second batch of a loader is answered as the first', async () => {
  const loader = createLoader(async (keys: readonly number[]) => new Map(keys.map((key) => [key, `v${key}`])));
  expect([await loader.load(1), await loader.load(2), await loader.load(1)]).toEqual(['v1', 'v2', 'v1']);
});

it('P1 C: flush and close disarm the timer; the batch function is never called with nothing', async () => {
  const env = testEnv();
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 50 } });
  void loader.load(1);
  await loader.flush();
  await loader.flush();
  await env.clock.advance(500);
  await loader.close();
  expect([calls, env.clock.timers]).toEqual([[[1]], 0]);
});

it('P1 D: a batch function that throws synchronously rejects every caller, and the loader goes on', async () => {
  let broken = true;
  const loader = createLoader((keys: readonly number[]) => {
    if (broken) throw new TypeError('at once');
    return [...keys];
  });
  expect(await Promise.all([codeOf(loader.load(1)), codeOf(loader.load(2))])).toEqual(['FAILED', 'FAILED']);
  broken = false;
  expect(await loader.load(1)).toBe(1);
});

it('P1 E: a size bound counts distinct keys: duplicates neither fill a batch nor keep it from leaving', async () => {
  const env = testEnv();
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 1000 }, maxItems: 3 });
  const loads = [1, 1, 2, 2].map((key) => loader.load(key));
  await env.clock.settle();
  expect(calls).toEqual([]);
  loads.push(loader.load(3));
  await Promise.all(loads);
  expect([calls, env.clock.now()]).toEqual([[[1, 2, 3]], 0]);
});

it('P3 G: a loader holds on to nothing of the batches that are over', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const refs: WeakRef<object>[] = [];
  const loader = createLoader(
    async (keys: readonly { id: number }[]) => {
      refs.push(new WeakRef(keys), new WeakRef(keys[0]!));
      return keys.map(({ id }) => id);
    },
    { keyBy: ({ id }) => id },
  );
  for (let id = 0; id < 50; id++) await loader.load({ id });
  await turn();
  collect();
  // The last one may still be on the stack.
  expect(refs.slice(0, -4).filter((ref) => ref.deref() !== undefined)).toEqual([]);
  expect(loader.stats()).toMatchObject({ ok: 50, held: 0, inFlight: 0 });
});

it('P3 H: a close after an earlier batch has finished leaves nobody hanging', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 10 } });
  const first = loader.load(1);
  await env.clock.advance(10);
  calls[0]!.resolve([1]);
  await first;
  const second = codeOf(loader.load(2));
  const closed = loader.close({ deadlineMs: 20 });
  await env.clock.advance(20);
  expect([await second, (await closed).dropped]).toEqual(['SHUTDOWN_TIMEOUT', 1]);
});

it('P4 1: everyone gets the value of his own key, not only who filled the batch', async () => {
  const { batchFn } = doubling();
  const loader = createLoader(batchFn, { maxItems: 3 });
  expect(await Promise.all([1, 2, 3].map((key) => loader.load(key)))).toEqual([2, 4, 6]);
});

it('P4 2: keys that come every 12 ms do not starve under a window of 20 ms', async () => {
  const env = testEnv();
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 20 } });
  for (let key = 0; key < 8; key++) {
    void loader.load(key);
    await env.clock.advance(12);
  }
  expect(calls.slice(0, 3)).toEqual([
    [0, 1],
    [2, 3],
    [4, 5],
  ]);
});

it('P4 3: a failure of a batch that a timer started rejects its callers, and is unhandled by nobody else', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  const env = testEnv();
  const loader = createLoader((): Promise<number[]> => Promise.reject(new Error('down')), { env, window: { maxDelayMs: 5 } });
  const load = codeOf(loader.load(1 as never));
  await env.clock.advance(5);
  expect(await load).toBe('FAILED');
  await turn();
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

it('P5 D: when every caller has left, the signal of the batch function is aborted, whatever it does with it', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env });
  const controllers = [new AbortController(), new AbortController()];
  const loads = controllers.map(({ signal }, key) => codeOf(loader.load(key, { signal })));
  await env.clock.settle();
  controllers[0]!.abort();
  expect(calls[0]!.signal.aborted).toBe(false);
  controllers[1]!.abort();
  expect(calls[0]!.signal.aborted).toBe(true);
  expect(await Promise.all(loads)).toEqual(['CANCELLED', 'CANCELLED']);
});

it('a window that is due at once never sees an empty batch', async () => {
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn, { window: 'whileBusy' });
  const controller = new AbortController();
  controller.abort();
  await Promise.allSettled([loader.load(1), loader.load(2, { signal: controller.signal }), loader.load(3)]);
  expect(calls.every((keys) => keys.length > 0)).toBe(true);
});

it('no message holds a list of keys, nor a long key', async () => {
  const long = 'secret'.repeat(1000);
  const loader = createLoader(async (_: readonly string[]) => new Map<string, string>());
  const error = (await loader.load(long).catch((thrown: unknown) => thrown)) as SluiceError;
  expect(error.message.length).toBeLessThan(200);
  expect(error.key).toBe(long);
  const short = createLoader((): string[] => []);
  const mismatch = (await short.load(long as never).catch((thrown: unknown) => thrown)) as SluiceError;
  expect([mismatch.code, mismatch.message.length < 200]).toEqual(['RESULT_LENGTH_MISMATCH', true]);
});

it('a cost is asked for once a key, however many keys wait, and bounds each batch', async () => {
  let asked = 0;
  const batches: number[] = [];
  const loader = createLoader(
    async (keys: readonly string[]) => {
      batches.push(keys.reduce((sum, key) => sum + key.length, 0));
      return [...keys];
    },
    {
      cost: (key) => {
        asked++;
        return key.length;
      },
      maxCost: 100,
    },
  );
  const keys = Array.from({ length: 2000 }, (_, i) => `key-${i}`);
  expect(await loader.loadMany([...keys, ...keys])).toEqual([...keys, ...keys]);
  expect(asked).toBeLessThanOrEqual(4000);
  expect(Math.max(...batches)).toBeLessThanOrEqual(100);
  expect(await loader.load('x'.repeat(500))).toHaveLength(500);
  const odd = createLoader(async (each: readonly string[]) => [...each], { cost: () => Number.NaN });
  expect(await codeOf(odd.load('a'))).toBe('INVALID_KEY');
  expect(() => createLoader(async (each: readonly string[]) => [...each], { maxCost: 5 })).toThrow(/maxCost needs cost/);
});

it('an Error of another realm fails its key, as one of ours does', async () => {
  const foreign = runInContext('new RangeError("from elsewhere")', createContext()) as Error;
  expect(foreign instanceof Error).toBe(false);
  const loader = createLoader(async (keys: readonly number[]) => keys.map((key) => (key === 1 ? foreign : key)));
  const [bad, good] = await loader.loadSettled([1, 2]);
  expect(bad).toMatchObject({ status: 'rejected', reason: { cause: { cause: foreign } } });
  expect(good).toMatchObject({ value: 2 });
});

it('a scope shares neither batches nor cache nor context with its loader or its siblings', async () => {
  const storage = new AsyncLocalStorage<string>();
  const calls: [string | undefined, readonly number[]][] = [];
  const loader = createLoader(
    async (keys: readonly number[]) => {
      calls.push([storage.getStore(), [...keys]]);
      return [...keys];
    },
    { cache: {} },
  );
  const request = (name: string) =>
    storage.run(name, async () => {
      await using scoped = loader.scope();
      const values = await Promise.all([scoped.load(1), scoped.load(1), scoped.load(2)]);
      await scoped.load(1);
      return values;
    });
  expect(await Promise.all([request('a'), request('b')])).toEqual([
    [1, 1, 2],
    [1, 1, 2],
  ]);
  expect(calls).toEqual([
    ['a', [1, 2]],
    ['b', [1, 2]],
  ]);
  await loader.load(1);
  expect(calls).toHaveLength(3);
  const bounded = loader.scope({ maxItems: 1 });
  await bounded.loadMany([5, 6]);
  expect(calls.slice(3).map(([, keys]) => keys)).toEqual([[5], [6]]);
});

it('a partition never shares a batch with another, and one that throws refuses its key alone', async () => {
  const batches: number[][] = [];
  const loader = createLoader(
    async (keys: readonly number[]) => {
      batches.push([...keys]);
      if (keys[0] === 1) throw new Error('shard 1 is down');
      return [...keys];
    },
    {
      partition: (key) => {
        if (key === 13) throw new Error('unlucky');
        return key % 3;
      },
    },
  );
  const settled = await loader.loadSettled([0, 1, 2, 3, 4, 5, 13]);
  expect(settled.map(({ status }) => status === 'fulfilled')).toEqual([true, false, true, true, false, true, false]);
  expect(batches).toEqual([
    [0, 3],
    [1, 4],
    [2, 5],
  ]);
});

it('loadMap holds what there is; calls for many reject what is no array', async () => {
  const loader = createLoader(
    async (keys: readonly number[]) => new Map(keys.filter((key) => key < 3).map((key) => [key, `v${key}`])),
  );
  expect(await loader.loadMap([1, 2, 3, 2])).toEqual(
    new Map([
      [1, 'v1'],
      [2, 'v2'],
    ]),
  );
  expect([await loader.loadMap([]), await loader.loadMany([]), await loader.loadSettled([])]).toEqual([new Map(), [], []]);
  for (const call of ['loadMany', 'loadSettled', 'loadMap'] as const) {
    expect(await codeOf(loader[call](5 as never))).toBe('INVALID_KEY');
  }
});

it('an observer that asks for the very key that is being refused gets its own answer, and hangs nowhere', async () => {
  const env = testEnv();
  const asked: Promise<string>[] = [];
  const observing = {
    ...env,
    observe: ({ type }: { readonly type: string }) => {
      if (type === 'rejected' && asked.length === 0) asked.push(codeOf(loader.load(2)) as Promise<string>);
    },
  };
  const loader = createLoader(doubling().batchFn, { env: observing, window: { maxDelayMs: 10 }, maxHeldKeys: 1 });
  const first = loader.load(1);
  expect(await codeOf(loader.load(2))).toBe('OVERLOADED');
  expect(await Promise.all(asked)).toEqual(['OVERLOADED']);
  await env.clock.advance(10);
  await first;
  expect(loader.stats()).toMatchObject({ offered: 3, accepted: 2, rejected: 1, ok: 1, failed: 1, held: 0 });
});

it('a signal that the batch function aborts within the call that dispatched it takes that caller along', async () => {
  const controller = new AbortController();
  const loader = createLoader(
    (keys: readonly number[]) => {
      controller.abort();
      return [...keys];
    },
    { window: { throttleMs: 10 } },
  );
  expect(await codeOf(loader.load(1, { signal: controller.signal }))).toBe('CANCELLED');
  expect(loader.stats()).toMatchObject({ cancelled: 1, inFlight: 0 });
  await loader.close();
});

it('a call for many keys leaves as one: its signal carries one listener, and each key that it still waits for is told', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 10 }, maxItems: 2 });
  const controller = new AbortController();
  const { signal } = controller;
  const other = loader.load(3);
  const settled = loader.loadSettled([1, 2, 3, 3, 4], { signal });
  const all = codeOf(loader.loadMany([1, 2, 3, 3, 4], { signal }));
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  expect(calls.map((call) => call.keys)).toEqual([
    [3, 1],
    [2, 3],
    [3, 4],
    [1, 2],
    [3, 4],
  ]);
  calls[0]!.resolve([30, 10]);
  await env.clock.settle();
  controller.abort();
  const what = (await settled).map((result) => (result.status === 'fulfilled' ? result.value : result.reason.code));
  expect([what, await all]).toEqual([[10, 'CANCELLED', 'CANCELLED', 'CANCELLED', 'CANCELLED'], 'CANCELLED']);
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  expect(calls.map((call) => call.signal.aborted)).toEqual([false, true, true, true, true]);
  expect(await other).toBe(30);
  expect(loader.stats()).toMatchObject({ offered: 11, ok: 2, cancelled: 9, inFlight: 0 });
  expect(tallyImbalance(loader.stats())).toBe(0);
});
