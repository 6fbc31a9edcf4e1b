/** Flight: one dispatched batch, from cut to settle. */

import type { EngineItem } from './item.js';

/** One dispatched batch. `live` counts the items that somebody still waits for: at none, the call is aborted. */
export class Flight {
  readonly batchId: string;
  readonly items: readonly EngineItem<unknown>[];
  readonly #controller = new AbortController();
  #live: number;

  constructor(batchId: string, items: readonly EngineItem<unknown>[]) {
    this.batchId = batchId;
    this.items = items;
    this.#live = items.length;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** One of its items lost its last waiter. */
  leave(reason: Error): void {
    if (--this.#live === 0) this.abort(reason);
  }

  abort(reason: Error): void {
    this.#controller.abort(reason);
  }
}
