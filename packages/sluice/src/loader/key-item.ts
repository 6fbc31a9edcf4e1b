/** KeyItem: one key of a batch, and everyone who waits for it, in order of arrival. */

import type { SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import { EngineItem } from '../engine/item.js';
import type { Cancel } from '../env/env.js';
import type { Frame } from './cycles.js';

/** Whoever is told what became of a key. */
export interface Told<V> {
  /** Nobody waits for it. */
  readonly prefetches?: boolean;
  resolve(value: V | undefined, place: number): void;
  reject(reason: SluiceError, place: number): void;
}

/** One caller that waits for a key. A class: there is one for every load. */
export class Waiter<K, V> {
  readonly resolve: (value: V | undefined, place: number) => void;
  readonly reject: (reason: SluiceError, place: number) => void;
  /** Resolves with `undefined` where there is no such key, in place of rejecting. */
  readonly finds: boolean;
  /** Nobody waits: it is asked for in advance. */
  readonly prefetches: boolean;
  /** Its place among the keys of one call for many. */
  readonly place: number;
  /** Position among all arrivals; set when it is accepted. */
  arrival = 0;
  /** Whom it waits for; undefined before it is accepted, and once it is settled. */
  item: KeyItem<K, V> | undefined = undefined;
  previous: Waiter<K, V> | undefined = undefined;
  next: Waiter<K, V> | undefined = undefined;
  /** Stops watching its signal and its time, where it has any. */
  unwatch: Cancel | undefined = undefined;

  constructor(told: Told<V>, finds: boolean, place = 0) {
    this.resolve = told.resolve;
    this.reject = told.reject;
    this.prefetches = told.prefetches === true;
    this.finds = finds;
    this.place = place;
  }
}

/** One key of a batch. Its waiters are a linked list: any of them may leave at any time, and a key may have thousands. */
export class KeyItem<K, V> extends EngineItem<K> {
  /** What the key is told apart by: itself, or what `keyBy` makes of it. */
  readonly identity: unknown;
  first: Waiter<K, V> | undefined = undefined;
  last: Waiter<K, V> | undefined = undefined;
  waiting = 0;
  outcome: Outcome<V> | undefined = undefined;
  /** Which batch it belongs into, where they are divided. */
  partition: unknown = undefined;
  /** The calls of batch functions that loaded it, where cycles are looked for. */
  waitedBy: Set<Frame> | undefined = undefined;
  /** Its waiters were told before its batch had ended. */
  toldEarly = false;

  constructor(key: K, bytes: number, identity: unknown) {
    super(key, bytes);
    this.identity = identity;
  }

  join(waiter: Waiter<K, V>): void {
    waiter.item = this;
    waiter.previous = this.last;
    if (this.last === undefined) this.first = waiter;
    else this.last.next = waiter;
    this.last = waiter;
    this.waiting++;
  }

  leave(waiter: Waiter<K, V>): void {
    if (waiter.previous === undefined) this.first = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === undefined) this.last = waiter.previous;
    else waiter.next.previous = waiter.previous;
    waiter.item = undefined;
    waiter.previous = undefined;
    waiter.next = undefined;
    this.waiting--;
  }
}
