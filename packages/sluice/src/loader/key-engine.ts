/** KeyEngine: the engine with one item a key and many waiters an item. The loader and the key fetcher are its two faces. */

import type { Dispatcher } from '../core/dispatcher.js';
import { failure, invalidOption, type SluiceError, shorten } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import type { Outcome } from '../core/outcome.js';
import { type Counts, emptyTally, type Tally } from '../core/tally.js';
import type { Window } from '../core/window.js';
import { type DrainReport, Engine } from '../engine/engine.js';
import { onAbort } from '../engine/signals.js';
import type { Env } from '../env/env.js';
import { tellByArrival } from './arrival.js';
import { KeyItem, type Waiter } from './key-item.js';

/** Options of one call. */
export interface CallOptions {
  /** Leaves: the call rejects with `CANCELLED`. Nobody else who waits for the same key is affected. */
  readonly signal?: AbortSignal;
  /** Longest time to wait, the window included, in milliseconds, 0 or more; then the call rejects with `TIMEOUT`. Default: no bound. */
  readonly timeoutMs?: number;
}

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
  readonly maxHeldWaiters: number;
  readonly maxHeldKeys: number;
  readonly maxHeldBytes: number;
  /** Tells keys apart; undefined: the key itself does. */
  readonly keyBy: ((key: K) => unknown) | undefined;
  /** What a key counts against `maxHeldBytes`, or why it is no key. Default 0. */
  bytesOf?(key: K): number | SluiceError;
  split?(items: readonly KeyItem<K, V>[]): readonly (readonly KeyItem<K, V>[])[];
  dispatcher(env: Env): Dispatcher<K, V>;
}

/** Many waiters, few keys. A class: identity, and a hot path. */
export class KeyEngine<K, V> {
  readonly #options: KeyEngineOptions<K, V>;
  readonly #engine: Engine<K, V, KeyItem<K, V>>;
  /** The keys that are held: what has been dispatched is joined by nobody. */
  readonly #held = new Map<unknown, KeyItem<K, V>>();
  readonly #tally: Counts = emptyTally();
  #told: KeyItem<K, V>[] = [];
  #arrivals = 0;
  #droppedHeld = 0;
  #closing: Promise<DrainReport> | undefined;

