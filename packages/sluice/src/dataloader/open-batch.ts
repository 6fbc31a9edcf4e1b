/** OpenBatch: the keys of one call, who waits for them, and the hits that are told with them. */

import { contract, isArrayLike } from './options.js';

/** What a batch needs of its loader at dispatch: looked up then, for both may have been patched by then. */
export interface Patchable<K, V> {
  _batchLoadFn(keys: readonly K[]): PromiseLike<ArrayLike<V | Error>>;
  clear(key: K): unknown;
}

interface Waiter<V> {
  readonly resolve: (value: V) => void;
  readonly reject: (reason: unknown) => void;
}

/** One batch, from its first key to its last settlement. A class: there is one on the path of every load. */
export class OpenBatch<K, V> {
  /** The very array that the batch function gets. */
  readonly keys: K[] = [];
  hasDispatched = false;
  readonly #waiters: Waiter<V>[] = [];
  #hits: (() => void)[] | undefined;

  add(key: K): Promise<V> {
    this.keys.push(key);
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** A cached promise, told no earlier than this batch is: so that what follows upon several loads falls into one batch again. */
  hit(cached: Promise<V>): Promise<V> {
    this.#hits ??= [];
    const hits = this.#hits;
    return new Promise((resolve) => hits.push(() => resolve(cached)));
  }

  dispatch(loader: Patchable<K, V>): void {
    this.hasDispatched = true;
    if (this.keys.length === 0) {
      this.#tellHits();
      return;
    }
    let answer: PromiseLike<ArrayLike<V | Error>>;
    try {
      answer = loader._batchLoadFn(this.keys);
    } catch (thrown) {
      this.#fail(loader, new TypeError(`${contract}, but the function errored synchronously: ${String(thrown)}.`));
      return;
    }
    if (!answer || typeof answer.then !== 'function') {
      this.#fail(loader, new TypeError(`${contract}, but the function did not return a Promise: ${String(answer)}.`));
      return;
    }
    // Two steps, not one: what a wrong answer throws, or a thenable, takes the way of a rejection, one promise job later.
    (answer.then((values) => this.#settle(values)) as Promise<void>).catch((error: unknown) => this.#fail(loader, error));
  }

  #settle(values: ArrayLike<V | Error>): void {
    const problem = `${contract}, but the function did not return a Promise of an Array`;
    if (!isArrayLike(values)) throw new TypeError(`${problem}: ${String(values)}.`);
    if (values.length !== this.keys.length) {
      throw new TypeError(
        `${problem} of the same length as the Array of keys.\n\nKeys:\n${String(this.keys)}\n\nValues:\n${String(values)}`,
      );
    }
    this.#tellHits();
    for (let i = 0; i < this.#waiters.length; i++) {
      const value = values[i] as V | Error;
      if (value instanceof Error) this.#waiters[i]!.reject(value);
      else this.#waiters[i]!.resolve(value);
    }
  }

  /** A batch that fails is not cached; what was cached before is told all the same. */
  #fail(loader: Patchable<K, V>, error: unknown): void {
    this.#tellHits();
    for (let i = 0; i < this.keys.length; i++) {
      loader.clear(this.keys[i]!);
      this.#waiters[i]!.reject(error);
    }
  }

  #tellHits(): void {
    if (this.#hits !== undefined) for (const tell of this.#hits) tell();
  }
}
