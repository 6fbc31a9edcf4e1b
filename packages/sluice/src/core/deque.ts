/** Deque: a ring buffer, because `Array.shift` is linear on long arrays. */

/** First in, first out, in constant time. A class: it is the hottest object of the engine, and its layout matters. */
export class Deque<T> {
  #slots: (T | undefined)[] = new Array(16);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: T): void {
    if (this.#length === this.#slots.length) this.#resize(this.#length * 2);
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = value;
    this.#length++;
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#slots[this.#head];
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length--;
    // Gives memory back after a burst; a quarter, so that a queue that breathes does not copy itself each time.
    if (this.#slots.length > 1024 && this.#length < this.#slots.length >> 2) this.#resize(this.#slots.length >> 1);
    return value;
  }

  clear(): void {
    this.#slots = new Array(16);
    this.#head = 0;
    this.#length = 0;
  }

  /** Keeps what `keep` wants, in order. */
  filter(keep: (value: T) => boolean): void {
    const kept: T[] = [];
    for (const value of this) if (keep(value)) kept.push(value);
    this.clear();
    for (const value of kept) this.push(value);
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let i = 0; i < this.#length; i++) yield this.#slots[(this.#head + i) & (this.#slots.length - 1)] as T;
  }

  #resize(capacity: number): void {
    const slots = new Array<T | undefined>(capacity);
    for (let i = 0; i < this.#length; i++) slots[i] = this.#slots[(this.#head + i) & (this.#slots.length - 1)];
    this.#slots = slots;
    this.#head = 0;
  }
}