  constructor(options: KeyEngineOptions<K, V>) {
    this.#options = options;
    const { name, env, window, maxItems, maxHeldKeys, maxHeldBytes, split } = options;
    this.#engine = new Engine<K, V, KeyItem<K, V>>({
      name,
      env,
      window,
      maxItems,
      maxBytes: Number.POSITIVE_INFINITY,
      maxHeldItems: maxHeldKeys,
      maxHeldBytes,
      maxWaiting: 0,
      idempotent: true,
      dispatcher: (engineEnv) => options.dispatcher(engineEnv),
      onCut: (items) => this.#depart(items),
      settle: (item, outcome) => this.#settle(item, outcome),
      onSettled: () => this.#tellAll(),
      ...(split === undefined ? {} : { split }),
    });
  }

  /** Makes `waiter` wait for `key`; refuses by rejecting it. Never throws. */
  join(key: K, waiter: Waiter<K, V>, options?: CallOptions): void {
    this.#tally.offered++;
    const refusal = (options === undefined ? undefined : leftAlready(options)) ?? this.#enter(key, waiter);
    if (refusal === undefined && options !== undefined) this.#watch(waiter, options);
    if (refusal === undefined) return;
    this.#tally.rejected++;
    waiter.reject(refusal);
  }

  /**
   * A waiter leaves with `reason`. When it was the last one of its key, the key is not sent; a call whose keys are all left is aborted.
   *
   * @returns false when it was settled already.
   */
  leave(waiter: Waiter<K, V>, reason: SluiceError): boolean {
    const { item } = waiter;
    if (item === undefined) return false;
    this.#tally[item.flight === undefined ? 'held' : 'inFlight']--;
    this.#tally.cancelled++;
    item.leave(waiter);
    waiter.unwatch?.();
    waiter.reject(reason);
    if (item.waiting === 0) {
      // By identity: another item of the same key may be held by now.
      if (this.#held.get(item.identity) === item) this.#held.delete(item.identity);
      this.#engine.cancel(item, reason);
    }
    return true;
  }

  async flush(): Promise<void> {
    await this.#engine.flush();
  }

  close(deadlineMs: number): Promise<DrainReport> {
    this.#closing ??= this.#drain(deadlineMs);
    return this.#closing;
  }

  stats(): LoaderStats {
    return { ...this.#tally, keys: this.#engine.tally() };
  }

  observe(event: SluiceEvent): void {
    try {
      this.#options.env.observe(event);
    } catch {
      // An observer must not throw; one that does must not break a load either.
    }
  }

  /** Calls that are not settled. */
  get waiting(): number {
    return this.#tally.held + this.#tally.inFlight;
  }

  /** What keeps a key out, or undefined when its waiter was taken in. */
  #enter(key: K, waiter: Waiter<K, V>): SluiceError | undefined {
    const { keyBy, bytesOf, maxHeldWaiters } = this.#options;
    if (this.#engine.closed) return this.#refuse('closed');
    if (this.waiting >= maxHeldWaiters) return this.#refuse('full');
    const identity = keyBy === undefined ? key : tryKeyBy(keyBy, key);
    if (identity === undefined || typeof identity === 'object' || typeof identity === 'function') {
      return invalidKey(key, keyBy !== undefined, identity);
    }
    this.#engine.expire();
    const held = this.#held.get(identity);
    if (held !== undefined) {
      this.#take(held, waiter);
      return undefined;
    }
    const bytes = bytesOf === undefined ? 0 : bytesOf(key);
    if (typeof bytes !== 'number') return bytes;
    const item = new KeyItem<K, V>(key, bytes, identity);
    // Before the offer, which may fill a batch and send it.
    this.#held.set(identity, item);
    this.#take(item, waiter);
    const admission = this.#engine.offer(item);
    if (admission === 'accepted') return undefined;
    this.#held.delete(identity);
    item.leave(waiter);
    this.#tally.accepted--;
    this.#tally.held--;
    return this.#engine.refusal(item, admission);
  }

  #take(item: KeyItem<K, V>, waiter: Waiter<K, V>): void {
    const { env } = this.#options;
    if (env.origin !== undefined) item.comesFrom(env.origin());
    item.join(waiter);
    waiter.arrival = this.#arrivals++;
    this.#tally.accepted++;
    this.#tally.held++;
  }

  #refuse(reason: 'closed' | 'full'): SluiceError {
    const { name, maxHeldWaiters } = this.#options;
    this.observe({ type: 'rejected', name, reason });
    if (reason === 'closed') return failure(`${name} is closed: it loads no more.`, { code: 'CLOSED', class: 'rejected' });
    return failure(
      `${name} is full: ${this.waiting} calls wait, maxHeldWaiters is ${maxHeldWaiters}. Load more slowly, or raise the bound.`,
      { code: 'OVERLOADED', class: 'rejected' },
    );
  }

  #watch(waiter: Waiter<K, V>, { signal, timeoutMs }: CallOptions): void {
    const unsign = signal === undefined ? undefined : onAbort(signal, () => this.leave(waiter, cancelled(signal)));
    if (timeoutMs === undefined || timeoutMs === Number.POSITIVE_INFINITY) {
      waiter.unwatch = unsign;
      return;
    }
    const stopTimer = this.#options.env.clock.after(timeoutMs, () => this.leave(waiter, outOfTime(timeoutMs)));
    waiter.unwatch = () => {
      unsign?.();
      stopTimer();
    };
  }

  #depart(items: readonly KeyItem<K, V>[]): void {
    let waiting = 0;
    for (const item of items) waiting += item.waiting;
    this.#tally.held -= waiting;
    this.#tally.inFlight += waiting;
    // Every key in the map is an item that is held: where as many leave, all do.
    if (items.length === this.#held.size) this.#held.clear();
    else for (const item of items) this.#held.delete(item.identity);
  }

  #settle(item: KeyItem<K, V>, outcome: Outcome<V>): void {
    item.outcome = outcome;
    this.#told.push(item);
    if (item.flight === undefined) {
      // Dropped by a drain before it was sent.
      this.#droppedHeld += item.waiting;
      this.#held.delete(item.identity);
    }
  }

  /** Only promises are settled here: whatever the callers do next, they do after this loop. */
  #tellAll(): void {
    const told = this.#told;
    this.#told = [];
    tellByArrival(told, (waiter) => this.#tell(waiter, waiter.item!));
  }

  #tell(waiter: Waiter<K, V>, item: KeyItem<K, V>): void {
    const outcome = item.outcome!;
    waiter.item = undefined;
    waiter.unwatch?.();
    this.#tally[item.flight === undefined ? 'held' : 'inFlight']--;
    if (outcome.kind === 'ok') {
      this.#tally.ok++;
      waiter.resolve(outcome.value);
    } else if (outcome.failure.code === 'KEY_NOT_FOUND' && waiter.finds) {
      this.#tally.ok++;
      waiter.resolve(undefined);
    } else {
      // Only a drain settles an item that is gone.
      this.#tally[item.gone ? 'dropped' : outcome.kind]++;
      waiter.reject(ownError(outcome.failure, item.value));
    }
  }

  async #drain(deadlineMs: number): Promise<DrainReport> {
    const before = { ...this.#tally };
    const { durationMs } = await this.#engine.close(deadlineMs);
    const { ok, failed, dead, cancelled, dropped } = this.#tally;
    return {
      ok: ok - before.ok,
      failed: failed - before.failed,
      dead: dead - before.dead,
      cancelled: cancelled - before.cancelled,
      dropped: dropped - before.dropped,
      droppedHeld: this.#droppedHeld,
      droppedInFlight: dropped - before.dropped - this.#droppedHeld,
      durationMs,
    };
  }
}

