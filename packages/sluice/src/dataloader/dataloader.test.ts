// biome-ignore-all lint/suspicious/noThenProperty: thenables are under test.
/** The same scripts against the original and ours: every line that a user can observe must be the same. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { both, type Log, type Make } from '../../test/support/dataloader-pair.js';

type Script = (make: Make, log: Log) => unknown;

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A batch function that notes its keys and returns them. */
const identity = (log: Log) => async (keys: readonly unknown[]) => {
  log.add('batch', [...keys]);
  return [...keys];
};

const nothing = undefined as never;

const cases: Readonly<Record<string, Script>> = {
  'a really simple loader': async (make, log) => {
    const loader = new make(identity(log));
    await log.watch('one', loader.load(1));
  },
  'the loader is `this` of the batch function, the key function and the scheduler': async (make, log) => {
    const told: unknown[] = [];
    const loader = new make<number, number>(
      async function (this: unknown, keys) {
        told.push(this);
        return [...keys];
      },
      {
        cacheKeyFn(this: unknown, key) {
          told.push(this);
          return key;
        },
        batchScheduleFn(this: unknown, callback) {
          told.push(this);
          setImmediate(callback);
        },
      },
    );
    loader.prime(2, 2).clear(2);
    await log.watch('one', loader.load(1));
    log.add(told.map((self) => self === loader));
  },
  'loadMany, with and without failures, of an array and of an array-like': async (make, log) => {
    const loader = new make<string, string>(async (keys) => {
      log.add('batch', [...keys]);
      return keys.map((key) => (key.startsWith('bad') ? new TypeError(`no ${key}`) : key.toUpperCase()));
    });
    await log.watch('good', loader.loadMany(['a', 'b']));
    await log.watch('bad', loader.loadMany(['c', 'bad', 'd']));
    await log.watch('empty', loader.loadMany([]));
    await log.watch('like', loader.loadMany({ length: 2, 0: 'e', 1: 'f' }));
  },
  'batches, at most maxBatchSize a batch, duplicates counted once': async (make, log) => {
    for (const maxBatchSize of [1, 2, 2.5, Number.POSITIVE_INFINITY, Number.NaN]) {
      const loader = new make(identity(log), { maxBatchSize });
      for (const key of [1, 2, 1, 3, 2, 4, 5]) log.watch(`${maxBatchSize}/${key}`, loader.load(key));
      await tick();
    }
  },
  'the same promise for the same key as long as no batch is open, a fresh one for each hit': async (make, log) => {
    const loader = new make(identity(log));
    const first = log.watch('first', loader.load(1));
    log.watch('second', loader.load(1));
    await first;
    log.watch('third', loader.load(1));
    await tick();
    log.watch('fourth', loader.load(1));
    log.watch('new', loader.load(2));
  },
  'coalesces identical keys, also across sized batches': async (make, log) => {
    const loader = new make(identity(log), { maxBatchSize: 2 });
    for (const [i, key] of ['a', 'b', 'a', 'c', 'a', 'b'].entries()) log.watch(`${i}${key}`, loader.load(key));
  },
  'a hit waits for the batch that it arrived with': async (make, log) => {
    let release = () => {};
    const loader = new make<number, number>(async (keys) => {
      log.add('batch', [...keys]);
      if (keys[0] === 2)
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      return [...keys];
    });
    await loader.load(1);
    log.watch('new', loader.load(2));
    log.watch('hit', loader.load(1));
    await tick();
    log.add('still waiting');
    release();
  },
  'hits alone are told after the promise jobs, without a call': async (make, log) => {
    const loader = new make(identity(log));
    loader.prime(1, 'primed');
    log.watch('hit', loader.load(1));
    for (let i = 0; i < 5; i++) await Promise.resolve().then(() => log.add('job', i));
    process.nextTick(() => log.add('nextTick'));
  },
  'clear, clearAll and prime, chained': async (make, log) => {
    const loader = new make(identity(log));
    await loader.loadMany([1, 2, 3]);
    log.add(loader.clear(1) === loader, loader.clearAll() === loader, loader.prime(1, 9) === loader);
    loader.prime(1, 10).prime(2, 20).clear(2).prime(2, 21);
    await Promise.all([1, 2, 3].map((key) => log.watch(`${key}`, loader.load(key))));
    loader.clear(1).prime(1, 11);
    await log.watch('forced', loader.load(1));
  },
  'prime with a promise, with undefined, with an error, cleared or not': async (make, log) => {
    const loader = new make<string, unknown>(identity(log));
    loader.prime('promise', Promise.resolve('later'));
    loader.prime('nothing', undefined);
    loader.prime('error', new RangeError('primed'));
    const thenable = { then: (resolve: (value: string) => void) => resolve('thenable') };
    loader.prime('thenable', thenable);
    await Promise.allSettled(['promise', 'nothing', 'error', 'thenable'].map((key) => log.watch(key, loader.load(key))));
    loader.clear('error').prime('error', 'mended');
    log.watch('mended', loader.load('error'));
  },
  'a primed rejection is unhandled only when somebody loads it and lets it go': async (make, log) => {
    const loader = new make<string, string>(identity(log) as never);
    loader.prime('quiet', new Error('quiet'));
    loader.prime('loud', new Error('loud'));
    void loader.load('loud');
    await tick();
  },
  'the name': (make, log) => {
    log.add(
      new make(identity(log)).name,
      new make(identity(log), { name: 'n' }).name,
      new make(identity(log), { name: '' }).name,
    );
  },
  'errors of keys are cached, errors of batches are not, and reach all': async (make, log) => {
    let round = 0;
    const loader = new make<number, number>(async (keys) => {
      log.add('batch', [...keys]);
      if (++round === 2) throw new Error('whole');
      return keys.map((key) => (key % 2 === 0 ? new Error(`even ${key}`) : key));
    });
    for (const keys of [
      [1, 2],
      [2, 1, 3, 4],
      [3, 4],
      [4, 2],
    ]) {
      await Promise.allSettled(keys.map((key) => log.watch(`${key}`, loader.load(key))));
    }
    loader.clear(2);
    await Promise.allSettled([log.watch('again', loader.load(2))]);
  },
  'hits are told though their batch fails': async (make, log) => {
    let fails = false;
    const loader = new make<number, number>(async (keys) => {
      if (fails) throw new Error('down');
      return [...keys];
    });
    await loader.load(1);
    fails = true;
    await Promise.allSettled([log.watch('new', loader.load(2)), log.watch('hit', loader.load(1))]);
  },
  'an old batch that fails clears the newer value of its key': async (make, log) => {
    const fail: ((error: Error) => void)[] = [];
    let first = true;
    const loader = new make<string, string>((keys) => {
      log.add('batch', [...keys]);
      if (!first) return Promise.resolve([...keys]);
      first = false;
      return new Promise((_, reject) => fail.push(reject));
    });
    const old = log.watch('old', loader.load('a'));
    await tick();
    loader.clear('a');
    await log.watch('newer', loader.load('a'));
    fail[0]!(new Error('old failed'));
    await old.catch(() => {});
    await log.watch('newest', loader.load('a'));
  },
  'object keys, by identity and by cacheKeyFn': async (make, log) => {
    const [a, b] = [
      { id: 1, x: 2 },
      { x: 2, id: 1 },
    ];
    const byIdentity = new make<object, unknown>(identity(log));
    log.watch('a', byIdentity.load(a));
    log.watch('b', byIdentity.load(b));
    await tick();
    const byText = new make<object, unknown, string>(identity(log), {
      cacheKeyFn: (key) => JSON.stringify(Object.entries(key).sort()),
    });
    byText.prime({ id: 5 }, 'five');
    await Promise.all([byText.load(a), byText.load(b), byText.load({ id: 5 })].map((load, i) => log.watch(`${i}`, load)));
    byText.clear(b);
    await log.watch('again', byText.load(a));
  },
  'batch: false; cache: false and cacheMap: null repeat duplicates and ask no key function': async (make, log) => {
    for (const options of [{ batch: false }, { batch: false, maxBatchSize: 5 }, { cache: false }, { cacheMap: null }]) {
      const loader = new make<number, number>(identity(log) as never, {
        ...options,
        cacheKeyFn: (key) => {
          log.add('key', key);
          return key;
        },
      });
      loader.prime(1, 100).clear(2).clearAll();
      await Promise.all([1, 2, 1, 1].map((key, i) => log.watch(`${JSON.stringify(options)}${i}`, loader.load(key))));
    }
  },
  'clearAll inside the batch function': async (make, log) => {
    const loader = new make<number, number>(async (keys) => {
      loader.clearAll();
      log.add('batch', [...keys]);
      return [...keys];
    });
    for (let i = 0; i < 2; i++) await Promise.all([1, 2, 1].map((key) => log.watch(`${i}${key}`, loader.load(key))));
  },
  'a custom cacheMap is used as it is': async (make, log) => {
    const stash = new Map<string, Promise<string>>();
    const cacheMap = {
      get(key: string) {
        log.add('get', key);
        return stash.get(key);
      },
      set(key: string, value: Promise<string>) {
        log.add('set', key, value instanceof Promise);
        return stash.set(key, value);
      },
      delete(key: string) {
        log.add('delete', key);
        return stash.delete(key);
      },
      clear: () => log.add('clear'),
    };
    const loader = new make<string, string>(identity(log) as never, { cacheMap });
    await loader.loadMany(['a', 'b', 'a']);
    loader.prime('c', 'C').prime('a', 'A').clear('b').clearAll();
    await log.watch('b', loader.load('b'));
  },
  'a cacheMap that evicts what is in flight, throws, or returns nonsense': async (make, log) => {
    const last = new Map<string, Promise<string>>();
    const one = {
      get: (key: string) => last.get(key),
      set(key: string, value: Promise<string>) {
        last.clear();
        return last.set(key, value);
      },
      delete: (key: string) => last.delete(key),
      clear: () => last.clear(),
    };
    const bounded = new make<string, string>(identity(log) as never, { cacheMap: one });
    await Promise.all(['a', 'b', 'a'].map((key) => log.watch(key, bounded.load(key))));
    for (const broken of [
      { get: () => 'no promise' },
      {
        get: () => {
          throw new Error('get');
        },
      },
      {
        set: () => {
          throw new Error('set');
        },
      },
    ]) {
      const loader = new make<string, string>(identity(log) as never, { cacheMap: { ...one, ...broken } as never });
      log.attempt('load', () => void loader.load('z').then((value) => log.add('z', value)));
      log.attempt('prime', () => void loader.prime('z', 'y'));
      await tick();
    }
  },
  'a scheduler that dispatches by hand, at once, twice, or late': async (make, log) => {
    const callbacks: (() => void)[] = [];
    const manual = new make(identity(log), { batchScheduleFn: (callback) => callbacks.push(callback) });
    log.watch('a', manual.load('a'));
    log.watch('b', manual.load('b'));
    await tick();
    callbacks[0]!();
    callbacks[0]!();
    log.watch('c', manual.load('c'));
    await tick();
    callbacks[1]!();
    await tick();
    const atOnce = new make(identity(log), { batchScheduleFn: (callback) => callback() });
    log.watch('now', atOnce.load('now'));
    log.watch('next', atOnce.load('next'));
  },
  'loads inside promise jobs of any depth join; nextTick, setImmediate and timers do not': async (make, log) => {
    const loader = new make(identity(log));
    const deep = async (depth: number) => {
      for (let i = 0; i < depth; i++) await undefined;
      await log.watch(`${depth}`, loader.load(depth));
    };
    const loads = [0, 1, 5, 50].map(deep);
    process.nextTick(() => void log.watch('tick', loader.load('tick')));
    process.nextTick(() => process.nextTick(() => void log.watch('tick2', loader.load('tick2'))));
    setImmediate(() => void log.watch('immediate', loader.load('immediate')));
    await Promise.all(loads);
    await tick();
  },
  'a loader from a loader': async (make, log) => {
    const deep = new make<readonly string[], string[]>(async (batches) => {
      log.add(
        'deep',
        batches.map((keys) => keys.join('+')),
      );
      return batches.map((keys) => keys.map((key) => key.toUpperCase()));
    });
    const a = new make<string, string>(async (keys) => {
      log.add('a', [...keys]);
      return deep.load(keys);
    });
    const b = new make<string, string>(async (keys) => {
      log.add('b', [...keys]);
      return deep.load(keys);
    });
    const loads = [a.load('a1'), b.load('b1'), a.load('a2'), b.load('b2')];
    await Promise.all(loads.map((load, i) => log.watch(`${i}`, load)));
  },
  'follow-ups of hits and of fresh values fall into one batch': async (make, log) => {
    const loader = new make(identity(log));
    loader.prime('hit', 'hit');
    const follow = async (key: string) => log.watch(`${key}2`, loader.load(`${await loader.load(key)}2`));
    await Promise.all(['hit', 'fresh', 'other'].map(follow));
  },
  'reentrancy: loads from within the batch function and from settlements': async (make, log) => {
    let inner: Promise<unknown> | undefined;
    const loader = new make<number, number>((keys) => {
      log.add('batch', [...keys]);
      inner ??= log.watch('inner', loader.load(7));
      return Promise.resolve([...keys]);
    });
    await log.watch('outer', loader.load(1)).then(() => log.watch('after', loader.load(8)));
    await inner;
  },
  'the array of keys is the batch function’s to change': async (make, log) => {
    const sorted = new make<number, number>(async (keys) => (keys as number[]).sort());
    await Promise.all([3, 1, 2].map((key) => log.watch(`${key}`, sorted.load(key))));
    const shrunk = new make<number, number>(async (keys) => {
      (keys as number[]).length = 1;
      return [5];
    });
    void log.watch('s1', shrunk.load(1));
    void log.watch('s2', shrunk.load(2));
    await tick();
    const emptied = new make<number, number>(async (keys) => {
      (keys as number[]).length = 0;
      throw new Error('emptied');
    });
    void log.watch('e1', emptied.load(1));
    await tick();
  },
  'a batch function that answers with a thenable, values that are promises, and a foreign array-like': async (make, log) => {
    const thenable = { then: (resolve: (values: string[]) => void) => Promise.resolve().then(() => resolve(['t'])) };
    log.watch('thenable', new make<number, string>(() => thenable as never).load(1));
    const later = new make<number, number>(async (keys) => keys.map((key) => tick().then(() => key)) as never);
    await Promise.all([1, 2].map((key) => log.watch(`${key}`, later.load(key))));
    const like = new make<number, string>(async () => ({ length: 2, 0: 'x', 1: 'y' }));
    await Promise.all([1, 2].map((key) => log.watch(`like${key}`, like.load(key))));
  },
  'the asynchronous context is that of the first load of a batch': async (make, log) => {
    const storage = new AsyncLocalStorage<string>();
    const loader = new make<number, number>(async (keys) => {
      log.add('batch', [...keys], 'in', storage.getStore());
      return [...keys];
    });
    await Promise.all([storage.run('first', () => loader.load(1)), storage.run('second', () => loader.load(2))]);
  },
  'what a load rejects with is the very error': async (make, log) => {
    const error = new Error('shared');
    const loader = new make<number, number>(() => Promise.reject(error));
    const caught = await Promise.all([1, 2].map((key) => loader.load(key).catch((thrown: unknown) => thrown)));
    log.add(caught.map((thrown) => thrown === error));
  },
  'a subclass that overrides load and clear, a Proxy, and an heir': async (make, log) => {
    class Loud extends make<string, string> {
      override load(key: string) {
        log.add('load', key);
        return super.load(key);
      }
      override clear(key: string) {
        log.add('clear', key);
        return super.clear(key);
      }
    }
    const loud = new Loud(async (keys) => (keys.includes('bad') ? Promise.reject(new Error('bad')) : [...keys]));
    await log.watch('many', loud.loadMany(['a', 'b']));
    await log.watch('bad', loud.loadMany(['c', 'bad']));
    const proxy = new Proxy(new make<string, unknown>(identity(log)), {});
    await log.watch('proxy', proxy.load('p'));
    const heir = Object.create(new make<string, unknown>(identity(log))) as InstanceType<Make>;
    await log.watch('heir', heir.load('h') as Promise<unknown>);
  },
  'a batch function that is patched after construction, as tracing tools do': async (make, log) => {
    const loader = new make<string, unknown>(identity(log));
    const parts = loader as unknown as { _batchLoadFn: (keys: readonly string[]) => Promise<unknown[]> };
    const original = parts._batchLoadFn;
    parts._batchLoadFn = function (this: unknown, keys) {
      log.add('patched', this === loader);
      return original.call(this, keys);
    };
    await log.watch('a', loader.load('a'));
    log.add(Object.keys(loader), make.name, make.length);
  },
};

