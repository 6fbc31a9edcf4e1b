/** KeyEngine: the engine with one item a key and many waiters an item. The loader and the key fetcher are its two faces. */

import type { Dispatcher } from '../core/dispatcher.js';
import { asFailure, failure, type SluiceError } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import { failed, type Outcome } from '../core/outcome.js';
import type { Tally } from '../core/tally.js';
import type { Window } from '../core/window.js';
import { type DrainReport, Engine } from '../engine/engine.js';
import type { Flight } from '../engine/flight.js';
import type { Env } from '../env/env.js';
import type { Cache, CacheStats } from './cache.js';
import { Calls } from './calls.js';
import type { LoaderWatch } from './cycles.js';
import { Deadlines } from './deadlines.js';
import { KeyItem, type Listener, type Waiter } from './key-item.js';
import { type CallOptions, watchCall } from './leaving.js';
import { cancelled, identityOf, invalidKey, isIdentity, leftAlready } from './refusals.js';

/** The balance in calls, and the same in keys. */
export interface LoaderStats extends Tally {
  /** The balance of the keys that these calls came to: one for each time that a key was taken into a batch. */
  readonly keys: Tally;
}

/** What a key engine is made of. */
export interface KeyEngineOptions<K, V> {
  readonly name: string;
  readonly env: Env;
  readonly window: Window;
  readonly maxItems: number;
  readonly maxBytes: number;
  readonly maxHeldWaiters: number;
  readonly maxHeldKeys: number;
  readonly maxHeldBytes: number;
  /** Tells keys apart; undefined: the key itself does. */
  readonly keyBy: ((key: K) => unknown) | undefined;
  /** Answers what is known, and lets callers join what is in flight. */
  readonly cache?: Cache<V>;
  /** What a key counts against `maxBytes` and `maxHeldBytes`, or why it is no key. Default 0. */
  bytesOf?(key: K): number | SluiceError;
  /** Looks whether a load waits for itself. */
  readonly cycles?: LoaderWatch;
  /** Which batch a key belongs into, or throws. Default: one for all. */
  partitionOf?(key: K): unknown;
  split?(items: readonly KeyItem<K, V>[]): readonly (readonly KeyItem<K, V>[])[];
  /** Tells all who wait for some keys of one batch. */
  tellAll(items: readonly KeyItem<K, V>[]): void;
  dispatcher(env: Env): Dispatcher<K, V>;
}

/** Many waiters, few keys. A class: identity, and a hot path. */
export class KeyEngine<K, V> {
  readonly #options: KeyEngineOptions<K, V>;
  readonly #engine: Engine<K, V, KeyItem<K, V>>;
  /** The keys that may be joined: those held, for what has been dispatched is joined by nobody; with a cache those in flight too. */
  #open = new Map<unknown, KeyItem<K, V>>();
  /** The times of calls. */
  readonly deadlines: Deadlines;
  /** Of flights with keys that were told early: how many of their keys somebody still waits for. */
  readonly #awaited = new WeakMap<Flight, number>();
  readonly #calls = new Calls();
  #told: KeyItem<K, V>[] = [];
  #arrivals = 0;
  /** Some key was told before its batch had ended. */
  tellsEarly = false;
  #closing: Promise<DrainReport> | undefined;

