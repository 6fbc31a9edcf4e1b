/** TestClock: time that moves only when a test moves it. */

import { numberOption } from '../core/options.js';
import type { Cancel } from '../env/env.js';
import { SteppedClock } from '../env/stepped-clock.js';
import { drainJobs, systemEnv } from '../env/system.js';

/** A clock that a test moves. `afterTurn` runs unaided, as the real one does. */
export class TestClock extends SteppedClock {
  readonly #afterTurn = systemEnv().clock.afterTurn;

  /** Timers started so far. */
  get timersStarted(): number {
    return this.startedCount;
  }

  afterTurn(fn: () => void): Cancel {
    return this.#afterTurn(fn);
  }

  /**
   * Moves time forward by `ms`. Timers fire in the order of their times, then of their making; promise jobs are drained before
   * the first, between any two, and after the last.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.now() + numberOption('TestClock.advance', ms, 0, { least: 0 });
    await drainJobs();
    for (let at = this.nextTimerAt(); at <= endMs; at = this.nextTimerAt()) {
      this.moveTo(at);
      this.fireNext();
      await drainJobs();
    }
    this.moveTo(endMs);
  }

  /** Lets promise jobs and `afterTurn` callbacks run; time stands still. */
  settle(): Promise<void> {
    return this.advance(0);
  }

  /** Moves time without firing what falls due, as a blocked event loop does; the timers fire with the next `advance`. */
  block(ms: number): void {
    this.moveTo(this.now() + ms);
  }
}
