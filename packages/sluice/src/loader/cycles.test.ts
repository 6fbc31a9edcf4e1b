/** Tests of cycle detection: batch functions that wait for themselves. */

import { expect, it } from 'vitest';
import { codeOf } from '../../test/support/batch-functions.js';
import { testEnv } from '../testing/index.js';
import { detectCycles } from './cycles.js';
import { createLoader, type Loader } from './loader.js';

it('P6 e: without a detector a batch function that awaits its own key ends with the time-out, and hangs nobody', async () => {
  const env = testEnv();
  const loader: Loader<number, number> = createLoader(
    async (keys: readonly number[]) => [(await loader.load(keys[0]!)) as number],
    { env, cache: {}, timeoutMs: 100 },
  );
  const load = codeOf(loader.load(1));
  await env.clock.advance(100);
  expect(await load).toBe('TIMEOUT');
});

it('P6 e: a batch function that awaits a key of its own batch gets DEPENDENCY_CYCLE, with a cache and without', async () => {
  for (const cache of [undefined, {}]) {
    const env = testEnv();
    let calls = 0;
    const loader: Loader<number, number> = createLoader(
      async (keys: readonly number[]) => {
        calls++;
        return await loader.loadMany([...keys]);
      },
      { env, cycles: detectCycles(), ...(cache === undefined ? {} : { cache }) },
    );
    const error = await loader.load(1).catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ code: 'DEPENDENCY_CYCLE', cause: { message: expect.stringContaining('can never come') } });
    expect(calls).toBe(1);
    expect(env.eventsOf('cycle')).toEqual([{ type: 'cycle', name: 'loader', closes: 'key' }]);
    expect(env.clock.timers).toBe(0);
  }
});

it('finds a cycle through two loaders, and one for a slot', async () => {
  const env = testEnv();
  const cycles = detectCycles();
  const a: Loader<number, number> = createLoader((keys: readonly number[]) => b.loadMany(keys), { env, cycles, name: 'a' });
  const b: Loader<number, number> = createLoader((keys: readonly number[]) => a.loadMany(keys), { env, cycles, name: 'b' });
  expect(await codeOf(a.load(1))).toBe('DEPENDENCY_CYCLE');
  const parent: Loader<number, number> = createLoader(
    async (keys: readonly number[]) => await Promise.all(keys.map((key) => (key === 0 ? 0 : parent.load(key - 1)))),
    { env, cycles, maxInFlight: 2 },
  );
  expect(await codeOf(parent.load(1))).toBe('ok');
  expect(await codeOf(parent.load(5))).toBe('DEPENDENCY_CYCLE');
  expect(env.eventsOf('cycle').map(({ closes }) => closes)).toEqual(['key', 'slot']);
});

it('finds it in an async generator too', async () => {
  const loader: Loader<number, number> = createLoader(
    async function* (keys: readonly number[]) {
      for (const key of keys) yield [key, (await loader.load(key)) as number] as const;
    },
    { cycles: detectCycles() },
  );
  expect(await codeOf(loader.load(1))).toBe('DEPENDENCY_CYCLE');
});

it('takes for a cycle neither another key with room, nor prefetch, nor the next call, nor what outlives its batch', async () => {
  const cycles = detectCycles();
  const later: Promise<string>[] = [];
  const loader: Loader<number, number> = createLoader(
    async (keys: readonly number[]) => {
      loader.prefetch(keys);
      if (keys[0] === 2) later.push(new Promise((resolve) => setImmediate(() => resolve(codeOf(loader.load(2))))));
      return await Promise.all(keys.map(async (key) => (key > 0 ? (await loader.load(key - 1)) + 1 : 0)));
    },
    { cycles, cache: {} },
  );
  expect([await loader.load(1), await loader.load(3)]).toEqual([1, 3]);
  expect(await codeOf(loader.load(2))).toBe('ok');
  expect(await Promise.all(later)).toEqual(['ok']);
});

it('reportOnly tells the observer and lets the load go on', async () => {
  const env = testEnv();
  const loader: Loader<number, number> = createLoader(
    async (keys: readonly number[]) => {
      void loader.load(keys[0]!).catch(() => {});
      return [1];
    },
    { env, cycles: detectCycles({ reportOnly: true }), cache: {} },
  );
  expect(await loader.load(1)).toBe(1);
  expect(env.eventsOf('cycle')).toHaveLength(1);
});
