/** Deadlines: the times of many calls on few timers, one for each length of time that is in use. */

import type { Cancel, Clock } from '../env/env.js';

interface Deadline {
  readonly at: number;
  readonly expire: () => void;
}

/** The deadlines of one length. They fall due in the order in which they were started, which a set keeps: one timer serves them all. */
interface Line {
  readonly deadlines: Set<Deadline>;
  cancelTimer: Cancel;
}

/** Starts deadlines. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #lines = new Map<number, Line>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `expire` once in `ms`, unless it is cancelled before. */
  start(ms: number, expire: () => void): Cancel {
    const deadline: Deadline = { at: this.#clock.now() + ms, expire };
    const line = this.#lines.get(ms) ?? { deadlines: new Set(), cancelTimer: () => {} };
    line.deadlines.add(deadline);
    if (line.deadlines.size === 1) {
      this.#lines.set(ms, line);
      this.#watch(ms, line, deadline);
    }
    return () => this.#leave(ms, line, deadline);
  }

  #watch(ms: number, line: Line, { at }: Deadline): void {
    line.cancelTimer = this.#clock.after(at - this.#clock.now(), () => {
      // Its own time is up, even on a clock that stands still: fake timers may do that.
      const until = Math.max(at, this.#clock.now());
      for (const deadline of line.deadlines) {
        if (deadline.at > until) {
          this.#watch(ms, line, deadline);
          return;
        }
        this.#leave(ms, line, deadline);
        deadline.expire();
      }
    });
  }

  #leave(ms: number, line: Line, deadline: Deadline): void {
    if (!line.deadlines.delete(deadline) || line.deadlines.size > 0) return;
    line.cancelTimer();
    this.#lines.delete(ms);
  }
}
