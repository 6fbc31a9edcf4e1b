/** Loader: many `load(key)` from anywhere in the process, few calls of the batch function. */

import type { Dispatcher, Layer } from '../core/dispatcher.js';
import { invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { stack } from '../core/stack.js';
import type { Window } from '../core/window.js';
import type { DrainReport } from '../engine/engine.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import { limit } from '../layers/limit.js';
import { timeout } from '../layers/timeout.js';
import { type BatchFunction, batchDispatcher } from './batch-call.js';
import { type CallOptions, KeyEngine, type LoaderStats } from './key-engine.js';
import { Waiter } from './key-item.js';

/** Values that are told apart by themselves, as a `Map` does it (so that `NaN` is a fine key, and 0 is -0). */
export type PrimitiveKey = string | number | bigint | boolean | symbol;

/** Options of {@link createLoader}. */
export interface LoaderOptions<K, V = unknown> {
  /** Tells object keys apart: a primitive that is equal for equal keys. Needed where keys are objects; default: the key itself. */
  readonly keyBy?: (key: K) => PrimitiveKey;
  /** Names it in events and messages. Default `'loader'`. */
  readonly name?: string;
  /**
   * When a batch is due. Default `'tick'`: when this turn of the event loop and its promise jobs are done, so that everything asked
   * for in one turn goes out together and nobody waits for a timer.
   */
  readonly window?: Window;
  /**
   * Keys a batch, 1 or more. A full batch leaves at once. Default 1,000: a list of that length is taken by every database, and
   * beyond it a call gains little.
   */
  readonly maxItems?: number;
  /** Calls of the batch function that run at once, 1 or more. While all run, the open batch grows. Default 1,000. */
  readonly maxInFlight?: number;
  /** Calls that wait at most, for keys held or in flight; one more is refused with `OVERLOADED`. Default 100,000. */
  readonly maxHeldWaiters?: number;
  /** Keys held at most: open, in flight, waiting for a retry, abandoned. Default: `maxHeldWaiters`. */
  readonly maxHeldKeys?: number;
  /** Longest time that one call of the batch function may take, in milliseconds, 1 or more; `Infinity` for no bound. Default 30,000. */
  readonly timeoutMs?: number;
  /** Calls that may still run after their time-out; then no new one starts until one has ended. Default: `maxInFlight`. */
  readonly maxAbandoned?: number;
  /** Policies above the limit of `maxInFlight` and the time-out, outermost first, such as `[retry()]`. Default none. */
  readonly layers?: readonly Layer<K, V>[];
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

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
  stats(): LoaderStats;
}

/** The value type of a batch function's entries. */
type ValueOf<E> = Exclude<E, Error | undefined>;

const optionNames = 'keyBy name window maxItems maxInFlight maxHeldWaiters maxHeldKeys timeoutMs maxAbandoned layers env'.split(
  ' ',
);

/**
 * Makes a loader of a batch function, which gets the distinct keys in order of arrival and returns a `Map`, or an array with one
 * entry per key in key order. An `Error` as entry fails that key alone; `undefined`, or no entry in the map, means that there is no
 * such key. A batch function that throws, rejects, or returns anything else fails every key of the batch. It runs in the
 * asynchronous context in which the loader was made.
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
  checkNames('createLoader', options, optionNames);
  if (typeof batchFn !== 'function') throw invalidOption('createLoader needs a batch function: (keys) => Map or array.');
  const { keyBy } = options;
  if (keyBy !== undefined && typeof keyBy !== 'function') throw invalidOption('createLoader: keyBy must be a function.');
  const engine = engineOf(batchFn, options, options.env ?? systemEnv());

  const wait = <R>(key: K, finds: boolean, callOptions: CallOptions | undefined): Promise<R> => {
    const promise = new Promise<R>(capture as (resolve: (value: R) => void, reject: (reason: unknown) => void) => void);
    engine.join(key, new Waiter<K, V>(captured.resolve, captured.reject, finds), callOptions);
    return promise;
  };
  const close = ({ deadlineMs }: { readonly deadlineMs?: number } = {}) =>
    engine.close(numberOption('close.deadlineMs', deadlineMs, 30_000, { least: 0, infinite: true }));

  return {
    load: (key, callOptions) => wait<V>(key, false, callOptions),
    find: (key, callOptions) => wait<V | undefined>(key, true, callOptions),
    loadMany: (keys, callOptions) => Promise.all(keys.map((key) => wait<V>(key, false, callOptions))),
    loadSettled: (keys, callOptions) => Promise.allSettled(keys.map((key) => wait<V>(key, false, callOptions))),
    flush: () => engine.flush(),
    close,
    stats: () => engine.stats(),
    async [Symbol.asyncDispose]() {
      await close();
    },
  };
}

/** One function for every promise, in place of a closure each: the constructor calls it before it returns. */
const captured: { resolve: (value: unknown) => void; reject: (reason: SluiceError) => void } = {
  resolve: () => {},
  reject: () => {},
};

function capture(resolve: (value: unknown) => void, reject: (reason: unknown) => void): void {
  captured.resolve = resolve;
  captured.reject = reject;
}

function engineOf<K, V>(batchFn: BatchFunction<K, V>, options: LoaderOptions<K, V>, env: Env): KeyEngine<K, V> {
  const at = (name: string) => `createLoader: ${name}`;
  const count = { least: 1, whole: true, infinite: true };
  const maxInFlight = numberOption(at('maxInFlight'), options.maxInFlight, 1000, count);
  const maxHeldWaiters = numberOption(at('maxHeldWaiters'), options.maxHeldWaiters, 100_000, count);
  const timeoutMs = numberOption(at('timeoutMs'), options.timeoutMs, 30_000, { least: 1, infinite: true });
  const maxAbandoned = numberOption(at('maxAbandoned'), options.maxAbandoned, maxInFlight, count);
  const layers = [...(options.layers ?? []), limit<K, V>({ maxInFlight }), timeout<K, V>({ timeoutMs, maxAbandoned })];
  return new KeyEngine<K, V>({
    name: options.name ?? 'loader',
    env,
    window: options.window ?? 'tick',
    maxItems: numberOption(at('maxItems'), options.maxItems, 1000, count),
    maxHeldWaiters,
    maxHeldKeys: numberOption(at('maxHeldKeys'), options.maxHeldKeys, maxHeldWaiters, count),
    maxHeldBytes: Number.POSITIVE_INFINITY,
    keyBy: options.keyBy,
    dispatcher: (engineEnv): Dispatcher<K, V> => stack(layers, batchDispatcher(batchFn, engineEnv, options.keyBy), engineEnv),
  });
}
