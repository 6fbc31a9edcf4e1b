/** DataLoader: behaves as `dataloader` 2.2.3 does, in every respect that its users can observe. */

import { OpenBatch, type Patchable } from './open-batch.js';
import { batchLoadFnOf, cacheKeyFnOf, cacheMapOf, isArrayLike, maxBatchSizeOf, nameOf, scheduleFnOf, text } from './options.js';

/**
 * A drop-in for the class of `dataloader` 2.2.3: the same options, results, order of settlement and messages.
 *
 * It stands on no engine, because its contract is another one: its cache holds promises for ever, a hit waits for the batch that
 * it arrived with, chunks of `maxBatchSize` go out all at once, and nothing is bounded in time or number. Kept with it is what its
 * users may rely on, though we would not do it again: the batch function runs in the asynchronous context of the batch's first
 * `load`, and a batch that fails clears its keys whatever they have come to hold since. `createLoader` does neither.
 *
 * The one visible difference: it is a class of ES2015, and cannot be called without `new`.
 *
 * A class, as the original is: it is extended, and its members are patched by tracing tools.
 *
 * @example
 * const users = new DataLoader(async (ids: readonly number[]) => await db.users(ids));
 * const ann = await users.load(7);
 */
export class DataLoader<K, V, C = K> {
  // Named and ordered as the original's are, and not #private: tracing tools patch them, and a Proxy must not break them.
  // biome-ignore lint/correctness/noUnusedPrivateClassMembers: the batch calls it, as it is then.
  private readonly _batchLoadFn: DataLoader.BatchLoadFn<K, V>;
  private readonly _maxBatchSize: number;
  private readonly _batchScheduleFn: (callback: () => void) => void;
  private readonly _cacheKeyFn: (key: K) => C;
  private readonly _cacheMap: DataLoader.CacheMap<C, Promise<V>> | null;
  private _batch: OpenBatch<K, V> | null;
  /** The name given in the options, or `null`. For tracing. */
  name: string | null;

  /**
   * @param batchLoadFn gets the keys, and promises an array with one entry a key, in their order; an `Error` fails its key alone.
   * @throws TypeError when it is no function, or an option is wrong.
   */
  constructor(batchLoadFn: DataLoader.BatchLoadFn<K, V>, options?: DataLoader.Options<K, V, C>) {
    this._batchLoadFn = batchLoadFnOf(batchLoadFn);
    this._maxBatchSize = maxBatchSizeOf(options);
    this._batchScheduleFn = scheduleFnOf(options);
    this._cacheKeyFn = cacheKeyFnOf(options);
    this._cacheMap = cacheMapOf(options);
    this._batch = null;
    this.name = nameOf(options);
  }

  /**
   * The value of a key. The same promise for the same key as long as it is cached.
   *
   * @throws TypeError when the key is `null` or `undefined`.
   */
  load(key: K): Promise<V> {
    if (key === null || key === undefined) {
      throw new TypeError(`The loader.load() function must be called with a value, but got: ${String(key)}.`);
    }
    const batch = this._openBatch();
    const cacheMap = this._cacheMap;
    if (!cacheMap) return batch.add(key);
    const cacheKey = this._cacheKeyFn(key);
    const cached = cacheMap.get(cacheKey);
    if (cached) return batch.hit(cached);
    const promise = batch.add(key);
    cacheMap.set(cacheKey, promise);
    return promise;
  }

  /**
   * The values of many keys, in their order, an `Error` where one failed. Never rejects.
   *
   * @throws TypeError when `keys` is no array, or holds `null` or `undefined`.
   */
  loadMany(keys: ArrayLike<K>): Promise<Array<V | Error>> {
    if (!isArrayLike(keys)) {
      throw new TypeError(`The loader.loadMany() function must be called with Array<key> but got: ${text(keys)}.`);
    }
    const loads: Promise<V | Error>[] = [];
    // Indexed, and `this.load`: array-likes are welcome, and a subclass may load in its own way.
    for (let i = 0; i < keys.length; i++) loads.push(this.load(keys[i]!).catch((error: Error) => error));
    return Promise.all(loads);
  }

  /** Takes a key out of the cache. Returns the loader. */
  clear(key: K): this {
    const cacheMap = this._cacheMap;
    if (cacheMap) cacheMap.delete(this._cacheKeyFn(key));
    return this;
  }

  /** Empties the cache. Returns the loader. */
  clearAll(): this {
    const cacheMap = this._cacheMap;
    if (cacheMap) cacheMap.clear();
    return this;
  }

  /** Puts a value, a promise of one, or an `Error` into the cache, unless the key is there already. Returns the loader. */
  prime(key: K, value: V | PromiseLike<V> | Error): this {
    const cacheMap = this._cacheMap;
    if (!cacheMap) return this;
    const cacheKey = this._cacheKeyFn(key);
    if (cacheMap.get(cacheKey) !== undefined) return this;
    let promise: Promise<V>;
    if (value instanceof Error) {
      promise = Promise.reject(value);
      // Primed on purpose: only a load of it may be unhandled.
      promise.catch(() => {});
    } else {
      promise = Promise.resolve(value);
    }
    cacheMap.set(cacheKey, promise);
    return this;
  }

  private _openBatch(): OpenBatch<K, V> {
    const open = this._batch;
    if (open !== null && !open.hasDispatched && open.keys.length < this._maxBatchSize) return open;
    const batch = new OpenBatch<K, V>();
    this._batch = batch;
    // A method call, so that the scheduler has the loader as `this`.
    this._batchScheduleFn(() => batch.dispatch(this as unknown as Patchable<K, V>));
    return batch;
  }
}

/** The types of the original's namespace, so that annotations need no change. */
export declare namespace DataLoader {
  /** A `Map`, or what has these four of its methods. */
  export type CacheMap<K, V> = {
    get(key: K): V | void;
    set(key: K, value: V): unknown;
    delete(key: K): unknown;
    clear(): unknown;
  };
  /** Loads many keys: one entry a key, in their order. */
  export type BatchLoadFn<K, V> = (keys: ReadonlyArray<K>) => PromiseLike<ArrayLike<V | Error>>;
  /** Options of the constructor. */
  export type Options<K, V, C = K> = {
    /** `false`: one key a batch. Default true. */
    batch?: boolean;
    /** Keys a batch at most, more than 0. Default `Infinity`. */
    maxBatchSize?: number;
    /** Calls back when the batch is to go. Default: when this turn and its promise jobs are done. */
    batchScheduleFn?: (callback: () => void) => void;
    /** `false`: no cache, and no deduplication either. Default true. */
    cache?: boolean;
    /** What a key is told apart by in the cache. Default: itself. */
    cacheKeyFn?: (key: K) => C;
    /** Default a new `Map`; `null` for no cache. */
    cacheMap?: CacheMap<C, Promise<V>> | null;
    /** For tracing. Default `null`. */
    name?: string | null;
  };
}
