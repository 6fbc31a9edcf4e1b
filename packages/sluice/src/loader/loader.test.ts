import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, expectTypeOf, it, vi } from 'vitest';
import { answered, codeOf, doubling } from '../../test/support/batch-functions.js';
import { failure, SluiceError } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { retry } from '../layers/index.js';
import { testEnv } from '../testing/index.js';
import { createLoader, type Loader } from './loader.js';

it('asks once for what is loaded in one turn, each key once, in order of arrival', async () => {
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn);
  const deep = (async () => {
    for (let i = 0; i < 10; i++) await undefined;
    return loader.load(3);
  })();
  expect(await Promise.all([loader.load(1), loader.load(2), loader.load(1), deep])).toEqual([2, 4, 2, 6]);
  expect(calls).toEqual([[1, 2, 3]]);
});

it('takes a Map, an array, a promise of either, or a plain return', async () => {
  const map = (keys: readonly string[]) => new Map(keys.map((key) => [key, key.length]));
  const array = (keys: readonly string[]) => keys.map((key) => key.length);
  for (const batchFn of [
    map,
    array,
    async (keys: readonly string[]) => map(keys),
    async (keys: readonly string[]) => array(keys),
  ]) {
    const loader = createLoader<string, number>(batchFn);
    expect(await loader.loadMany(['a', 'bb', 'a'])).toEqual([1, 2, 1]);
  }
});

it('fails a key alone whose entry is an Error, and believes its class and code', async () => {
  const loader = createLoader(async (keys: readonly number[]) =>
    keys.map((key) =>
      key === 2 ? failure('no user 2', { code: 'FORBIDDEN', class: 'blocked' }) : key === 3 ? new Error('odd') : key,
    ),
  );
  const [one, two, three] = await loader.loadSettled([1, 2, 3]);
  expect(one).toEqual({ status: 'fulfilled', value: 1 });
  expect(two).toMatchObject({ reason: { code: 'FORBIDDEN', class: 'blocked', key: 2 } });
  expect(three).toMatchObject({ reason: { code: 'FAILED', class: 'permanent', key: 3, cause: { cause: { message: 'odd' } } } });
});

it('rejects load with KEY_NOT_FOUND, and resolves find with undefined, where there is no such key', async () => {
  for (const result of [new Map([[1, 'one']]), ['one', undefined]] as const) {
    const loader = createLoader(async (_: readonly number[]) => result);
    const [one, two, found] = await Promise.allSettled([loader.load(1), loader.load(2), loader.find(2)]);
    expect(one).toMatchObject({ value: 'one' });
    expect(two).toMatchObject({ reason: { code: 'KEY_NOT_FOUND', key: 2 } });
    expect(found).toEqual({ status: 'fulfilled', value: undefined });
  }
  const saysSo = createLoader(async (keys: readonly number[]) =>
    keys.map((key) => failure(`no ${key}`, { code: 'KEY_NOT_FOUND' })),
  );
  expect(await saysSo.find(1)).toBeUndefined();
});

it('fails the whole batch, each waiter once, on a throw, a rejection, a wrong length, and a wrong kind of result', async () => {
  const broken: [string, () => unknown][] = [
    [
      'FAILED',
      () => {
        throw new Error('at once');
      },
    ], // prettier-ignore
    ['FAILED', async () => Promise.reject(new Error('later'))],
    ['RESULT_LENGTH_MISMATCH', async () => [1, 2, 3]],
    ['RESULT_LENGTH_MISMATCH', () => []],
    ['BAD_RESULT', async () => undefined],
    ['BAD_RESULT', () => ({ 1: 'one' })],
    ['BAD_RESULT', () => null],
    ['BAD_RESULT', () => 'ab'],
  ];
  for (const [code, batchFn] of broken) {
    const loader = createLoader(batchFn as () => number[]);
    const loads = [1, 2, 1].map((key) => loader.load(key as never));
    const errors = await Promise.all(
      loads.map((load) =>
        load.then(
          () => undefined,
          (error: SluiceError) => error,
        ),
      ),
    );
    expect(errors.map((error) => error?.code)).toEqual([code, code, code]);
    expect(new Set(errors).size).toBe(3);
    expect(new Set(errors.map((error) => error?.cause)).size).toBe(1);
    expect(loader.stats()).toMatchObject({ failed: 3, keys: { failed: 2 } });
  }
});

