/** Deque: a queue on an array with a moving front, because `Array.shift` is linear on long arrays. */

/** First in, first out, in constant time each (amortised). A class: it is the hottest object of the engine, and its layout matters. */
export class Deque<T> {
  #slots: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#slots.length - this.#head;
  }

  push(value: T): void {
    this.#slots.push(value);
  }

  peek(): T | undefined {
    return this.#slots[this.#head];
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#pass(1);
    return value;
  }

  /** Takes the first `count` values, or all if there are fewer. */
  take(count: number): T[] {
    const slots = this.#slots as T[];
    if (this.#head === 0 && count >= slots.length) {
      // Handed over, not copied: what is collected for one batch is its array.
      this.#slots = [];
      return slots;
    }
    const values = slots.slice(this.#head, this.#head + count);
    // What has left must not be kept alive from here.
    this.#slots.fill(undefined, this.#head, this.#head + values.length);
    this.#pass(values.length);
    return values;
  }

  clear(): void {
    this.#slots = [];
    this.#head = 0;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let i = this.#head; i < this.#slots.length; i++) yield this.#slots[i] as T;
  }

  /** The front moves on; once most of the array lies before it, the rest is moved down, which gives memory back after a burst. */
  #pass(count: number): void {
    this.#head += count;
    if (this.#head === this.#slots.length) this.clear();
    else if (this.#head >= 512 && this.#head * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
  }
}
