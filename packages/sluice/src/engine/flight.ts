/** Flight: one dispatched batch, from cut to settle, and on until the last of its abandoned calls has ended. */

import type { EngineItem } from './item.js';

/** One dispatched batch. `live` counts the items that somebody still waits for: at none, the call is aborted. */
export class Flight {
  readonly batchId: string;
  readonly items: readonly EngineItem<unknown>[];
  readonly bytes: number;
  readonly #controller = new AbortController();
  #live: number;
  #settled = false;
  #abandonedItems = 0;
  #abandonedBytes = 0;

  constructor(batchId: string, items: readonly EngineItem<unknown>[], bytes: number) {
    this.batchId = batchId;
    this.items = items;
    this.bytes = bytes;
    this.#live = items.length;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What it still holds: everything until it is settled, then what abandoned calls may still read, each item once. */
  get heldItems(): number {
    return this.#settled ? Math.min(this.#abandonedItems, this.items.length) : this.items.length;
  }

  get heldBytes(): number {
    return this.#settled ? Math.min(this.#abandonedBytes, this.bytes) : this.bytes;
  }

  /** Settled, and no call of it runs any more. */
  get isOver(): boolean {
    return this.#settled && this.#abandonedItems === 0;
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
    this.#controller.abort(reason);
  }
}
