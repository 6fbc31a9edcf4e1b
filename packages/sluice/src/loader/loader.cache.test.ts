/** Tests of the loader's cache: bounded, timed, and never an older value over a newer one. */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { answered, codeOf, doubling } from '../../test/support/batch-functions.js';
import { failure } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { testEnv } from '../testing/index.js';
import { createLoader } from './loader.js';

/** A loader with a cache whose calls the test answers. */
function world(cache: { maxItems?: number; ttlMs?: number; errorTtlMs?: number } = {}) {
  const env = testEnv();
  const { calls, batchFn } = answered<string, string>();
  const loader = createLoader<string, string>(batchFn, { env, cache });
  const answer = async (index: number, ...values: (string | Error | undefined)[]) => {
    calls[index]!.resolve(values);
    await env.clock.settle();
  };
  return { env, calls, loader, answer };
}

it('R-12, E-4: nothing is cached, and nobody joins a call in flight, unless `cache` is given', async () => {
  const env = testEnv();
  const { calls, batchFn } = answered<string, string>();
  const loader = createLoader(batchFn, { env });
  const first = loader.load('a');
  await env.clock.settle();
  const second = loader.load('a');
  await env.clock.settle();
  expect(calls).toHaveLength(2);
  calls[0]!.resolve(['1']);
  calls[1]!.resolve(['2']);
  expect(await Promise.all([first, second])).toEqual(['1', '2']);
  loader.prime('a', '3');
  void loader.load('a');
  await env.clock.settle();
  expect(calls).toHaveLength(3);
  expect(loader.stats().cache).toBeUndefined();
});

it('serves a value until ttlMs have passed since it came, without a timer', async () => {
  const { env, calls, loader, answer } = world({ ttlMs: 100 });
  const first = loader.load('a');
  await env.clock.settle();
  await answer(0, '1');
  expect(env.clock.timers).toBe(0);
  await env.clock.advance(99);
  expect([await first, await loader.load('a'), await loader.find('a')]).toEqual(['1', '1', '1']);
  await env.clock.advance(1);
  const second = loader.load('a');
  await env.clock.settle();
  await answer(1, '2');
  expect(await second).toBe('2');
  expect(calls).toHaveLength(2);
  expect(loader.stats()).toMatchObject({ offered: 4, ok: 4, keys: { ok: 2 }, cache: { items: 1, hits: 2, evicted: 0 } });
  expect(tallyImbalance(loader.stats())).toBe(0);
});

it('drops the least recently used key beyond maxItems', async () => {
  const { batchFn, calls } = doubling();
  const loader = createLoader(batchFn, { cache: { maxItems: 2, ttlMs: Number.POSITIVE_INFINITY } });
  await loader.loadMany([1, 2]);
  await loader.load(1);
  await loader.load(3);
  await loader.loadMany([1, 3]);
  await loader.load(2);
  expect(calls).toEqual([[1, 2], [3], [2]]);
  expect(loader.stats().cache).toEqual({ items: 2, hits: 3, evicted: 2 });
});

it('a hit does not wait for the batch that it arrived with (P2 6), nor for the end of the turn (P6 g)', async () => {
  const { env, loader } = world();
  loader.prime('a', '1');
  const told: string[] = [];
  void loader.load('slow');
  void loader.load('a').then((value) => told.push(value));
  await undefined;
  expect(told).toEqual(['1']);
  await env.clock.settle();
});

it('joins what is in flight; the call is aborted only when its last caller has left, and then joined by nobody', async () => {
  const { env, calls, loader, answer } = world();
  const [one, two] = [new AbortController(), new AbortController()];
  const first = codeOf(loader.load('a', { signal: one.signal }));
  await env.clock.settle();
  const second = codeOf(loader.load('a', { signal: two.signal }));
  await env.clock.settle();
  expect(calls).toHaveLength(1);
  one.abort();
  expect(calls[0]!.signal.aborted).toBe(false);
  two.abort();
  expect(calls[0]!.signal.aborted).toBe(true);
  const fresh = loader.load('a');
  await env.clock.settle();
  await answer(0, 'old');
  await answer(1, 'fresh');
  expect(await Promise.all([first, second, fresh])).toEqual(['CANCELLED', 'CANCELLED', 'fresh']);
  expect(await loader.load('a')).toBe('fresh');
  expect(tallyImbalance(loader.stats()) + tallyImbalance(loader.stats().keys)).toBe(0);
});

it('P2 13: an older call that ends after clear neither overwrites the newer value nor evicts it by failing', async () => {
  for (const end of ['value', 'failure'] as const) {
    const { env, calls, loader } = world();
    const old = codeOf(loader.load('a'));
    await env.clock.settle();
    loader.clear('a');
    const newer = loader.load('a');
    await env.clock.settle();
    calls[1]!.resolve(['newer']);
    expect(await newer).toBe('newer');
    if (end === 'value') calls[0]!.resolve(['older']);
    else calls[0]!.reject(new Error('older'));
    expect(await old).toBe(end === 'value' ? 'ok' : 'FAILED');
    expect(await loader.load('a')).toBe('newer');
    expect(calls).toHaveLength(2);
  }
});

it('prime outlives the call in flight; clearAll lets nothing older in', async () => {
  const { env, calls, loader, answer } = world();
  const loads = [loader.load('a'), loader.load('b')];
  await env.clock.settle();
  loader.prime('a', 'primed');
  await answer(0, 'old a', 'old b');
  expect(await Promise.all(loads)).toEqual(['old a', 'old b']);
  expect([await loader.load('a'), await loader.load('b')]).toEqual(['primed', 'old b']);
  void loader.load('c');
  await env.clock.settle();
  loader.clearAll();
  await answer(1, 'old c');
  expect(loader.stats().cache).toMatchObject({ items: 0 });
  void loader.load('c');
  await env.clock.settle();
  expect(calls).toHaveLength(3);
});