/** The error of one caller: its own object, because callers may change or rethrow it; the failure that all share is its cause. */
function ownError(shared: SluiceError, key: unknown): SluiceError {
  const { code, class: failureClass, retryAfterMs, deadLetterId } = shared;
  const missing = code === 'KEY_NOT_FOUND' ? `no value for key ${shorten(key)}: ` : '';
  return failure(`${missing}${shared.message}`, {
    code,
    class: failureClass,
    cause: shared,
    key: shared.key ?? key,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(deadLetterId === undefined ? {} : { deadLetterId }),
  });
}

/** The error of a caller whose signal was aborted. */
export function cancelled(signal: AbortSignal): SluiceError {
  return failure('the caller aborted.', { code: 'CANCELLED', class: 'rejected', cause: signal.reason });
}

function outOfTime(timeoutMs: number): SluiceError {
  return failure(`no value after ${timeoutMs} ms, the time that this call allowed.`, { code: 'TIMEOUT', class: 'unknown' });
}

function leftAlready({ signal, timeoutMs }: CallOptions): SluiceError | undefined {
  if (signal?.aborted) return cancelled(signal);
  if (timeoutMs === undefined || timeoutMs >= 0) return undefined;
  return invalidOption(`timeoutMs must be a number of milliseconds, 0 or more; got ${shorten(timeoutMs)}`);
}

/** What `keyBy` makes of a key, or the error that it threw, which is no identity. */
function tryKeyBy<K>(keyBy: (key: K) => unknown, key: K): unknown {
  try {
    return keyBy(key);
  } catch (thrown) {
    return thrown instanceof Error ? thrown : failure('keyBy threw', { cause: thrown });
  }
}

function invalidKey(key: unknown, byKeyBy: boolean, identity: unknown): SluiceError {
  const got = shorten(byKeyBy && !(identity instanceof Error) ? identity : key);
  const what = byKeyBy
    ? 'keyBy must return a string, number, bigint, boolean or symbol'
    : 'a key is a string, number, bigint, boolean or symbol; for objects, pass keyBy';
  const cause = byKeyBy && identity instanceof Error ? identity : undefined;
  return failure(`invalid key: ${what}; got ${got}.`, { code: 'INVALID_KEY', class: 'rejected', key, cause });
}
