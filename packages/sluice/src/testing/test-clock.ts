/** TestClock: time that moves only when a test moves it. */

import { numberOption } from '../core/options.js';
import type { Cancel, Clock } from '../env/env.js';
import { drainJobs, systemEnv } from '../env/system.js';

/** A timer that has been started and has not fired. */
interface Timer {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
}

/** A clock that a test moves. `afterTurn` runs unaided, as the real one does. */
export class TestClock implements Clock {
  readonly movesWithinTurn = true;
  #nowMs = 0;
  readonly #wallStartMs: number;
  readonly #timers = new Set<Timer>();
  #started = 0;
  readonly #afterTurn = systemEnv().clock.afterTurn;

  /** @param wallStartMs the wall clock at monotonic 0, in epoch milliseconds. Default 2024-01-01T00:00:00Z. */
  constructor(wallStartMs = Date.UTC(2024, 0, 1)) {
    this.#wallStartMs = wallStartMs;
  }

  /** Timers that are running now. At rest there must be none. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Timers started so far. */
  get timersStarted(): number {
    return this.#started;
  }

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return this.#wallStartMs + this.#nowMs;
  }

  after(ms: number, fn: () => void): Cancel {
    const timer: Timer = { at: this.#nowMs + Math.max(0, ms), order: this.#started++, fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  afterTurn(fn: () => void): Cancel {
    return this.#afterTurn(fn);
  }

  /**
   * Moves time forward by `ms`. Timers fire in the order of their times, then of their making; promise jobs are drained before
   * the first, between any two, and after the last.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + numberOption('TestClock.advance', ms, 0, { least: 0 });
    await drainJobs();
    for (let next = this.#firstUntil(endMs); next !== undefined; next = this.#firstUntil(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.at);
      this.#timers.delete(next);
      next.fn();
      await drainJobs();
    }
    // Two advances may overlap, and time does not run backwards.
    this.#nowMs = Math.max(this.#nowMs, endMs);
  }

  /** Lets promise jobs and `afterTurn` callbacks run; time stands still. */
  settle(): Promise<void> {
    return this.advance(0);
  }

  /** Moves time without firing what falls due, as a blocked event loop does; the timers fire with the next `advance`. */
  block(ms: number): void {
    this.#nowMs += ms;
  }

  #firstUntil(endMs: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (
        timer.at <= endMs &&
        (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
      )
        first = timer;
    }
    return first;
  }
}
