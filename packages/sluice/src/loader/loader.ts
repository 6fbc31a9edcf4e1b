/** Loader: many `load(key)` from anywhere in the process, few calls of the batch function. */

import { failure, type SluiceError, shorten } from '../core/errors.js';
import { numberOption } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import { layersIn, stack } from '../core/stack.js';
import type { DrainReport } from '../engine/engine.js';
import { systemEnv } from '../env/system.js';
import { limit } from '../layers/limit.js';
import { timeout } from '../layers/timeout.js';
import { type BatchFunction, batchDispatcher, earlyStands } from './batch-call.js';
import { Cache, type CacheStats } from './cache.js';
import { KeyEngine, type LoaderStats } from './key-engine.js';
import { type KeyItem, Waiter } from './key-item.js';
import type { CallOptions } from './leaving.js';
import { checkLoader, type LoaderOptions, type PrimitiveKey } from './loader-options.js';
import { loadAll, loadEach, prefetch } from './many.js';

/**
 * Loads values by key, in batches.
 *
 * A key that several ask for before it is dispatched is asked for once, and they share the value, the same object. A key that is
 * asked for after that goes into the next batch: no caller gets a value that was read before it asked.
 */
export interface Loader<K, V> extends AsyncDisposable {
  /**
   * The value of a key. The promise follows the rules of promises: a rejection that nobody handles is reported as unhandled.
   *
   * @throws SluiceError `KEY_NOT_FOUND` (with `.key`), the key's or the batch's own failure, `TIMEOUT`, `CANCELLED`, `OVERLOADED`,
   * `CLOSED`, `INVALID_KEY`. Each caller gets an error object of its own, whose `cause` is the failure that all share.
   */
  load(key: K, options?: CallOptions): Promise<V>;
  /** The value of a key, or `undefined` where there is none. Rejects as {@link Loader.load} does otherwise. */
  find(key: K, options?: CallOptions): Promise<V | undefined>;
  /** The values of many keys, in their order. Rejects with the first failure, as `Promise.all` does. */
  loadMany(keys: readonly K[], options?: CallOptions): Promise<V[]>;
  /** What became of many keys, in their order, as `Promise.allSettled` tells it. Never rejects. */
  loadSettled(keys: readonly K[], options?: CallOptions): Promise<PromiseSettledResult<V>[]>;
  /** The values of those keys that there are. Rejects as {@link Loader.loadMany} does otherwise. */
  loadMap(keys: readonly K[], options?: CallOptions): Promise<Map<K, V>>;
  /** Asks for keys that will be wanted: fills the cache, or the open batch. Tells nobody, failures neither; they are counted. */
  prefetch(keys: readonly K[], options?: CallOptions): void;
  /**
   * Puts what is known to be newest into the cache, in place of what is there; a call in flight for that key does not overwrite it.
   * An `Error` is kept for `errorTtlMs`. Does nothing without a cache.
   *
   * @throws SluiceError `INVALID_KEY`
   */
  prime(key: K, value: V | Error): void;
  /** Takes a key out of the cache. A call in flight for it is neither joined nor cached any more. Does nothing without a cache. */
  clear(key: K): void;
  /** As {@link Loader.clear}, for every key. */
  clearAll(): void;
  /**
   * A loader of its own with the same options: its own batches, cache and bounds, made in the asynchronous context of this call. One
   * for each request keeps requests apart, as runtimes ask for that forbid I/O on behalf of another request. Close it by itself.
   *
   * @param options replace those of this loader.
   */
  scope(options?: LoaderOptions<K, V>): Loader<K, V>;
  /** Cuts now; resolves once every call made before it is settled. Never rejects. */
  flush(): Promise<void>;
  /**
   * Accepts no more, dispatches what is held, and waits for it. Idempotent: the first call's promise.
   *
   * @param options `deadlineMs`: how long to wait, in milliseconds, default 30,000. Calls that are unsettled then reject with
   * `SHUTDOWN_TIMEOUT`, and the report counts them. The report is in calls.
   */
  close(options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  /** The balance at this instant: in calls, and under `keys` in keys. A call that left is `cancelled`, its own `timeoutMs` included. */
  stats(): LoaderStats & { readonly cache?: CacheStats };
}

/** The value type of a batch function's entries. */
type ValueOf<E> = Exclude<E, Error | undefined>;

/**
 * Makes a loader of a batch function, which gets the distinct keys in order of arrival and returns a `Map`, or an array with one
 * entry per key in key order, or an async iterable of `[key, entry]`, each told as it comes. An `Error` as entry fails that key alone;
 * `undefined`, or no entry, means that there is no such key. A batch function that throws, rejects, or returns anything else fails
 * every key of the batch that was not told before. It runs in the asynchronous context in which the loader was made.
 *
 * @example
 * const users = createLoader(async (ids: readonly number[]) => new Map((await db.users(ids)).map((user) => [user.id, user])));
 * const ann = await users.load(7);
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function createLoader<K extends PrimitiveKey, E>(
  batchFn: BatchFunction<K, E>,
  options?: LoaderOptions<K, ValueOf<E>>,
): Loader<K, ValueOf<E>>;
export function createLoader<K, E>(
  batchFn: BatchFunction<K, E>,
  options: LoaderOptions<K, ValueOf<E>> & { readonly keyBy: (key: K) => PrimitiveKey },
): Loader<K, ValueOf<E>>;
export function createLoader<K, V>(batchFn: BatchFunction<K, V>, options: LoaderOptions<K, V> = {}): Loader<K, V> {
  return loaderOf(batchFn, options);
}

function loaderOf<K, V>(batchFn: BatchFunction<K, V>, options: LoaderOptions<K, V>): Loader<K, V> {
  checkLoader(batchFn, options);
  const engine = engineOf(batchFn, options);

  const wait = <R>(key: K, finds: boolean, callOptions: CallOptions | undefined): Promise<R> =>
    new Promise((resolve, reject) => {
      engine.join(key, new Waiter<K, V>(resolve as (value: V | undefined) => void, reject, finds), callOptions);
    });
  const close = ({ deadlineMs }: { readonly deadlineMs?: number } = {}) =>
    engine.close(numberOption('close.deadlineMs', deadlineMs, 30_000, { least: 0, infinite: true }));

  return {
    load: (key, callOptions) => (callOptions === undefined ? engine.load(key) : wait<V>(key, false, callOptions)),
    find: (key, callOptions) => wait<V | undefined>(key, true, callOptions),
    loadMany: (keys, callOptions) => loadAll(engine, keys, false, callOptions),
    loadSettled: (keys, callOptions) => loadEach(engine, keys, callOptions),
    async loadMap(keys, callOptions) {
      const values: readonly (V | undefined)[] = await loadAll(engine, keys, true, callOptions);
      const found = new Map<K, V>();
      values.forEach((value, i) => {
        if (value !== undefined) found.set(keys[i]!, value);
      });
      return found;
    },
    prefetch: (keys, callOptions) => prefetch(engine, keys, callOptions),
    prime: (key, value) => engine.prime(key, value),
    clear: (key) => engine.clear(key),
    clearAll: () => engine.clearAll(),
    scope: (more) => loaderOf(batchFn, { ...options, ...more }),
    flush: () => engine.flush(),
    close,
    stats: () => engine.stats(),
    async [Symbol.asyncDispose]() {
      await close();
    },
  };
}

function engineOf<K, V>(batchFn: BatchFunction<K, V>, options: LoaderOptions<K, V>): KeyEngine<K, V> {
  const number = (name: keyof LoaderOptions<K, V>, fallback: number, whole = true) =>
    numberOption(`createLoader: ${name}`, options[name] as number | undefined, fallback, { least: 1, whole, infinite: true });
  const { keyBy, cost, partition } = options;
  const maxInFlight = number('maxInFlight', 1000);
  const maxHeldWaiters = number('maxHeldWaiters', 100_000);
  const bounds = { timeoutMs: number('timeoutMs', 30_000, false), maxAbandoned: number('maxAbandoned', maxInFlight) };
  const layers = [
    earlyStands<K, V>(() => engine.tellsEarly),
    ...layersIn(options.layers),
    limit<K, V>({ maxInFlight }),
    timeout<K, V>(bounds),
  ];
  const [name, env] = [options.name ?? 'loader', options.env ?? systemEnv()];
  const watch = options.cycles?.watch({ name, maxInFlight, observe: (event) => engine.observe(event) });
  const cycles = watch === undefined ? {} : { cycles: watch };
  const engine: KeyEngine<K, V> = new KeyEngine<K, V>({
    name,
    env,
    ...cycles,
    window: options.window ?? 'tick',
    maxItems: number('maxItems', 1000),
    maxBytes: number('maxCost', Number.POSITIVE_INFINITY, false),
    maxHeldWaiters,
    maxHeldKeys: number('maxHeldKeys', maxHeldWaiters),
    maxHeldBytes: Number.POSITIVE_INFINITY,
    keyBy,
    ...(options.cache === undefined ? {} : { cache: new Cache<V>(options.cache) }),
    ...(cost === undefined ? {} : { bytesOf: (key) => checkedCost(cost(key), key) }),
    tellAll: (items) => {
      for (const item of items) item.tell();
    },
    ...(partition === undefined ? {} : { partitionOf: partition, split: byPartition }),
    dispatcher: (engineEnv) => {
      const early = (item: KeyItem<K, V>, outcome: Outcome<V>) => engine.settleEarly(item, outcome);
      return stack(layers, batchDispatcher({ batchFn, env: engineEnv, keyBy, early, ...cycles }), engineEnv);
    },
  });
  return engine;
}

function checkedCost(cost: unknown, key: unknown): number | SluiceError {
  if (typeof cost === 'number' && cost >= 0 && Number.isFinite(cost)) return cost;
  const message = `invalid key: cost must return a number, 0 or more; it returned ${shorten(cost)}.`;
  return failure(message, { code: 'INVALID_KEY', class: 'rejected', key });
}

function byPartition<K, V>(items: readonly KeyItem<K, V>[]): KeyItem<K, V>[][] {
  const parts = new Map<unknown, KeyItem<K, V>[]>();
  for (const item of items) {
    const part = parts.get(item.partition);
    if (part === undefined) parts.set(item.partition, [item]);
    else part.push(item);
  }
  return [...parts.values()];
}