it('prime replaces what is there, and takes an error', async () => {
  const { loader } = world({ errorTtlMs: 100 });
  loader.prime('a', '1');
  loader.prime('a', '2');
  loader.prime('b', failure('gone', { code: 'GONE' }));
  expect([await loader.load('a'), await codeOf(loader.load('b'))]).toEqual(['2', 'GONE']);
  expect(() => loader.prime({} as never, 'x')).toThrow(expect.objectContaining({ code: 'INVALID_KEY' }));
});

it('keeps permanent failures and absence for errorTtlMs, other failures never', async () => {
  const { env, calls, loader, answer } = world({ errorTtlMs: 50 });
  const first = [codeOf(loader.load('absent')), codeOf(loader.load('bad')), codeOf(loader.load('busy'))];
  await env.clock.settle();
  await answer(0, undefined, failure('no', { code: 'BAD' }), failure('later', { code: 'BUSY', class: 'transient' }));
  expect(await Promise.all(first)).toEqual(['KEY_NOT_FOUND', 'BAD', 'BUSY']);
  expect(await Promise.all([codeOf(loader.load('absent')), codeOf(loader.load('bad')), loader.find('absent')])).toEqual([
    'KEY_NOT_FOUND',
    'BAD',
    undefined,
  ]);
  const again = codeOf(loader.load('busy'));
  await env.clock.settle();
  calls[1]!.reject(new Error('down'));
  expect(await again).toBe('FAILED');
  await env.clock.advance(50);
  void loader.find('absent');
  void loader.find('busy');
  await env.clock.settle();
  expect(calls.map((call) => call.keys)).toEqual([['absent', 'bad', 'busy'], ['busy'], ['absent', 'busy']]);
});

it('a cached failure is an error of its own for each caller', async () => {
  const { env, loader, answer } = world({ errorTtlMs: 50 });
  const first = loader.load('a').catch((error: unknown) => error);
  await env.clock.settle();
  await answer(0, new Error('shared'));
  const second = await loader.load('a').catch((error: unknown) => error);
  expect(second).not.toBe(await first);
  expect((second as Error).cause).toBe(((await first) as Error).cause);
});

it('P7: a cache that is too small for what is in flight asks for nothing twice', async () => {
  const { calls, batchFn } = doubling();
  const loader = createLoader(batchFn, { cache: { maxItems: 1 } });
  expect(await Promise.all([loader.load(1), loader.load(2), loader.load(1)])).toEqual([2, 4, 2]);
  expect(calls).toEqual([[1, 2]]);
});

it('prefetch fills the cache, tells nobody, and its failures are counted, not unhandled', async () => {
  const { env, calls, loader, answer } = world();
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  expect(loader.prefetch(['a', 'b', {} as never])).toBeUndefined();
  await env.clock.settle();
  await answer(0, '1', new Error('no'));
  expect(await loader.load('a')).toBe('1');
  process.off('unhandledRejection', note);
  expect([calls.length, unhandled]).toEqual([1, []]);
  expect(loader.stats()).toMatchObject({ rejected: 1, ok: 2, failed: 1 });
});

it('refuses wrong options', () => {
  const { batchFn } = doubling();
  expect(() => createLoader(batchFn, { cache: { maxItem: 5 } as object })).toThrow(/did you mean maxItems/);
  expect(() => createLoader(batchFn, { cache: { maxItems: 0 } })).toThrow(/cache.maxItems must be a whole number, 1 or more/);
  expect(() => createLoader(batchFn, { cache: { ttlMs: -1 } })).toThrow(/cache.ttlMs/);
});

it('whatever happens, nobody gets a value that is older than the last prime or clear before the call', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.info(`seed ${seed}`);
  const key = fc.nat(2);
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom('load', 'write', 'writeAndPrime'), key }),
    fc.record({ kind: fc.constantFrom('turn', 'answerFirst', 'answerLast', 'failFirst', 'wait'), key }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.constantFrom(1, 2, 10), async (steps, maxItems) => {
      const env = testEnv();
      const truth = [0, 0, 0];
      const open: { read: number[]; resolve: (values: number[]) => void; reject: (error: Error) => void }[] = [];
      const loader = createLoader<number, number>(
        (keys) => new Promise((resolve, reject) => open.push({ read: keys.map((each) => truth[each]!), resolve, reject })),
        { env, cache: { maxItems, ttlMs: 50, errorTtlMs: 50 } },
      );
      const stale: string[] = [];
      for (const each of steps) {
        if (each.kind === 'load') {
          const least = truth[each.key]!;
          loader.load(each.key).then(
            (value) => value < least && stale.push(`${value} < ${least}`),
            () => {},
          );
        } else if (each.kind === 'write' || each.kind === 'writeAndPrime') {
          truth[each.key]!++;
          if (each.kind === 'write') loader.clear(each.key);
          else loader.prime(each.key, truth[each.key]!);
        } else if (each.kind === 'wait') await env.clock.advance(20);
        else if (each.kind === 'turn') await env.clock.settle();
        else {
          const call = each.kind === 'answerLast' ? open.pop() : open.shift();
          if (each.kind === 'failFirst') call?.reject(new Error('down'));
          else call?.resolve(call.read);
          await env.clock.settle();
        }
        if (tallyImbalance(loader.stats()) + tallyImbalance(loader.stats().keys) > 0) stale.push('imbalance');
      }
      await env.clock.advance(60_000);
      expect(stale).toEqual([]);
      expect([env.clock.timers, loader.stats().held, loader.stats().inFlight]).toEqual([0, 0, 0]);
    }),
    { seed, numRuns: 500 },
  );
});
