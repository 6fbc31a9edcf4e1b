/** Accumulator: what is held and when it must go. Pure: no timers, no promises; time is an argument. */

import type { CutReason } from './batch.js';
import { Deque } from './deque.js';
import type { Times, WindowRule } from './window.js';

/** What the accumulator must know of an item. */
export interface HeldItem {
  readonly bytes: number;
  readonly acceptedAt: number;
  readonly gone: boolean;
  /** The flush barrier that it stands behind: once that is raised, it is due at once. */
  readonly barrier: { readonly index: number };
}

/** What one cut took. */
export interface Cut<T> {
  readonly items: T[];
  readonly bytes: number;
  readonly reason: CutReason;
  readonly firstAt: number;
}

/** When the accumulator wants to be cut: now, at a monotonic time in ms, at the end of the turn, or not at all while it is empty. */
export type Due = 'now' | 'turnEnd' | 'never' | number;

/** Bounds of one batch. */
export interface BatchBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/** Holds items in order of arrival and says when a batch is due. A class: it stands on the hot path of every offer. */
export class Accumulator<T extends HeldItem> {
  readonly #window: WindowRule;
  readonly #bounds: BatchBounds;
  readonly #items = new Deque<T>();
  #live = 0;
  #bytes = 0;
  #lastAt = 0;
  #dispatchedAt = Number.NEGATIVE_INFINITY;
  #raisedBarrier = -1;
  #forcedReason: CutReason = 'manual';

  constructor(window: WindowRule, bounds: BatchBounds) {
    this.#window = window;
    this.#bounds = bounds;
  }

  /** Items held that somebody still waits for. */
  get live(): number {
    return this.#live;
  }

  /** Whether a batch that was opened earlier is overdue at `now`: it must go before a newcomer, which is outside its window. */
  overdue(now: number): boolean {
    const first = this.#items.peek();
    return first !== undefined && !this.#window.atTurnEnd && now >= this.#window.dueAt(this.#times(first));
  }

  add(item: T): void {
    this.#items.push(item);
    this.#live++;
    this.#bytes += item.bytes;
    this.#lastAt = item.acceptedAt;
  }

  /** Its last waiter left. It stays where it is, so that a batch keeps the deadline its opener set, but it will not be sent. */
  forget(item: T): void {
    this.#live--;
    this.#bytes -= item.bytes;
    if (this.#live === 0) this.#items.clear();
    else if (this.#items.length > 2 * this.#live + 64) this.#compact();
  }

  /** Makes everything behind `barrier` and before it due at once. */
  raise(barrier: number, reason: 'manual' | 'shutdown'): void {
    this.#raisedBarrier = barrier;
    this.#forcedReason = reason;
  }

  due(): Due {
    if (this.#live === 0) return 'never';
    const first = this.#items.peek()!;
    if (first.barrier.index <= this.#raisedBarrier || (this.#isFull() && !this.#window.spaced)) return 'now';
    return this.#window.atTurnEnd ? 'turnEnd' : this.#window.dueAt(this.#times(first));
  }

  /** Takes the next batch off the front, to be dispatched at `now`, whether it is due or not; undefined when nothing is held. */
  cut(now: number, before?: T): Cut<T> | undefined {
    if (this.#live === 0) return undefined;
    const maxItems = this.#window.alone ? 1 : this.#bounds.maxItems;
    const { maxBytes } = this.#bounds;
    const first = this.#items.peek()!;
    const byWindow = this.#window.reason(this.#times(first));
    const items: T[] = [];
    let bytes = 0;
    let stoppedBy: CutReason | undefined;
    for (let next = this.#items.peek(); next !== undefined; next = this.#items.peek()) {
      if (next === before) break;
      if (!next.gone) {
        if (items.length >= maxItems) stoppedBy = 'size';
        else if (items.length > 0 && bytes + next.bytes > maxBytes) stoppedBy = 'bytes';
        if (stoppedBy !== undefined) break;
        items.push(next);
        bytes += next.bytes;
      }
      this.#items.shift();
    }
    if (items.length === 0) return undefined;
    this.#live -= items.length;
    this.#bytes -= bytes;
    this.#dispatchedAt = now;
    if (stoppedBy === undefined && items.length >= maxItems) stoppedBy = 'size';
    if (stoppedBy === undefined && bytes >= maxBytes) stoppedBy = 'bytes';
    if (this.#window.alone) stoppedBy = undefined;
    const reason = stoppedBy ?? (first.barrier.index <= this.#raisedBarrier ? this.#forcedReason : byWindow);
    return { items, bytes, reason, firstAt: first.acceptedAt };
  }

  #isFull(): boolean {
    return this.#live >= this.#bounds.maxItems || this.#bytes >= this.#bounds.maxBytes;
  }

  #times(first: T): Times {
    return { firstAt: first.acceptedAt, lastAt: this.#lastAt, dispatchedAt: this.#dispatchedAt };
  }

  #compact(): void {
    const opener = this.#items.peek();
    this.#items.filter((item) => item === opener || !item.gone);
  }
}
