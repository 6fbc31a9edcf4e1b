/** Capacity: how much may be held at once, in items and bytes: open, in flight, waiting for a retry, abandoned. */

/** Bounds on all that is held. `Infinity` must be written by the user. */
export interface HeldBounds {
  readonly maxHeldItems: number;
  readonly maxHeldBytes: number;
}

/** Counts what is held against its bounds. */
export class Capacity {
  readonly #bounds: HeldBounds;
  items = 0;
  bytes = 0;

  constructor(bounds: HeldBounds) {
    this.#bounds = bounds;
  }

  hasRoomFor(bytes: number): boolean {
    return this.items < this.#bounds.maxHeldItems && this.bytes + bytes <= this.#bounds.maxHeldBytes;
  }

  /** How many items of no bytes it could take. */
  get roomForItems(): number {
    return this.#bounds.maxHeldItems - this.items;
  }

  /** Whether it could be held at all, were everything else gone. */
  couldHold(bytes: number): boolean {
    return bytes <= this.#bounds.maxHeldBytes;
  }

  take(items: number, bytes: number): void {
    this.items += items;
    this.bytes += bytes;
  }

  release(items: number, bytes: number): void {
    this.items -= items;
    this.bytes -= bytes;
  }
}