it('ignores and reports keys that nobody asked for', async () => {
  const env = testEnv();
  const loader = createLoader(
    async (_: readonly number[]) =>
      new Map([
        [1, 1],
        [2, 2],
        [3, 3],
      ]),
    { env },
  ); // prettier-ignore
  expect(await loader.load(2)).toBe(2);
  expect(env.eventsOf('unrequested')).toMatchObject([{ keys: 2 }]);
});

it('lets a request after the dispatch join nothing in flight', async () => {
  const { calls, batchFn } = answered<number, string>();
  const loader = createLoader(batchFn);
  const old = loader.load(1);
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  const fresh = loader.load(1);
  await vi.waitFor(() => expect(calls).toHaveLength(2));
  calls[1]!.resolve(['new']);
  calls[0]!.resolve(['old']);
  expect(await Promise.all([old, fresh])).toEqual(['old', 'new']);
});

it('dedupes across size cuts and a late cut', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, maxItems: 2, maxInFlight: 1 });
  const loads = [1, 2, 3, 4, 3, 5, 4, 3].map((key) => loader.load(key));
  for (let i = 0; i < 3; i++) {
    await env.clock.settle();
    calls[i]!.resolve(calls[i]!.keys.map((key) => key * 10));
  }
  expect(await Promise.all(loads)).toEqual([10, 20, 30, 40, 30, 50, 40, 30]);
  expect(calls.map((call) => call.keys)).toEqual([[1, 2], [3, 4], [5]]);
});

it('tells keys apart as a Map does: NaN is one key, 0 and -0 are the same, 1 and "1" are not', async () => {
  const seen: unknown[][] = [];
  const loader = createLoader(async (keys: readonly (number | string)[]) => {
    seen.push([...keys]);
    return keys.map(String);
  });
  await loader.loadMany([Number.NaN, Number.NaN, 0, -0, 1, '1']);
  expect(seen).toEqual([[Number.NaN, 0, 1, '1']]);
});

it('tells object keys apart by keyBy, in its Map too', async () => {
  interface Point {
    readonly x: number;
    readonly y: number;
  }
  const batchFn = vi.fn(async (points: readonly Point[]) => new Map(points.map((point) => [{ ...point }, point.x + point.y])));
  const loader = createLoader(batchFn, { keyBy: ({ x, y }) => `${x},${y}` });
  expect(
    await loader.loadMany([
      { x: 1, y: 2 },
      { x: 3, y: 4 },
      { x: 1, y: 2 },
    ]),
  ).toEqual([3, 7, 3]); // prettier-ignore
  expect(batchFn.mock.calls[0]![0]).toHaveLength(2);
});

it('refuses what is no key, and survives a keyBy that throws', async () => {
  const plain = createLoader(async (keys: readonly string[]) => [...keys]);
  for (const key of [undefined, null, {}, []]) expect(await codeOf(plain.load(key as never))).toBe('INVALID_KEY');
  const keyBy = (key: { id?: { n: number } }) => key.id!.n;
  const keyed = createLoader(async (keys: readonly { id?: { n: number } }[]) => keys.map(() => 1), { keyBy });
  expect(await Promise.all([codeOf(keyed.load({})), codeOf(keyed.load({ id: { n: 1 } }))])).toEqual(['INVALID_KEY', 'ok']);
});

it('tells its types by itself, and does not compile for object keys without keyBy', () => {
  interface User {
    readonly name: string;
  }
  const byMap = createLoader(async (ids: readonly number[]) => new Map<number, User>(ids.map((id) => [id, { name: `${id}` }])));
  expectTypeOf(byMap).toEqualTypeOf<Loader<number, User>>();
  const withErrors = createLoader(async (ids: readonly number[]) => ids.map((id) => (id > 1 ? { name: 'x' } : failure('no'))));
  expectTypeOf(withErrors.load).returns.resolves.toEqualTypeOf<{ name: string }>();
  const sparse = createLoader((ids: readonly string[]) => ids.map((): User | undefined => undefined));
  expectTypeOf(sparse.find).returns.resolves.toEqualTypeOf<User | undefined>();
  expectTypeOf(sparse.load).returns.resolves.toEqualTypeOf<User>();
  const named = createLoader<number, User>(async (ids) => ids.map(() => ({ name: 'x' })), { layers: [retry()] });
  expectTypeOf(named).toEqualTypeOf<Loader<number, User>>();
  // @ts-expect-error object keys need keyBy
  createLoader(async (keys: readonly User[]) => keys.map(() => 1));
  // @ts-expect-error keyBy must return a primitive
  createLoader(async (keys: readonly User[]) => keys.map(() => 1), { keyBy: (key) => ({ key }) });
});

