/** KeyItem: one key of a batch, and everyone who waits for it. */

import type { SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import { EngineItem } from '../engine/item.js';
import type { Cancel } from '../env/env.js';
import type { Frame } from './cycles.js';
import { capture, captured } from './promise.js';
import { ownError } from './refusals.js';

/** Whoever is told what became of a key, or of many, and may leave before. */
export interface Listener<K, V> {
  /** Takes the absence of a key for an answer, not for a failure. */
  readonly finds: boolean;
  /** Nobody waits: it is asked for in advance. */
  readonly prefetches?: boolean;
  /** Position among all arrivals; set when it is accepted. */
  arrival: number;
  /** Waits no more: it was told, or has left. */
  settled: boolean;
  /** Tells it what became of a key; called while it is not settled, once for each time that it joined. */
  tell(item: KeyItem<K, V>): void;
}

/** One caller that waits for one key, and may leave. */
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

  tell(item: KeyItem<K, V>): void {
    this.settled = true;
    this.unwatch?.();
    const outcome = item.outcome!;
    if (outcome.kind === 'ok') this.resolve(outcome.value);
    else if (isAnswer(outcome, this.finds)) this.resolve(undefined);
    else this.reject(ownError(outcome.failure, item.value));
  }
}

/** Who waits for a key beside its first caller. */
interface Others<K, V> {
  /** A promise that all who cannot leave share, each through one of his own that is derived from it; it rejects with the item. */
  shared?: Promise<V>;
  resolve?: (value: V) => void;
  reject?: (item: KeyItem<K, V>) => void;
  listeners: Listener<K, V>[];
}

/**
 * One key of a batch. Callers who cannot leave cost least: the first is kept in the item itself, and the others share a promise. A class:
 * there is one for every key.
 */
export class KeyItem<K, V> extends EngineItem<K> {
  /** Calls that wait for it. */
  waiting = 0;
  outcome: Outcome<V> | undefined = undefined;
  /** The first: how to resolve his promise, if he cannot leave. */
  #first: ((value: V) => void) | Listener<K, V> | undefined = undefined;
  #reject: ((reason: SluiceError) => void) | undefined = undefined;
  #others: Others<K, V> | undefined = undefined;
  // Declared, not defined: few items have them.
  declare ownIdentity?: unknown;
  /** Its callers were told before its batch had ended. */
  declare toldEarly?: boolean;
  /** Which batch it belongs into, where they are divided. */
  declare partition?: unknown;
  /** The calls of batch functions that loaded it, where cycles are looked for. */
  declare waitedBy?: Set<Frame>;

  constructor(key: K, bytes: number, identity: unknown) {
    super(key, bytes);
    if (identity !== key) this.ownIdentity = identity;
  }

  /** What the key is told apart by: itself, or what `keyBy` makes of it. */
  get identity(): unknown {
    return this.ownIdentity === undefined ? this.value : this.ownIdentity;
  }

  /** A promise for one more caller who cannot leave. */
  promise(): Promise<V> {
    if (++this.waiting > 1) {
      this.#others ??= { listeners: [] };
      return derived(this.#others);
    }
    const promise = new Promise<V>(capture);
    this.#first = captured.resolve;
    this.#reject = captured.reject;
    return promise;
  }

  join(listener: Listener<K, V>): void {
    if (++this.waiting === 1) {
      this.#first = listener;
      return;
    }
    this.#others ??= { listeners: [] };
    this.#others.listeners.push(listener);
  }

  /** One call less. Its listener is settled, and stays where it is until there are too many such. */
  leave(): void {
    this.waiting--;
    const others = this.#others;
    if (others === undefined || others.listeners.length <= 2 * this.waiting + 64) return;
    others.listeners = others.listeners.filter((listener) => !listener.settled);
  }

  /** Who opened it did not get in. */
  leaveFirst(): void {
    this.waiting--;
    this.#first = undefined;
  }

  /** Calls `visit` for each listener that waits, earliest arrival first. */
  each(visit: (listener: Listener<K, V>, item: this) => void): void {
    const first = this.#first;
    if (typeof first === 'object' && !first.settled) visit(first, this);
    if (this.#others === undefined) return;
    for (const listener of this.#others.listeners) if (!listener.settled) visit(listener, this);
  }

  /** Tells everyone what became of it. */
  tell(): void {
    const outcome = this.outcome!;
    if (typeof this.#first === 'function') {
      if (outcome.kind === 'ok') this.#first(outcome.value);
      else this.#reject!(ownError(outcome.failure, this.value));
    }
    if (outcome.kind === 'ok') this.#others?.resolve?.(outcome.value);
    else this.#others?.reject?.(this);
    this.each(tellOne);
  }
}

/** Whether who asked takes this for an answer: a value, or, where he merely looks, that there is none. */
export function isAnswer(outcome: Outcome<unknown>, finds: boolean): boolean {
  return outcome.kind === 'ok' || (finds && outcome.failure.code === 'KEY_NOT_FOUND');
}

/** Each his own promise, so that whoever does not handle a rejection is found out; and each his own error. */
function derived<K, V>(others: Others<K, V>): Promise<V> {
  if (others.shared === undefined) {
    others.shared = new Promise<V>(capture);
    others.resolve = captured.resolve;
    others.reject = captured.reject;
  }
  return others.shared.then(undefined, fail);
}

/** What a shared promise was rejected with, as one caller is told it. A value that is a promise may reject too, with anything. */
function fail(reason: unknown): never {
  if (!(reason instanceof KeyItem)) throw reason;
  const { outcome, value } = reason as KeyItem<unknown, unknown>;
  throw ownError((outcome as Exclude<Outcome<unknown>, { kind: 'ok' }>).failure, value);
}

function tellOne<K, V>(listener: Listener<K, V>, item: KeyItem<K, V>): void {
  listener.tell(item);
}