  constructor(options: KeyEngineOptions<K, V>) {
    this.#options = options;
    const { name, env, window, maxItems, maxBytes, maxHeldKeys, maxHeldBytes, split } = options;
    this.deadlines = new Deadlines(env.clock);
    this.#engine = new Engine<K, V, KeyItem<K, V>>({
      name,
      env,
      window,
      maxItems,
      maxBytes,
      maxHeldItems: maxHeldKeys,
      maxHeldBytes,
      idempotent: true,
      dispatcher: (engineEnv) => options.dispatcher(engineEnv),
      onCut: (items) => this.#depart(items),
      settle: (item, outcome) => this.#settle(item, outcome),
      onSettled: () => this.#tellAll(),
      ...(split === undefined ? {} : { split }),
    });
  }

  /** The value of a key, for a caller who cannot leave. */
  load(key: K): Promise<V> {
    const item = this.#itemFor(key);
    if (!(item instanceof KeyItem)) return Promise.reject(this.#refuse(item));
    const isNew = item.waiting === 0;
    const promise = item.promise();
    if (item.outcome !== undefined) {
      this.#calls.hit(item.outcome, false);
      item.tell();
      return promise;
    }
    this.#take(item);
    const refusal = isNew ? this.#offer(item) : undefined;
    return refusal === undefined ? promise : Promise.reject(refusal);
  }

  /** Makes `waiter` wait for `key`, and answers the item; refuses by rejecting it. Never throws. */
  join(key: K, waiter: Waiter<K, V>, options?: CallOptions): KeyItem<K, V> | undefined {
    const item = this.enter(key, waiter, options);
    if (!(item instanceof KeyItem)) {
      waiter.reject(item);
      return undefined;
    }
    if (options === undefined || waiter.settled) return item;
    const { signal } = options;
    // The batch may have left within this call, and its function have aborted it.
    if (signal?.aborted) this.part(item, waiter, cancelled(signal));
    else waiter.unwatch = watchCall(this.deadlines, options, (reasonOf) => this.part(item, waiter, reasonOf()));
    return item;
  }

  /** Makes `listener` wait for `key`: the item that it waits for, or what keeps it out. What the cache knows it is told at once. */
  enter(key: K, listener: Listener<K, V>, options?: CallOptions): KeyItem<K, V> | SluiceError {
    const left = options === undefined ? undefined : leftAlready(options);
    const item = left ?? this.#itemFor(key, listener.prefetches);
    if (!(item instanceof KeyItem)) return this.#refuse(item);
    if (item.outcome !== undefined) {
      this.#calls.hit(item.outcome, listener.finds);
      listener.tell(item);
      return item;
    }
    const isNew = item.waiting === 0;
    item.join(listener);
    listener.arrival = this.#arrivals++;
    this.#take(item, listener.prefetches);
    return (isNew ? this.#offer(item) : undefined) ?? item;
  }

  /** Caches a value, or a failure: what is in flight for that key is older, and is neither cached nor joined any more. */
  prime(key: K, value: V | Error): void {
    const { cache, keyBy, env } = this.#options;
    if (cache === undefined) return;
    const identity = identityOf(key, keyBy);
    if (!isIdentity(identity)) throw invalidKey(key, keyBy !== undefined, identity);
    this.#detach(identity);
    const outcome: Outcome<V> = value instanceof Error ? failed(asFailure(value, 'permanent')) : { kind: 'ok', value };
    cache.put(identity, outcome, env.clock.now());
  }

  /** Forgets what is cached, and what is in flight: the next call asks afresh. */
  clear(key: K): void {
    const identity = identityOf(key, this.#options.keyBy);
    this.#detach(identity);
    this.#options.cache?.clear(identity);
  }

  clearAll(): void {
    for (const identity of this.#open.keys()) this.#detach(identity);
    this.#options.cache?.clearAll();
  }

  /** Tells the waiters of a key in flight before its batch ends. The first word counts. */
  settleEarly(item: KeyItem<K, V>, outcome: Outcome<V>): void {
    const { flight } = item;
    if (flight === undefined || item.gone || item.outcome !== undefined) return;
    this.tellsEarly = true;
    const awaited = this.#awaited.get(flight) ?? flight.items().reduce((count, each) => count + (each.gone ? 0 : 1), 0);
    this.#awaited.set(flight, awaited - 1);
    item.toldEarly = true;
    // For layers, that it need not be tried again.
    item.gone = true;
    this.#conclude(item, outcome);
    item.tell();
  }

  /**
   * A waiter leaves with `reason`.
   *
   * @returns false when it was settled already.
   */
  part(item: KeyItem<K, V>, waiter: Waiter<K, V>, reason: SluiceError): boolean {
    if (waiter.settled) return false;
    waiter.settled = true;
    waiter.unwatch?.();
    waiter.reject(reason);
    this.leave(item, reason);
    return true;
  }

  /**
   * One call less for a key; its listener is settled. When it was the last one, the key is not sent; a call whose keys are all left is
   * aborted.
   */
  leave(item: KeyItem<K, V>, reason: SluiceError): void {
    this.#calls.leave(item);
    item.leave();
    if (item.waiting === 0) this.#abandon(item, reason);
  }

  async flush(): Promise<void> {
    await this.#engine.flush();
  }

  close(deadlineMs: number): Promise<DrainReport> {
    this.#closing ??= this.#drain(deadlineMs);
    return this.#closing;
  }

  stats(): LoaderStats & { readonly cache?: CacheStats } {
    const { cache } = this.#options;
    return { ...this.#calls.tally(), keys: this.#engine.tally(), ...(cache === undefined ? {} : { cache: cache.stats() }) };
  }

  observe(event: SluiceEvent): void {
    this.#engine.observe(event);
  }

  /** The item of a key: the one that may be joined, a new one, or one with the outcome that the cache knows. */
  #itemFor(key: K, prefetches?: boolean): KeyItem<K, V> | SluiceError {
    const { keyBy, window, maxHeldWaiters, cycles, cache } = this.#options;
    if (this.#engine.closed) return this.#refusal('closed');
    if (this.#calls.waiting >= maxHeldWaiters) return this.#refusal('full');
    const identity = keyBy === undefined ? key : identityOf(key, keyBy);
    if (!isIdentity(identity)) return invalidKey(key, keyBy !== undefined, identity);
    const known = cache?.get(identity, this.#options.env.clock.now());
    if (known !== undefined) {
      const item = new KeyItem<K, V>(key, 0, identity);
      item.outcome = known;
      return item;
    }
    // What ends with the turn is never overdue.
    if (window !== 'tick') this.#engine.expire();
    const open = this.#open.get(identity);
    const cycle = cycles === undefined || prefetches ? undefined : cycles.refusal(key, identity, open);
    return cycle ?? open ?? this.#itemOf(key, identity);
  }

  #refuse(refusal: SluiceError): SluiceError {
    this.#calls.refuse();
    return refusal;
  }

  /** Gives a new item to the engine, or says why it does not take it. */
  #offer(item: KeyItem<K, V>): SluiceError | undefined {
    const { identity } = item;
    // Before the offer, which may fill a batch and send it.
    this.#open.set(identity, item);
    const admission = this.#engine.offer(item);
    if (admission === 'accepted') return undefined;
    this.#open.delete(identity);
    this.#calls.giveBack();
    item.leaveFirst();
    const refusal = this.#engine.refusal(item.bytes, admission);
    if (item.waiting > 0) {
      // An observer of the refusal has asked for the key as well, and was let join.
      this.#conclude(item, failed(refusal));
      item.tell();
    }
    return this.#refuse(refusal);
  }

  #itemOf(key: K, identity: unknown): KeyItem<K, V> | SluiceError {
    const { bytesOf, partitionOf } = this.#options;
    if (bytesOf === undefined && partitionOf === undefined) return new KeyItem<K, V>(key, 0, identity);
    try {
      const bytes = bytesOf === undefined ? 0 : bytesOf(key);
      if (typeof bytes !== 'number') return bytes;
      const item = new KeyItem<K, V>(key, bytes, identity);
      item.partition = partitionOf?.(key);
      return item;
    } catch (thrown) {
      return failure('invalid key: cost or partition threw.', { code: 'INVALID_KEY', class: 'rejected', key, cause: thrown });
    }
  }

  #take(item: KeyItem<K, V>, prefetches?: boolean): void {
    const { env, cycles } = this.#options;
    if (env.origin !== undefined) item.comesFrom(env.origin());
    if (cycles !== undefined && !prefetches) cycles.note(item);
    this.#calls.take(item);
  }

  /** The last waiter of a key left. */
  #abandon(item: KeyItem<K, V>, reason: SluiceError): void {
    // By identity: another item of the same key may be held by now.
    if (this.#open.get(item.identity) === item) this.#open.delete(item.identity);
    this.#engine.cancel(item, reason);
    const { flight } = item;
    const awaited = flight === undefined ? undefined : this.#awaited.get(flight);
    if (flight === undefined || awaited === undefined) return;
    this.#awaited.set(flight, awaited - 1);
    // The others were told early: nobody waits for anything of this call.
    if (awaited === 1) flight.abort(reason);
  }

  /** Lets nobody join a key in flight any more, nor its value into the cache. One that is held will be read later: it may stay. */
  #detach(identity: unknown): void {
    if (this.#open.get(identity)?.flight !== undefined) this.#open.delete(identity);
  }

  #refusal(reason: 'closed' | 'full'): SluiceError {
    const { name, maxHeldWaiters } = this.#options;
    this.observe({ type: 'rejected', name, reason });
    if (reason === 'closed') return failure(`${name} is closed: it loads no more.`, { code: 'CLOSED', class: 'rejected' });
    return failure(`${name} is full: ${this.#calls.waiting} calls wait, maxHeldWaiters is ${maxHeldWaiters}.`, {
      code: 'OVERLOADED',
      class: 'rejected',
    });
  }

  #depart(items: readonly KeyItem<K, V>[]): void {
    this.#calls.depart(items);
    if (this.#options.cache !== undefined) return;
    // Every key in the map is an item that is held: where as many leave, all do. A new map, for one that is cleared drags its past
    // along, table by table, until the next full garbage collection.
    if (items.length === this.#open.size) this.#open = new Map();
    else for (const item of items) this.#open.delete(item.identity);
  }

  #settle(item: KeyItem<K, V>, outcome: Outcome<V>): void {
    if (item.toldEarly) return;
    this.#conclude(item, outcome);
    this.#told.push(item);
  }

  /** Counts before anybody is told. */
  #conclude(item: KeyItem<K, V>, outcome: Outcome<V>): void {
    item.outcome = outcome;
    this.#calls.end(item, outcome);
    this.#keep(item, outcome);
  }

  /** Caches an outcome, unless its key was cleared, primed or asked for afresh since: then it is the older one. */
  #keep(item: KeyItem<K, V>, outcome: Outcome<V>): void {
    const { cache, env } = this.#options;
    if ((cache === undefined && item.flight !== undefined) || this.#open.get(item.identity) !== item) return;
    this.#open.delete(item.identity);
    cache?.put(item.identity, outcome, env.clock.now());
  }

  /** Only promises are settled here: whatever the callers do next, they do after this loop. */
  #tellAll(): void {
    const told = this.#told;
    this.#told = [];
    this.#options.tellAll(told);
  }

  async #drain(deadlineMs: number): Promise<DrainReport> {
    const before = this.#calls.tally();
    const { durationMs } = await this.#engine.close(deadlineMs);
    return this.#calls.since(before, durationMs);
  }
}
