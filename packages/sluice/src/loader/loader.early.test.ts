/** Tests of early settlement: keys that are told before their batch has ended. */

import { expect, expectTypeOf, it } from 'vitest';
import { codeOf } from '../../test/support/batch-functions.js';
import { failure, type SluiceError } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { retry } from '../layers/index.js';
import { testEnv } from '../testing/index.js';
import type { BatchContext } from './batch-call.js';
import { createLoader, type Loader } from './loader.js';

/** A loader whose batch function hands its context to the test, and waits. */
function world(options: { timeoutMs?: number; cache?: object; layers?: [] } = {}) {
  const env = testEnv();
  const calls: { keys: readonly number[]; context: BatchContext<number>; end: (result?: unknown) => void }[] = [];
  const loader = createLoader<number, string>(
    (keys, context) => new Promise((resolve) => calls.push({ keys, context, end: resolve as (result?: unknown) => void })),
    { env, ...options },
  );
  const told: string[] = [];
  const load = (key: number, signal?: AbortSignal) =>
    void loader.load(key, signal === undefined ? undefined : { signal }).then(
      (value) => told.push(`${env.clock.now()} ${key}=${value}`),
      (error: SluiceError) => told.push(`${env.clock.now()} ${key}:${error.code}`),
    );
  return { env, calls, loader, told, load };
}

it('takes an async iterable of [key, entry], tells each as it comes, and what did not come is absent', async () => {
  const env = testEnv();
  const told: string[] = [];
  const loader = createLoader(
    async function* (keys: readonly number[]) {
      for (const key of keys) {
        await new Promise<void>((resolve) => env.clock.after(10, resolve));
        if (key !== 2) yield [key, key === 3 ? failure('no 3', { code: 'THREE' }) : `v${key}`] as const;
      }
      yield [99, 'unasked'] as const;
    },
    { env },
  );
  expectTypeOf(loader.load).returns.resolves.toEqualTypeOf<string>();
  for (const key of [1, 2, 3, 4, 1]) {
    loader.load(key).then(
      (value) => told.push(`${env.clock.now()} ${key}=${value}`),
      (error: SluiceError) => told.push(`${env.clock.now()} ${key}:${error.code}`),
    );
  }
  await env.clock.advance(100);
  expect(told).toEqual(['10 1=v1', '10 1=v1', '30 3:THREE', '40 4=v4', '40 2:KEY_NOT_FOUND']);
  expect(env.eventsOf('unrequested')).toMatchObject([{ keys: 1 }]);
  expect(loader.stats()).toMatchObject({ ok: 3, failed: 2, keys: { ok: 2, failed: 2 } });
});

it('tells a key by resolve and reject; then the function need not return anything', async () => {
  const { env, calls, loader, told, load } = world();
  for (const key of [1, 2, 3, 1]) load(key);
  await env.clock.settle();
  const { resolve, reject } = calls[0]!.context;
  resolve(2, 'two');
  await env.clock.advance(5);
  reject(3, failure('no', { code: 'THREE' }));
  resolve(1, 'one');
  resolve(1, 'again');
  reject(1, new Error('again'));
  resolve(7, 'nobody asked');
  await env.clock.settle();
  expect(told).toEqual(['0 2=two', '5 3:THREE', '5 1=one', '5 1=one']);
  calls[0]!.end();
  await env.clock.settle();
  expect(loader.stats()).toMatchObject({ ok: 3, failed: 1, inFlight: 0, keys: { ok: 2, failed: 1, inFlight: 0 } });
  expect(env.eventsOf('unrequested')).toHaveLength(1);
  expect(env.clock.timers).toBe(0);
});

it('a key that nobody answered fails when the function returns nothing: no caller hangs', async () => {
  const { env, calls, told, load } = world();
  load(1);
  load(2);
  await env.clock.settle();
  calls[0]!.context.resolve(1, 'one');
  calls[0]!.end();
  await env.clock.settle();
  expect(told).toEqual(['0 1=one', '0 2:BAD_RESULT']);
});