it('runs the batch function in the context in which the loader was made, never in a caller’s', async () => {
  const storage = new AsyncLocalStorage<string>();
  const loader = storage.run('maker', () => createLoader(async (keys: readonly number[]) => keys.map(() => storage.getStore())));
  const seen = await storage.run('caller', async () => [await loader.find(1), storage.getStore()]);
  expect(seen).toEqual(['maker', 'caller']);
});

it('tries again through a layer, and asks only for the keys that failed', async () => {
  const env = testEnv();
  const asked: { keys: readonly number[]; attempt: number }[] = [];
  const loader = createLoader<number, number>(
    async (keys, { attempt }) => {
      asked.push({ keys: [...keys], attempt });
      return keys.map((key) => (key === 2 && attempt < 3 ? failure('busy', { class: 'transient' }) : key));
    },
    { env, layers: [retry()] },
  );
  const loads = loader.loadMany([1, 2, 3]);
  await env.clock.advance(1000);
  expect(await loads).toEqual([1, 2, 3]);
  expect(asked).toEqual([
    { keys: [1, 2, 3], attempt: 1 },
    { keys: [2], attempt: 2 },
    { keys: [2], attempt: 3 },
  ]);
});

it('may be called from within its own batch function: that goes into the next batch', async () => {
  const seen: number[][] = [];
  let inner: Promise<number> | undefined;
  const loader: Loader<number, number> = createLoader(async (keys: readonly number[]) => {
    seen.push([...keys]);
    inner ??= loader.load(keys[0]!);
    return keys.map((key) => key * seen.length);
  });
  expect([await loader.load(1), await inner]).toEqual([1, 2]);
  expect(seen).toEqual([[1], [1]]);
});

it('close dispatches what is held, refuses what comes after, and reports in calls', async () => {
  const env = testEnv();
  const { batchFn } = doubling();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 1000 } });
  const loads = [loader.load(1), loader.load(1), loader.load(2)];
  const report = await loader.close();
  expect(await Promise.all(loads)).toEqual([2, 2, 4]);
  expect(report).toMatchObject({ ok: 3, failed: 0, cancelled: 0, dropped: 0 });
  expect(await codeOf(loader.load(3))).toBe('CLOSED');
  expect(env.clock.timers).toBe(0);
  expect(tallyImbalance(loader.stats()) + tallyImbalance(loader.stats().keys)).toBe(0);
});

it('closes at the end of an `await using` block', async () => {
  const { calls, batchFn } = doubling();
  let load: Promise<number>;
  {
    await using loader = createLoader(batchFn, { window: { maxDelayMs: 60_000 } });
    load = loader.load(4);
  }
  expect(await load).toBe(8);
  expect(calls).toEqual([[4]]);
});

it('flush dispatches now, and resolves when everything asked for before it is settled', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<number, number>();
  const loader = createLoader(batchFn, { env, window: { maxDelayMs: 1000 } });
  const load = loader.load(1);
  const flushed = loader.flush();
  expect(calls.map((call) => call.keys)).toEqual([[1]]);
  void loader.load(2);
  calls[0]!.resolve([1]);
  await flushed;
  expect(await load).toBe(1);
  expect(calls).toHaveLength(1);
});

it('handles the rejections of loadMany and loadSettled: none is unhandled', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  const loader = createLoader(async (_: readonly number[]): Promise<number[]> => Promise.reject(new Error('down')));
  expect(await codeOf(loader.loadMany([1, 2, 3]))).toBe('FAILED');
  await loader.loadSettled([1, 2, 3]);
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

it('refuses wrong options, each with what was expected', () => {
  const batchFn = async (keys: readonly number[]) => [...keys];
  expect(() => createLoader(batchFn, { maxItems: 0 })).toThrow(/maxItems must be a whole number, 1 or more/);
  expect(() => createLoader(batchFn, { maxItem: 5 } as object)).toThrow(/did you mean maxItems/);
  expect(() => createLoader(undefined as never)).toThrow(SluiceError);
});
