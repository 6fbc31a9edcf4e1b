/** The options of DataLoader: the checks and the very sentences of the original, which its users' tests know. */

import { afterTurn } from '../env/system.js';
import type { DataLoader } from './dataloader.js';

/** What every complaint about the batch function begins with. */
export const contract =
  'DataLoader must be constructed with a function which accepts Array<key> and returns Promise<Array<value>>';

type Given<K, V, C> = DataLoader.Options<K, V, C> | null | undefined;

/** @throws TypeError when it is no function. */
export function batchLoadFnOf<F>(batchLoadFn: F): F {
  if (typeof batchLoadFn !== 'function') throw new TypeError(`${contract}, but got: ${text(batchLoadFn)}.`);
  return batchLoadFn;
}

/** @throws TypeError when it is no number above 0. */
export function maxBatchSizeOf<K, V, C>(options: Given<K, V, C>): number {
  if (options && options.batch === false) return 1;
  const maxBatchSize = optionOf(options, 'maxBatchSize');
  if (maxBatchSize === undefined) return Number.POSITIVE_INFINITY;
  if (typeof maxBatchSize !== 'number' || maxBatchSize < 1) {
    throw new TypeError(`maxBatchSize must be a positive number: ${text(maxBatchSize)}`);
  }
  return maxBatchSize;
}

/** @throws TypeError when it is no function. */
export function scheduleFnOf<K, V, C>(options: Given<K, V, C>): (callback: () => void) => void {
  const scheduleFn = optionOf(options, 'batchScheduleFn');
  if (scheduleFn === undefined) return afterTurn;
  if (typeof scheduleFn !== 'function') throw new TypeError(`batchScheduleFn must be a function: ${text(scheduleFn)}`);
  return scheduleFn;
}

/** @throws TypeError when it is no function. */
export function cacheKeyFnOf<K, V, C>(options: Given<K, V, C>): (key: K) => C {
  const cacheKeyFn = optionOf(options, 'cacheKeyFn');
  if (cacheKeyFn === undefined) return (key) => key as unknown as C;
  if (typeof cacheKeyFn !== 'function') throw new TypeError(`cacheKeyFn must be a function: ${text(cacheKeyFn)}`);
  return cacheKeyFn;
}

/** @throws TypeError when it lacks a method. */
export function cacheMapOf<K, V, C>(options: Given<K, V, C>): DataLoader.CacheMap<C, Promise<V>> | null {
  if (options && options.cache === false) return null;
  const cacheMap = optionOf(options, 'cacheMap');
  if (cacheMap === undefined) return new Map<C, Promise<V>>();
  // As the original: anything false, not only null, stands for no cache.
  if (!cacheMap) return cacheMap;
  const missing = (['get', 'set', 'delete', 'clear'] as const).filter((name) => typeof cacheMap[name] !== 'function');
  if (missing.length > 0) throw new TypeError(`Custom cacheMap missing methods: ${missing.join(', ')}`);
  return cacheMap;
}

/** Anything false is no name. */
export function nameOf<K, V, C>(options: Given<K, V, C>): string | null {
  return options?.name || null;
}

/** As the original reads it: options that are false themselves, but not `undefined`, are no value that any option takes. */
function optionOf<O extends object, N extends keyof O>(options: O | null | undefined, name: N): O[N] | undefined {
  return options ? options[name] : (options as undefined);
}

/** Whether it can be read by index up to its length. */
export function isArrayLike(value: unknown): value is ArrayLike<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const { length } = value as { length?: unknown };
  return typeof length === 'number' && (length === 0 || (length > 0 && Object.hasOwn(value, length - 1)));
}

/** A value as the original writes it into a message: `+` asks an object for its value first, a template for its text. */
export function text(value: unknown): string {
  // biome-ignore lint/style/useTemplate: see above.
  return (value as string) + '';
}
