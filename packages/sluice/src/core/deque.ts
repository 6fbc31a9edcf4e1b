/** Deque: a queue on pieces of array with a moving front: `Array.shift` is linear on long arrays, and a long one is copied as it grows. */

/** An array of up to so many slots is kept when it is emptied: growing a new one for each batch costs more than all else of an offer. */
const keptSlots = 1024;

/** A piece has so many slots, and every one but the last is full. */
const pieceSlots = 4096;

/** First in, first out, in constant time each (amortised). A class: it is the hottest object of the engine, and its layout matters. */
export class Deque<T> {
  /** Where the next one leaves. What has left, or is yet to come, is `undefined`, so that nothing is kept alive from here. */
  #front: (T | undefined)[] = [];
  #head = 0;
  #middle: (T | undefined)[][] = [];
  /** Where the next one comes in: the front, while one piece is enough. */
  #back = this.#front;
  #tail = 0;
  /** Slots of the pieces before the back. */
  #before = 0;

  get length(): number {
    return this.#before + this.#tail - this.#head;
  }

  push(value: T): void {
    if (this.#tail < this.#back.length) this.#back[this.#tail] = value;
    else if (this.#tail < pieceSlots) this.#back.push(value);
    else this.#begin(value);
    this.#tail++;
  }

  peek(): T | undefined {
    return this.length > 0 ? this.#front[this.#head] : undefined;
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const value = this.#front[this.#head];
    this.#front[this.#head] = undefined;
    this.#pass(1);
    return value;
  }

  /** Takes the first `count` values, or all if there are fewer. */
  take(count: number): T[] {
    const values = this.#takeOfFront(count);
    // A piece is short enough to be spread; the whole would not be.
    while (values.length < count && this.length > 0) values.push(...this.#takeOfFront(count - values.length));
    return values;
  }

  clear(): void {
    this.take(this.length);
  }

  /** The back is full. */
  #begin(value: T): void {
    if (this.#back !== this.#front) this.#middle.push(this.#back);
    this.#back = [value];
    this.#tail = 0;
    this.#before += pieceSlots;
  }

  #takeOfFront(count: number): T[] {
    const end = Math.min(this.#head + count, this.#front === this.#back ? this.#tail : pieceSlots);
    const values = this.#front.slice(this.#head, end) as T[];
    this.#front.fill(undefined, this.#head, end);
    this.#pass(values.length);
    return values;
  }

  /** The front moves on, and once it is through its piece, to the next. */
  #pass(count: number): void {
    this.#head += count;
    if (this.#front !== this.#back) {
      if (this.#head < pieceSlots) return;
      this.#front = this.#middle.shift() ?? this.#back;
      this.#before -= pieceSlots;
    } else {
      if (this.#head < this.#tail) return;
      if (this.#tail > keptSlots) this.#front = this.#back = [];
      this.#tail = 0;
    }
    this.#head = 0;
  }
}
