/** TimerHeap: timers in the order of their times, then of their making. */

/** A timer that has been started. Without a function it has fired, or was cancelled. */
export interface Timer {
  readonly at: number;
  readonly order: number;
  fn: (() => void) | undefined;
}

/** A binary heap of timers. A class: it stands on the hot path of a simulation. */
export class TimerHeap {
  readonly #heap: Timer[] = [];
  #live = 0;

  /** Timers that are still to fire. */
  get live(): number {
    return this.#live;
  }

  add(timer: Timer): void {
    this.#live++;
    this.#push(timer);
  }

  /** It will not fire, or has; harmless when it is cancelled already. */
  cancel(timer: Timer): void {
    if (timer.fn === undefined) return;
    timer.fn = undefined;
    this.#live--;
    // A time-out per call is cancelled nearly always: without this the heap would hold all of the last 30 seconds.
    if (this.#heap.length > 2 * this.#live + 64) this.#compact();
  }

  /** The first timer that is still to fire. */
  first(): Timer | undefined {
    while (this.#heap.length > 0 && this.#heap[0]!.fn === undefined) this.#shift();
    return this.#heap[0];
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, timer)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  #shift(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length > 0) this.#sink(last, 0);
  }

  #sink(timer: Timer, from: number): void {
    const heap = this.#heap;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (isBefore(timer, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = timer;
  }

  #compact(): void {
    const heap = this.#heap;
    let kept = 0;
    for (const timer of heap) if (timer.fn !== undefined) heap[kept++] = timer;
    heap.length = kept;
    for (let at = (kept >> 1) - 1; at >= 0; at--) this.#sink(heap[at]!, at);
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
