/** Flight: one dispatched batch, from cut to settle, and on until the last of its abandoned calls has ended. */

import { Aborter } from '../core/aborter.js';
import type { Cut } from '../core/accumulator.js';
import { type Batch, type CutReason, lazyBatch, type Members } from '../core/batch.js';
import type { Run } from '../core/runs.js';
import type { Barrier } from './barrier.js';
import { EngineItem } from './item.js';
import type { Lane } from './lane.js';

/** What was cut, as the engine cuts it: items, and values that were merely offered. */
export type EngineCut = Cut<unknown, Barrier>;

/** One dispatched batch. `live` counts the items that somebody still waits for: at none, the call is aborted. */
export class Flight implements Members<unknown> {
  readonly batchId: string;
  readonly lane: Lane<unknown>;
  /** {@link EngineItem}s, and bare values. */
  readonly held: readonly unknown[];
  readonly runs: readonly Run<Barrier>[];
  readonly bytes: number;
  readonly reason: CutReason;
  readonly firstAt: number;
  /** They are all bare values: nobody waits for any of them, and none can leave. */
  readonly bare: boolean;
  #dropped = false;
  #made: readonly EngineItem<unknown>[] = [];
  readonly aborter = new Aborter();
  #live: number;
  #settled = false;
  #abandonedItems = 0;
  #abandonedBytes = 0;

  constructor(batchId: string, lane: Lane<unknown>, { held, runs, bytes, reason, firstAt, bare }: EngineCut) {
    this.batchId = batchId;
    this.lane = lane;
    this.held = held;
    this.runs = runs;
    this.bytes = bytes;
    this.reason = reason;
    this.firstAt = firstAt;
    this.bare = bare;
    this.#live = held.length;
  }

  /** What it still holds: everything until it is settled, then what abandoned calls may still read, each item once. */
  get heldItems(): number {
    return this.#settled ? Math.min(this.#abandonedItems, this.held.length) : this.held.length;
  }

  get heldBytes(): number {
    return this.#settled ? Math.min(this.#abandonedBytes, this.bytes) : this.bytes;
  }

  get isSettled(): boolean {
    return this.#settled;
  }

  /** Settled, and no call of it runs any more. */
  get isOver(): boolean {
    return this.#settled && this.#abandonedItems === 0;
  }

  /** The drain deadline passed while it was under way: all that it carries is settled. */
  get dropped(): boolean {
    return this.#dropped;
  }

  /** Nobody waits for what it carries any more. */
  drop(): void {
    this.#dropped = true;
    for (const item of this.#made) item.gone = true;
  }

  /** Says to its items that they have left; bare values need not be told. */
  depart(): void {
    if (this.bare) return;
    for (const held of this.held) {
      if (!(held instanceof EngineItem)) continue;
      held.phase = 'inFlight';
      held.flight = this;
    }
  }

  /** When the last waiter of the last item stops waiting. */
  deadlineAt(): number {
    if (this.bare) return Number.POSITIVE_INFINITY;
    let latest = 0;
    for (const held of this.held) {
      const deadlineAt = held instanceof EngineItem ? held.deadlineAt : Number.POSITIVE_INFINITY;
      if (deadlineAt === Number.POSITIVE_INFINITY) return deadlineAt;
      latest = Math.max(latest, deadlineAt);
    }
    return latest;
  }

  /** The batch that the layers see. Of bare values items are made only if one of them looks. */
  batch<I>(): Batch<I> {
    return lazyBatch<I>(this.batchId, this.lane.name, this.bytes, this.reason, this as unknown as Members<I>);
  }

  get itemCount(): number {
    return this.held.length;
  }

  /** What was offered, in order; a fresh array. */
  values(): unknown[] {
    const { held } = this;
    if (this.bare) return held.slice();
    const values = new Array<unknown>(held.length);
    for (let i = 0; i < held.length; i++) {
      const one = held[i];
      values[i] = one instanceof EngineItem ? one.value : one;
    }
    return values;
  }

  items(): readonly EngineItem<unknown>[] {
    if (this.held.every((held) => held instanceof EngineItem)) return this.held as readonly EngineItem<unknown>[];
    const items: EngineItem<unknown>[] = [];
    for (const run of this.runs) {
      for (let i = 0; i < run.length; i++) {
        const held = this.held[items.length];
        items.push(held instanceof EngineItem ? held : this.#itemOf(held, run));
      }
    }
    this.#made = items;
    return items;
  }

  settle(): void {
    this.#settled = true;
  }

  /** A call with so many of its items goes on unobserved; negative when it has ended. */
  abandon(items: number, bytes: number): void {
    this.#abandonedItems += items;
    this.#abandonedBytes += bytes;
  }

  /** One of its items lost its last waiter. */
  leave(reason: Error): void {
    if (--this.#live === 0) this.abort(reason);
  }

  abort(reason: Error): void {
    this.aborter.abort(reason);
  }

  #itemOf(value: unknown, run: Run<Barrier>): EngineItem<unknown> {
    const item = new EngineItem(value, 0);
    item.phase = 'inFlight';
    item.run = run;
    item.flight = this;
    item.gone = this.#dropped;
    return item;
  }
}
