import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { answered, codeOf, doubling } from '../../test/support/batch-functions.js';
import { testEnv } from '../testing/index.js';
import { createLoader } from './loader.js';

it('lets one waiter leave without affecting another; the last one takes the key along, or aborts the call', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 10 } });
  const [one, two] = [new AbortController(), new AbortController()];
  const loads = [
    codeOf(loader.load(1, { signal: one.signal })),
    codeOf(loader.load(1)),
    codeOf(loader.load(2, { signal: one.signal })),
    codeOf(loader.load(3, { signal: two.signal })),
  ];
  one.abort();
  await env.clock.advance(10);
  expect(calls.map((call) => call.keys)).toEqual([[1, 3]]);
  const alone = codeOf(loader.load(4, { signal: two.signal }));
  await env.clock.advance(10);
  two.abort();
  expect(calls.map((call) => call.signal.aborted)).toEqual([false, true]);
  calls[0]!.resolve([1, 3]);
  expect(await Promise.all([...loads, alone])).toEqual(['CANCELLED', 'ok', 'CANCELLED', 'CANCELLED', 'CANCELLED']);
  calls[1]!.resolve([4]);
  await env.clock.settle();
  expect(loader.stats()).toMatchObject({ offered: 5, ok: 1, cancelled: 4, held: 0, inFlight: 0 });
});

it('lets waiters of one key leave in any order', async () => {
  const env = testEnv();
  const { batchFn } = doubling();
  const orders = [0, 1, 2, 3].flatMap((a) => [0, 1, 2, 3].map((b) => [a, b] as const)).filter(([a, b]) => a !== b);
  for (const order of orders) {
    const loader = createLoader(batchFn, { env, window: { maxDelayMs: 10 } });
    const controllers = [0, 1, 2, 3].map(() => new AbortController());
    const loads = controllers.map(({ signal }) => codeOf(loader.load(1, { signal })));
    for (const index of order) controllers[index]!.abort();
    await env.clock.advance(10);
    expect(await Promise.all(loads)).toEqual([0, 1, 2, 3].map((i) => (order.includes(i) ? 'CANCELLED' : 'ok')));
  }
});

it('leaving a key in flight does not take the same key out of the open batch', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 10 } });
  const controller = new AbortController();
  const old = codeOf(loader.load(1, { signal: controller.signal }));
  await env.clock.advance(10);
  const held = loader.load(1);
  controller.abort();
  const joins = loader.load(1);
  await env.clock.advance(10);
  expect(calls.map((call) => call.keys)).toEqual([[1], [1]]);
  calls[1]!.resolve([5]);
  expect(await Promise.all([old, held, joins])).toEqual(['CANCELLED', 5, 5]);
});

it('starts afresh for a key whose last waiter left', async () => {
  const env = testEnv();
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 10 } });
  const controller = new AbortController();
  const left = codeOf(loader.load(1, { signal: controller.signal }));
  controller.abort();
  const stays = [loader.load(2), loader.load(1), loader.load(1)];
  await env.clock.advance(10);
  expect(await left).toBe('CANCELLED');
  expect(await Promise.all(stays)).toEqual([4, 2, 2]);
  expect(calls).toEqual([[2, 1]]);
});

it('bounds a call by its own timeoutMs, window included, and a batch by timeoutMs of the loader', async () => {
  const env = testEnv();
  const { batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, timeoutMs: 500 });
  const hasty = codeOf(loader.load(1, { timeoutMs: 100 }));
  const patient = codeOf(loader.load(1));
  await env.clock.advance(100);
  expect(await hasty).toBe('TIMEOUT');
  await env.clock.advance(400);
  expect(await patient).toBe('TIMEOUT');
  expect(env.clock.timers).toBe(0);
  expect(await codeOf(loader.load(1, { timeoutMs: -1 }))).toBe('INVALID_OPTION');
});

it('R-248: ten thousand loads on one AbortSignal add one listener and leave none, aborted or not', async () => {
  const { batchFn } = doubling();
  const loader = createLoader(batchFn);
  const controller = new AbortController();
  const loadAll = () => Array.from({ length: 10_000 }, (_, i) => loader.load(i % 500, { signal: controller.signal }));
  const first = loadAll();
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
  await Promise.all(first);
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  const second = loadAll().map(codeOf);
  controller.abort();
  expect(new Set(await Promise.all(second))).toEqual(new Set(['CANCELLED']));
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
});

it('refuses beyond maxHeldWaiters, asynchronously, counting callers in flight too', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, maxHeldWaiters: 2 });
  const loads = [loader.load(1), loader.load(1)];
  await env.clock.settle();
  expect(await codeOf(loader.load(2))).toBe('OVERLOADED');
  calls[0]!.resolve([5]);
  expect(await Promise.all(loads)).toEqual([5, 5]);
  expect(await Promise.race([codeOf(loader.load(2)), env.clock.settle().then(() => 'accepted')])).toBe('accepted');
});

it('ten thousand calls with a timeoutMs share one timer for each length of time', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, window: 'whileBusy', maxInFlight: 1, timeoutMs: Number.POSITIVE_INFINITY });
  const told: string[] = [];
  const load = (key: number, timeoutMs: number) =>
    loader.load(key, { timeoutMs }).then(
      () => told.push(`${env.clock.now()} ${key}`),
      () => told.push(`${env.clock.now()} ${key}:TIMEOUT`),
    );
  for (let i = 0; i < 10_000; i++) void load(i, i % 2 === 0 ? 100 : 250);
  expect(env.clock.timers).toBe(2);
  await env.clock.advance(60);
  void load(10_000, 100);
  calls[0]!.resolve([0]);
  await env.clock.advance(39);
  expect(told).toEqual(['60 0']);
  await env.clock.advance(1);
  expect(told).toHaveLength(5000);
  expect(told[1]).toBe('100 2:TIMEOUT');
  await env.clock.advance(60);
  expect(told.at(-1)).toBe('160 10000:TIMEOUT');
  await env.clock.advance(90);
  expect(told).toHaveLength(10_001);
  expect(told.at(-1)).toMatch(/^250 \d+:TIMEOUT$/);
  expect(env.clock.timers).toBe(0);
});

it('refuses options of one call that it does not have, and a signal that is none', async () => {
  const { batchFn } = doubling();
  const loader = createLoader(batchFn);
  const wrong = [{ timeout: 5 }, { signal: {} }, { signal: null }] as unknown as { signal: AbortSignal }[];
  for (const options of wrong) {
    const refusal = { code: 'INVALID_OPTION', message: expect.stringContaining(Object.keys(options)[0]!) };
    await expect(loader.load(1, options)).rejects.toMatchObject(refusal);
    await expect(loader.find(1, options)).rejects.toMatchObject(refusal);
    await expect(loader.loadMany([1], options)).rejects.toMatchObject(refusal);
    expect(await loader.loadSettled([1], options)).toMatchObject([{ status: 'rejected', reason: refusal }]);
    loader.prefetch([1], options);
  }
  expect(loader.stats()).toMatchObject({ offered: 15, rejected: 15, held: 0 });
});
