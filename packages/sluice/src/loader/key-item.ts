/** KeyItem: one key of a batch, and everyone who waits for it, in order of arrival. */

import type { SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import { EngineItem } from '../engine/item.js';
import type { Cancel } from '../env/env.js';
import type { Frame } from './cycles.js';
import { ownError } from './refusals.js';

/** Whoever is told what became of a key, or of many. */
export interface Listener<K, V> {
  /** Takes the absence of a key for an answer, not for a failure. */
  readonly finds: boolean;
  /** Nobody waits: it is asked for in advance. */
  readonly prefetches: boolean;
  /** Position among all arrivals; set when it is accepted. */
  arrival: number;
  /** Waits no more: it was told, or has left. */
  settled: boolean;
  /** Tells it what became of a key; called while it is not settled, once for each time that it joined. */
  tell(item: KeyItem<K, V>): void;
}

/** One caller that waits for one key. A class: there is one for every load. */
export class Waiter<K, V> implements Listener<K, V> {
  readonly resolve: (value: V | undefined) => void;
  readonly reject: (reason: SluiceError) => void;
  readonly finds: boolean;
  arrival = 0;
  settled = false;
  /** Stops watching its signal and its time, where it has any. */
  unwatch: Cancel | undefined = undefined;

  constructor(resolve: (value: V | undefined) => void, reject: (reason: SluiceError) => void, finds: boolean) {
    this.resolve = resolve;
    this.reject = reject;
    this.finds = finds;
  }

  get prefetches(): boolean {
    return false;
  }

  tell(item: KeyItem<K, V>): void {
    this.settled = true;
    if (this.unwatch !== undefined) this.unwatch();
    const outcome = item.outcome!;
    if (outcome.kind === 'ok') this.resolve(outcome.value);
    else if (isAnswer(outcome, this.finds)) this.resolve(undefined);
    else this.reject(ownError(outcome.failure, item.value));
  }
}

/** One key of a batch. Any of its listeners may leave at any time, and there may be thousands. */
export class KeyItem<K, V> extends EngineItem<K> {
  /** What the key is told apart by: itself, or what `keyBy` makes of it. */
  readonly identity: unknown;
  /** Calls that wait for it; a listener that joined twice counts twice. */
  waiting = 0;
  outcome: Outcome<V> | undefined = undefined;
  /** Its listeners were told before its batch had ended. */
  toldEarly = false;
  // Mostly there is one: it needs no list.
  #first: Listener<K, V> | undefined = undefined;
  #more: Listener<K, V>[] | undefined = undefined;
  // Declared, not defined: few loaders have them.
  /** Which batch it belongs into, where they are divided. */
  declare partition?: unknown;
  /** The calls of batch functions that loaded it, where cycles are looked for. */
  declare waitedBy?: Set<Frame>;

  constructor(key: K, bytes: number, identity: unknown) {
    super(key, bytes);
    this.identity = identity;
  }

  join(listener: Listener<K, V>): void {
    this.waiting++;
    if (this.#first === undefined) this.#first = listener;
    else if (this.#more === undefined) this.#more = [listener];
    else this.#more.push(listener);
  }

  /** One call less. Its listener is settled, and stays where it is until there are too many such. */
  leave(): void {
    this.waiting--;
    if (this.#more !== undefined && this.#more.length > 2 * this.waiting + 64) {
      this.#more = this.#more.filter((listener) => !listener.settled);
    }
  }

  /** Who opened it did not get in. */
  leaveFirst(): void {
    this.waiting--;
    this.#first = undefined;
  }

  /** Calls `visit` for each that waits, earliest arrival first. */
  each(visit: (listener: Listener<K, V>, item: this) => void): void {
    if (this.#first !== undefined && !this.#first.settled) visit(this.#first, this);
    if (this.#more !== undefined) for (const listener of this.#more) if (!listener.settled) visit(listener, this);
  }
}

/** Whether who asked takes this for an answer: a value, or, where he merely looks, that there is none. */
export function isAnswer(outcome: Outcome<unknown>, finds: boolean): boolean {
  return outcome.kind === 'ok' || (finds && outcome.failure.code === 'KEY_NOT_FOUND');
}
