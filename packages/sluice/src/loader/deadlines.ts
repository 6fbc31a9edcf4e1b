/** Deadlines: the times of many calls on few timers, one for each length of time that is in use. */

import { Deque } from '../core/deque.js';
import type { Cancel, Clock } from '../env/env.js';

interface Deadline {
  readonly at: number;
  expire: (() => void) | undefined;
}

/** Starts deadlines. Those of one length fall due in the order in which they were started, so that each length needs one timer only. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #byLength = new Map<number, Line>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `expire` once in `ms`, unless it is cancelled before. */
  start(ms: number, expire: () => void): Cancel {
    let line = this.#byLength.get(ms);
    if (line === undefined) {
      const made = new Line(this.#clock, () => this.#byLength.delete(ms));
      this.#byLength.set(ms, made);
      line = made;
    }
    return line.start(ms, expire);
  }
}

/** The deadlines of one length. */
class Line {
  readonly #clock: Clock;
  readonly #onEmpty: () => void;
  readonly #deadlines = new Deque<Deadline>();
  #live = 0;
  #cancelTimer: Cancel = () => {};

  constructor(clock: Clock, onEmpty: () => void) {
    this.#clock = clock;
    this.#onEmpty = onEmpty;
  }

  start(ms: number, expire: () => void): Cancel {
    const deadline: Deadline = { at: this.#clock.now() + ms, expire };
    this.#deadlines.push(deadline);
    if (this.#live++ === 0) this.#watchFirst(ms);
    return () => {
      if (deadline.expire === undefined) return;
      deadline.expire = undefined;
      this.#left();
      // Those in the middle are dropped in passing: a line that breathes does not copy itself each time.
      if (this.#deadlines.length > 2 * this.#live + 64) this.#deadlines.filter((each) => each.expire !== undefined);
    };
  }

  #left(): void {
    if (--this.#live > 0) return;
    this.#cancelTimer();
    this.#deadlines.clear();
    this.#onEmpty();
  }

  #watchFirst(ms: number): void {
    this.#cancelTimer = this.#clock.after(ms, () => this.#expire());
  }

  #expire(): void {
    // The first one's time is up even on a clock that stood still or a timer that fired early: fake timers do both.
    const until = Math.max(this.#clock.now(), this.#deadlines.peek()?.expire === undefined ? 0 : this.#deadlines.peek()!.at);
    for (let first = this.#deadlines.peek(); first !== undefined; first = this.#deadlines.peek()) {
      if (first.expire !== undefined && first.at > until) {
        this.#watchFirst(first.at - this.#clock.now());
        return;
      }
      this.#deadlines.shift();
      const { expire } = first;
      if (expire === undefined) continue;
      first.expire = undefined;
      this.#left();
      expire();
    }
  }
}
