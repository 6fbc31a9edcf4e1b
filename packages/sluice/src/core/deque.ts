/** Deque: a queue on an array with a moving front, because `Array.shift` is linear on long arrays. */

/** An array of up to so many slots is kept when it is emptied: growing a new one for each batch costs more than all else of an offer. */
const keptSlots = 1024;

/** First in, first out, in constant time each (amortised). A class: it is the hottest object of the engine, and its layout matters. */
export class Deque<T> {
  /** What has left, or is yet to come, is `undefined`, so that nothing is kept alive from here. */
  #slots: (T | undefined)[] = [];
  #head = 0;
  #tail = 0;

  get length(): number {
    return this.#tail - this.#head;
  }

  push(value: T): void {
    if (this.#tail < this.#slots.length) this.#slots[this.#tail] = value;
    else this.#slots.push(value);
    this.#tail++;
  }

  peek(): T | undefined {
    return this.#head < this.#tail ? this.#slots[this.#head] : undefined;
  }

  shift(): T | undefined {
    if (this.#head === this.#tail) return undefined;
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#pass(1);
    return value;
  }

  /** Takes the first `count` values, or all if there are fewer. */
  take(count: number): T[] {
    const end = Math.min(this.#head + count, this.#tail);
    if (this.#head === 0 && end === this.#tail && end > keptSlots) return this.#handOver();
    const values = this.#slots.slice(this.#head, end) as T[];
    this.#slots.fill(undefined, this.#head, end);
    this.#pass(values.length);
    return values;
  }

  clear(): void {
    this.take(this.length);
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let i = this.#head; i < this.#tail; i++) yield this.#slots[i] as T;
  }

  /** The array itself, where it would not be kept. */
  #handOver(): T[] {
    const slots = this.#slots as T[];
    slots.length = this.#tail;
    this.#slots = [];
    this.#tail = 0;
    return slots;
  }

  /** The front moves on; once most of the array lies before it, the rest is moved down, which gives memory back after a burst. */
  #pass(count: number): void {
    this.#head += count;
    if (this.#head === this.#tail) {
      if (this.#slots.length > keptSlots) this.#slots = [];
      this.#head = 0;
      this.#tail = 0;
    } else if (this.#head >= 512 && this.#head * 2 > this.#tail) {
      this.#slots = this.#slots.slice(this.#head, this.#tail);
      this.#tail -= this.#head;
      this.#head = 0;
    }
  }
}
