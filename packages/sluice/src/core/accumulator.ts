/** Accumulator: what is held and when it must go. Pure: no timers, no promises; time is an argument. */

import type { CutReason, RaiseReason } from './batch.js';
import { Deque } from './deque.js';
import { type Run, Runs } from './runs.js';
import type { Times, WindowRule } from './window.js';

/**
 * What is held with a state of its own: it has bytes, or somebody waits for it and may leave. Anything else that is held is a bare
 * value: 0 bytes, and nobody to leave. A class, by which the two are told apart.
 */
export class HeldItem {
  readonly bytes: number;
  /** Its last waiter left. */
  gone = false;

  constructor(bytes: number) {
    this.bytes = bytes;
  }
}

/** The flush barrier that items stand behind: once that is raised, they are due at once. */
export interface Raisable {
  readonly index: number;
}

/** What one cut took. */
export interface Cut<T, B> {
  readonly held: T[];
  /** When they were accepted, and behind which barrier; the lengths add up to what was taken. */
  readonly runs: readonly Run<B>[];
  readonly bytes: number;
  readonly reason: CutReason;
  readonly firstAt: number;
  /** They are all bare values: nobody waits for any of them. */
  readonly bare: boolean;
}

/** When the accumulator wants to be cut: now, at a monotonic time in ms, at the end of the turn, or not at all while it is empty. */
export type Due = 'now' | 'turnEnd' | 'never' | number;

/** Bounds of one batch. They are read at each use, so that they may move. */
export interface BatchBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/** Holds items in order of arrival and says when a batch is due. A class: it stands on the hot path of every offer. */
export class Accumulator<T, B extends Raisable = Raisable> {
  readonly #window: WindowRule;
  readonly #bounds: BatchBounds;
  readonly #orderKeyOf: ((held: T) => unknown) | undefined;
  readonly #queue = new Deque<T>();
  #runs = new Runs<B>();
  #live = 0;
  #bytes = 0;
  /** How many in the queue are {@link HeldItem}s. */
  #items = 0;
  #lastAt = 0;
  /** When the window of what is held is over; `Infinity` while nothing is held, and where the end of the turn decides. */
  #dueAt = Number.POSITIVE_INFINITY;
  #dispatchedAt = Number.NEGATIVE_INFINITY;
  #raisedBarrier = -1;
  #forcedReason: CutReason = 'manual';

  /** @param orderKeyOf a batch takes one item a key, and stops before the second; `undefined` is no key. Default: no keys. */
  constructor(window: WindowRule, bounds: BatchBounds, orderKeyOf?: (held: T) => unknown) {
    this.#window = window;
    this.#bounds = bounds;
    this.#orderKeyOf = orderKeyOf;
  }

  /** How many are held that have not left. */
  get live(): number {
    return this.#live;
  }

  /** Whether a batch that was opened earlier is overdue at `now`: it must go before a newcomer, which is outside its window. */
  overdue(now: number): boolean {
    return now >= this.#dueAt;
  }

  /** Until when it keeps its distance from the last dispatch, though nothing is held. */
  get restsUntil(): number {
    return this.#window.spaced ? this.#window.dueAt({ firstAt: 0, lastAt: 0, dispatchedAt: this.#dispatchedAt }) : 0;
  }