it('what was told stands when the batch fails, times out, or says otherwise; who comes late is not heard', async () => {
  for (const end of ['fails', 'timesOut', 'contradicts'] as const) {
    const { env, calls, loader, told, load } = world({ timeoutMs: 50 });
    load(1);
    load(2);
    await env.clock.settle();
    calls[0]!.context.resolve(1, 'one');
    if (end === 'fails') calls[0]!.end(Promise.reject(new Error('down')));
    if (end === 'contradicts') calls[0]!.end(['other', 'two']);
    await env.clock.advance(50);
    calls[0]!.context.resolve(2, 'late');
    await env.clock.settle();
    expect(told).toEqual(['0 1=one', { fails: '0 2:FAILED', timesOut: '50 2:TIMEOUT', contradicts: '0 2=two' }[end]]);
    expect(loader.stats().keys).toMatchObject({ ok: end === 'contradicts' ? 2 : 1, failed: end === 'contradicts' ? 0 : 1 });
    expect(tallyImbalance(loader.stats()) + tallyImbalance(loader.stats().keys)).toBe(0);
  }
});

it('a retry asks only for what was not told yet', async () => {
  const env = testEnv();
  const asked: number[][] = [];
  const loader = createLoader<number, string>(
    async function* (keys) {
      asked.push([...keys]);
      for (const key of keys.slice(0, 2)) yield [key, `v${key}`] as const;
      if (keys.length > 2) throw new Error('broke off');
    },
    { env, layers: [retry()] },
  );
  const loads = loader.loadMany([1, 2, 3, 4, 5]);
  await env.clock.advance(10_000);
  expect(await loads).toEqual(['v1', 'v2', 'v3', 'v4', 'v5']);
  expect(asked).toEqual([[1, 2, 3, 4, 5], [3, 4, 5], [5]]);
  expect(loader.stats().keys).toMatchObject({ ok: 5, failed: 0 });
});

it('aborts when those who are still waiting have all left, and stops the iterator', async () => {
  const { env, calls, told, load } = world();
  const controller = new AbortController();
  load(1);
  load(2, controller.signal);
  load(3, controller.signal);
  await env.clock.settle();
  const { context } = calls[0]!;
  context.resolve(1, 'one');
  context.resolve(2, 'two');
  expect(context.signal.aborted).toBe(false);
  controller.abort();
  expect(context.signal.aborted).toBe(true);
  await env.clock.settle();
  expect(told).toEqual(['0 1=one', '0 2=two', '0 3:CANCELLED']);
});

it('early values are cached at once; a later call of the same key is a hit while the batch goes on', async () => {
  const { env, calls, loader } = world({ cache: {} });
  const loads = loader.loadSettled([1, 2]);
  await env.clock.settle();
  calls[0]!.context.resolve(1, 'one');
  expect(await loader.load(1)).toBe('one');
  calls[0]!.end([undefined, 'two']);
  expect(await loads).toEqual([
    { status: 'fulfilled', value: 'one' },
    { status: 'fulfilled', value: 'two' },
  ]);
  expect(calls).toHaveLength(1);
});

it('close drops only who was not told, in calls', async () => {
  const { env, calls, loader, told, load } = world();
  load(1);
  load(2);
  await env.clock.settle();
  calls[0]!.context.resolve(1, 'one');
  const closed = loader.close({ deadlineMs: 10 });
  await env.clock.advance(10);
  expect(told).toEqual(['0 1=one', '10 2:SHUTDOWN_TIMEOUT']);
  expect(await closed).toMatchObject({ ok: 0, dropped: 1 });
  expect(tallyImbalance(loader.stats())).toBe(0);
});

it('types: a context that is annotated checks what it is given, and keyBy tells early keys apart', async () => {
  interface User {
    readonly name: string;
  }
  const users: Loader<{ id: number }, User> = createLoader(
    (keys: readonly { id: number }[], { resolve, entries }: BatchContext<{ id: number }, User>) => {
      expectTypeOf(entries[0]!.value).toEqualTypeOf<{ id: number }>();
      // @ts-expect-error a user has a name
      expectTypeOf(resolve).toBeCallableWith({ id: 1 }, { nam: 'x' });
      for (const { id } of keys) resolve({ id }, { name: `${id}` });
      return new Map<{ id: number }, User>();
    },
    { keyBy: ({ id }) => id },
  );
  expect(await users.load({ id: 4 })).toEqual({ name: '4' });
  expect(await codeOf(users.load({ id: 5 }))).toBe('ok');
});
