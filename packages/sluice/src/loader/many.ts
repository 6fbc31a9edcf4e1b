/** Many: calls for many keys at once. One promise for all of them, for a promise a key is what such a call would cost most. */

import { failure, type SluiceError, shorten } from '../core/errors.js';
import type { CallOptions, KeyEngine } from './key-engine.js';
import { type Told, Waiter } from './key-item.js';

/** All values in key order; rejects with the first failure. With `finds`, `undefined` where there is no such key. */
export function loadAll<K, V>(
  engine: KeyEngine<K, V>,
  keys: readonly K[],
  finds: boolean,
  options: CallOptions | undefined,
): Promise<V[]> {
  return gather<K, V, V[]>(engine, keys, finds, options, (values, resolve, reject) => {
    let left = keys.length;
    return {
      resolve: (value, place) => {
        values[place] = value as V;
        if (--left === 0) resolve(values as V[]);
      },
      reject,
    };
  });
}

/** What became of each key, in key order. */
export function loadEach<K, V>(
  engine: KeyEngine<K, V>,
  keys: readonly K[],
  options: CallOptions | undefined,
): Promise<PromiseSettledResult<V>[]> {
  return gather<K, V, PromiseSettledResult<V>[]>(engine, keys, false, options, (values, resolve) => {
    let left = keys.length;
    const put = (result: PromiseSettledResult<V>, place: number) => {
      values[place] = result;
      if (--left === 0) resolve(values as PromiseSettledResult<V>[]);
    };
    return {
      resolve: (value, place) => put({ status: 'fulfilled', value: value as V }, place),
      reject: (reason, place) => put({ status: 'rejected', reason }, place),
    };
  });
}

/** Asks for keys, and tells nobody. */
export function prefetch<K, V>(engine: KeyEngine<K, V>, keys: readonly K[], options: CallOptions | undefined): void {
  for (const key of keys) engine.join(key, new Waiter<K, V>(nobody, true), options);
}

const nobody: Told<unknown> = { prefetches: true, resolve: () => {}, reject: () => {} };

function gather<K, V, R extends unknown[]>(
  engine: KeyEngine<K, V>,
  keys: readonly K[],
  finds: boolean,
  options: CallOptions | undefined,
  teller: (results: unknown[], resolve: (results: R) => void, reject: (reason: SluiceError) => void) => Told<V>,
): Promise<R> {
  return new Promise((resolve, reject) => {
    if (!Array.isArray(keys)) {
      const message = `the keys must come as an array; got ${shorten(keys)}.`;
      return reject(failure(message, { code: 'INVALID_KEY', class: 'rejected' }));
    }
    const results = new Array<unknown>(keys.length);
    if (keys.length === 0) return resolve(results as R);
    const told = teller(results, resolve, reject);
    for (let place = 0; place < keys.length; place++) {
      engine.join(keys[place]!, new Waiter<K, V>(told, finds, place), options);
    }
  });
}