  /** Takes in what was accepted at `now`, behind `barrier`. */
  add(held: T, now: number, barrier: B): Run<B> {
    this.#queue.push(held);
    this.#live++;
    this.#lastAt = now;
    if (held instanceof HeldItem) {
      this.#items++;
      this.#bytes += held.bytes;
    }
    const run = this.#runs.push(now, barrier);
    if (this.#live === 1 || this.#window.extends) this.#measure();
    return run;
  }

  /** Takes in one more bare value like the last one. It counts once it is {@link count}ed. */
  append(held: T): void {
    this.#queue.push(held);
  }

  /** So many were appended, after what was accepted last. */
  count(items: number): void {
    this.#live += items;
    this.#runs.extend(items);
  }

  /** Its last waiter left. It stays where it is, so that a batch keeps the deadline its opener set, but it will not be sent. */
  forget(item: T & HeldItem): void {
    this.#live--;
    this.#bytes -= item.bytes;
    if (this.#live === 0) this.#clear();
    else if (this.#queue.length > 2 * this.#live + 64) this.#compact();
  }

  /** Makes everything behind `barrier` and before it due at once. */
  raise(barrier: number, reason: RaiseReason): void {
    this.#raisedBarrier = barrier;
    this.#forcedReason = reason;
  }

  due(): Due {
    if (this.#live === 0) return 'never';
    if (this.#isForced() || (this.isFull && !this.#window.spaced)) return 'now';
    return this.#window.atTurnEnd ? 'turnEnd' : this.#dueAt;
  }

  /** Whether a whole batch is held. */
  get isFull(): boolean {
    return this.#live >= this.#bounds.maxItems || this.#bytes >= this.#bounds.maxBytes;
  }

  /**
   * Takes the next batch off the front, to be dispatched at `now`, whether it is due or not, and no more than the first `atMost`;
   * undefined when nothing is held.
   */
  cut(now: number, atMost = Number.POSITIVE_INFINITY): Cut<T, B> | undefined {
    if (this.#live === 0) return undefined;
    const times = this.#times();
    const byWindow = this.#isForced() ? this.#forcedReason : this.#window.reason(times);
    const { maxItems } = this.#bounds;
    const most = Math.min(this.#window.alone ? 1 : maxItems, atMost);
    const bare = this.#items === 0;
    const alike = this.#bytes === 0 && this.#queue.length === this.#live && this.#orderKeyOf === undefined;
    const { held, runs, bytes, stoppedBy } = alike ? this.#slice(most) : this.#gather(most);
    this.#live -= held.length;
    this.#bytes -= bytes;
    this.#dispatchedAt = now;
    this.#measure();
    const full = held.length >= maxItems ? 'size' : bytes >= this.#bounds.maxBytes ? 'bytes' : undefined;
    return { held, runs, bytes, reason: stoppedBy ?? full ?? byWindow, firstAt: times.firstAt, bare };
  }

  /** Takes the oldest out, unsent. */
  takeOldest(): { readonly held: T; readonly run: Run<B> } | undefined {
    if (this.#live === 0) return undefined;
    const { held, runs, bytes } = this.#gather(1);
    this.#live--;
    this.#bytes -= bytes;
    this.#measure();
    return { held: held[0]!, run: runs[0]! };
  }

  /** Nothing that is held has bytes, has left, or is in another's way. */
  #slice(most: number) {
    const held = this.#queue.take(most);
    if (this.#items > 0) for (const one of held) if (one instanceof HeldItem) this.#items--;
    return { held, runs: this.#runs.take(held.length), bytes: 0, stoppedBy: undefined };
  }

  #gather(most: number) {
    const { maxBytes } = this.#bounds;
    const held: T[] = [];
    const runs: Run<B>[] = [];
    const keys = this.#orderKeyOf === undefined ? undefined : new Set<unknown>();
    let bytes = 0;
    let stoppedBy: CutReason | undefined;
    for (let next = this.#queue.peek(); this.#queue.length > 0; next = this.#queue.peek()) {
      const item = next instanceof HeldItem ? next : undefined;
      if (item === undefined || !item.gone) {
        const nextBytes = item === undefined ? 0 : item.bytes;
        if (held.length >= most) break;
        if (held.length > 0 && bytes + nextBytes > maxBytes) {
          stoppedBy = 'bytes';
          break;
        }
        if (keys !== undefined && this.#meets(next as T, keys)) break;
        held.push(next as T);
        bytes += nextBytes;
        extend(runs, this.#runs.first!);
      }
      this.#shift(item);
    }
    return { held, runs, bytes, stoppedBy };
  }

  /** Whether the batch has an item of the same order key already. */
  #meets(next: T, keys: Set<unknown>): boolean {
    const key = this.#orderKeyOf!(next);
    if (key === undefined) return false;
    const before = keys.size;
    return keys.add(key).size === before;
  }

  #shift(item: HeldItem | undefined): void {
    this.#runs.first!.length--;
    this.#queue.shift();
    if (item !== undefined) this.#items--;
  }

  #isForced(): boolean {
    const first = this.#runs.first;
    return first !== undefined && first.barrier.index <= this.#raisedBarrier;
  }

  #times(): Times {
    return { firstAt: this.#runs.first!.acceptedAt, lastAt: this.#lastAt, dispatchedAt: this.#dispatchedAt };
  }

  /** After the first in the queue has changed. */
  #measure(): void {
    if (this.#live === 0) this.#clear();
    else if (!this.#window.atTurnEnd) this.#dueAt = this.#window.dueAt(this.#times());
  }

  #clear(): void {
    if (this.#queue.length > 0) this.#queue.clear();
    this.#runs.clear();
    this.#items = 0;
    this.#dueAt = Number.POSITIVE_INFINITY;
  }

  /** Takes those out who left; the opener stays, for its time is the batch's. */
  #compact(): void {
    const kept = new Runs<B>();
    const queue = this.#queue.take(this.#queue.length);
    for (const [i, held] of queue.entries()) {
      const run = this.#runs.first!;
      run.length--;
      const left = held instanceof HeldItem && held.gone;
      if (left && i > 0) {
        this.#items--;
        continue;
      }
      kept.push(run.acceptedAt, run.barrier);
      this.#queue.push(held);
    }
    this.#runs = kept;
  }
}

/** One more of `run` at the end of `runs`. */
function extend<B>(runs: Run<B>[], run: Run<B>): void {
  const last = runs.at(-1);
  if (last !== undefined && last.acceptedAt === run.acceptedAt && last.barrier === run.barrier) last.length++;
  else runs.push({ acceptedAt: run.acceptedAt, barrier: run.barrier, length: 1 });
}