const misuse: Readonly<Record<string, Script>> = {
  'a constructor without a function': (make, log) => {
    for (const given of [undefined, null, {}, 'x', 5, [], Symbol('s'), { valueOf: () => 7, toString: () => 'text' }]) {
      log.attempt('new', () => new make(given as never));
    }
  },
  'load without a key': (make, log) => {
    const loader = new make(identity(log));
    for (const key of [undefined, null]) log.attempt('load', () => loader.load(key as never));
    for (const key of [0, '', false, Number.NaN]) log.watch(`${key}`, loader.load(key));
  },
  'loadMany without a list, and with holes': (make, log) => {
    const loader = new make(identity(log));
    for (const keys of [
      undefined,
      null,
      5,
      'ab',
      {},
      { length: 1 },
      { length: -1 },
      { length: '1' },
      [1, null, 3],
      new Set([1]),
    ]) {
      log.attempt('loadMany', () => loader.loadMany(keys as never));
    }
    log.attempt('spread', () => (loader.loadMany as unknown as (...keys: number[]) => unknown)(1, 2));
  },
  'batch functions that break their contract': async (make, log) => {
    const broken: (() => unknown)[] = [
      () => nothing,
      () => null,
      () => 'value',
      () => [1, 2],
      () => ({ then: 'no' }),
      () => {
        throw new Error('at once');
      },
      () => {
        throw 'a string';
      },
      async () => nothing,
      async () => null,
      async () => 'ab',
      async () => new Map([[1, 1]]),
      async () => [1],
      async () => [1, 2, 3],
      async () => [],
      async () => ({ length: 2 }),
      async () => Promise.reject(nothing),
      () => Promise.reject('reason'),
      async () => [nothing, new Error('second')],
    ];
    for (const [i, batchFn] of broken.entries()) {
      const loader = new make<number, number>(batchFn as never);
      await Promise.allSettled([1, 2].map((key) => log.watch(`${i}/${key}`, loader.load(key))));
      loader.prime(3, 3);
      await Promise.allSettled([1, 3].map((key) => log.watch(`${i}/again${key}`, loader.load(key))));
    }
  },
  'wrong options': (make, log) => {
    const wrong: object[] = [
      ...[null, 0, -1, '2', Number.NEGATIVE_INFINITY, {}, { valueOf: () => 3 }].map((maxBatchSize) => ({ maxBatchSize })),
      { batch: false, maxBatchSize: -1 },
      ...[null, 5, 'fn', {}].map((batchScheduleFn) => ({ batchScheduleFn })),
      ...[null, 5, 'fn', {}].map((cacheKeyFn) => ({ cacheKeyFn })),
      ...[{}, { get: () => {} }, { set: () => {}, get: () => {}, clear: () => {} }, 'map', 0, '', false].map((cacheMap) => ({
        cacheMap,
      })),
      { cache: false, cacheMap: {} },
      { maxBatchSize: 0, cacheKeyFn: 5, cacheMap: {} },
      { cacheKeyFn: 5, cacheMap: {} },
    ];
    for (const options of wrong) log.attempt('new', () => void new make(identity(log), options as never));
    for (const options of [null, undefined, {}, 0, '']) log.attempt('fine', () => void new make(identity(log), options as never));
  },
};

describe('the drop-in does what dataloader 2.2.3 does', () => {
  it.each(Object.entries(cases))('%s', async (_, script) => {
    const { original, ours } = await both(script);
    expect(ours).toEqual(original);
    expect(ours.length).toBeGreaterThan(0);
  });
});

describe('the drop-in complains as dataloader 2.2.3 does, word for word', () => {
  it.each(Object.entries(misuse))('%s', async (_, script) => {
    const { original, ours } = await both(script);
    expect(ours).toEqual(original);
    expect(ours.length).toBeGreaterThan(0);
  });
});
