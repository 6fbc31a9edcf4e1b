/** Room: callers that wait until there is room for their item; first come, first served. */

import type { SluiceError } from '../core/errors.js';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: SluiceError) => void;
}

/** The line of callers that wait for room: a map, because it keeps the order of arrival and lets anyone leave. */
export class Room<E> {
  readonly #line = new Map<E, Waiter>();

  get waiting(): number {
    return this.#line.size;
  }

  wait(item: E): Promise<void> {
    return new Promise((resolve, reject) => this.#line.set(item, { resolve, reject }));
  }

  /** Who is first in line. */
  next(): E | undefined {
    return this.#line.size === 0 ? undefined : this.#line.keys().next().value;
  }

  /** Takes an item out of the line and tells its caller that it is accepted. */
  admit(item: E): void {
    this.#line.get(item)!.resolve();
    this.#line.delete(item);
  }

  leave(item: E, reason: SluiceError): void {
    this.#line.get(item)?.reject(reason);
    this.#line.delete(item);
  }

  /** Sends everyone away. */
  takeAll(reason: SluiceError): E[] {
    const items = [...this.#line.keys()];
    for (const item of items) this.leave(item, reason);
    return items;
  }
}
