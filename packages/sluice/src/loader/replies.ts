/** Replies: what a batch function answers, by whichever way, as one outcome a key. Nothing of it is believed. */

import type { Abortable } from '../core/aborter.js';
import { asFailure, failure, type SluiceError } from '../core/errors.js';
import { allFailed, failed, type Outcome } from '../core/outcome.js';
import type { KeyItem } from './key-item.js';
import { identityOf } from './refusals.js';

/** Shared by all keys that are absent, each in an outcome of its own: a batch of absent keys has not failed as a whole. */
export const absent = failure('there is no such key.', { code: 'KEY_NOT_FOUND' });

/** Whoever wants to know the replies of a call. */
export interface Asker<K, V> {
  /** Tells object keys apart in what it answers. */
  readonly keyBy: ((key: K) => unknown) | undefined;
  /** Told of keys that nobody had asked for. */
  unrequested(keys: number): void;
  /** Told of the keys that are settled before their batch has ended. */
  early(item: KeyItem<K, V>, outcome: Outcome<V>): void;
}

/** The replies of one call. A class: it stands on the path of every batch, and makes nothing unless it is used. */
export class Replies<K, V> {
  readonly #items: readonly KeyItem<K, V>[];
  readonly #asker: Asker<K, V>;
  readonly #abortion: Abortable;
  #byIdentity: Map<unknown, KeyItem<K, V>> | undefined;
  #closed = false;

  constructor(items: readonly KeyItem<K, V>[], asker: Asker<K, V>, abortion: Abortable) {
    this.#items = items;
    this.#asker = asker;
    this.#abortion = abortion;
  }

  readonly resolve = (key: K, value: unknown): void => this.#tell(key, outcomeOf<V>(value));

  readonly reject = (key: K, error: unknown): void => this.#tell(key, failed(asFailure(error, 'permanent')));

  /** Tells keys as they come; those that did not come are absent. Stops, and lets the other side clean up, when the call is aborted. */
  async drain(entries: AsyncIterable<readonly [K, unknown]>): Promise<readonly Outcome<V>[]> {
    for await (const [key, entry] of entries) {
      this.#tell(key, outcomeOf<V>(entry));
      if (this.#abortion.aborted) break;
    }
    return this.#items.map(() => failed(absent));
  }

  read(result: unknown): readonly Outcome<V>[] {
    const items = this.#items;
    if (result instanceof Map) return this.#fromMap(result as ReadonlyMap<unknown, unknown>);
    if (!Array.isArray(result)) return allFailed(items.length, badResult(result));
    if (result.length !== items.length) return allFailed(items.length, wrongLength(items.length, result.length));
    const outcomes = new Array<Outcome<V>>(items.length);
    for (let i = 0; i < items.length; i++) outcomes[i] = outcomeOf<V>(result[i]);
    return outcomes;
  }

  /** The call has ended: nothing is told early any more, and what was told stands. */
  close(outcomes: readonly Outcome<V>[]): readonly Outcome<V>[] {
    this.#closed = true;
    return this.#byIdentity === undefined ? outcomes : withEarly(this.#items, outcomes);
  }

  #tell(key: K, outcome: Outcome<V>): void {
    // Whoever comes after the end of its call, or of its time, is not heard.
    if (this.#closed || this.#abortion.aborted) return;
    this.#byIdentity ??= new Map(this.#items.map((item) => [item.identity, item]));
    const item = this.#byIdentity.get(identityOf(key, this.#asker.keyBy));
    if (item === undefined) this.#asker.unrequested(1);
    else this.#asker.early(item, outcome);
  }

  #fromMap(given: ReadonlyMap<unknown, unknown>): readonly Outcome<V>[] {
    const keyBy = this.#asker.keyBy as ((key: unknown) => unknown) | undefined;
    // Two objects may stand for one key: both sides are told apart by keyBy.
    const map = keyBy === undefined ? given : new Map([...given].map(([key, entry]) => [keyBy(key), entry]));
    let asked = 0;
    const outcomes = this.#items.map(({ identity }) => {
      const entry = map.get(identity);
      if (entry !== undefined || map.has(identity)) asked++;
      return outcomeOf<V>(entry);
    });
    if (map.size > asked) this.#asker.unrequested(map.size - asked);
    return outcomes;
  }
}

/** The outcomes of a call, but for the keys that were told before it ended. */
export function withEarly<K, V>(items: readonly KeyItem<K, V>[], outcomes: readonly Outcome<V>[]): readonly Outcome<V>[] {
  if (outcomes.length !== items.length || !items.some((item) => item.toldEarly)) return outcomes;
  return outcomes.map((outcome, i) => (items[i]!.toldEarly ? items[i]!.outcome! : outcome));
}

/** Whether it tells its entries one by one. */
export function isAsyncIterable(result: unknown): result is AsyncIterable<readonly [never, unknown]> {
  return typeof result === 'object' && result !== null && Symbol.asyncIterator in result;
}

function outcomeOf<V>(entry: unknown): Outcome<V> {
  if (entry === undefined) return failed(absent);
  return isError(entry) ? failed(asFailure(entry, 'permanent')) : { kind: 'ok', value: entry as V };
}

/** Those of another realm too: test runners and sandboxes hand them in. Only what has a stack need be looked at closely. */
function isError(entry: unknown): boolean {
  if (typeof entry !== 'object' || entry === null) return false;
  return entry instanceof Error || ('stack' in entry && Object.prototype.toString.call(entry) === '[object Error]');
}

function badResult(result: unknown): SluiceError {
  const got = result === null ? 'null' : typeof result;
  return failure(
    `the batch function must return a Map, an array in key order, or an async iterable of [key, entry]; it returned ${got}.`,
    { code: 'BAD_RESULT' },
  );
}

function wrongLength(keys: number, results: number): SluiceError {
  return failure(`the batch function got ${keys} keys and returned ${results} results; return one per key, or a Map.`, {
    code: 'RESULT_LENGTH_MISMATCH',
  });
}
