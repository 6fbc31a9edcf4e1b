/** SteppedClock: what clocks have in common whose time somebody moves: the time, and the timers that wait for it. */

import type { Cancel, Clock } from './env.js';
import { type Timer, TimerHeap } from './timer-heap.js';

/** Time that stands still until a subclass moves it. A class: it stands on the hot path of a simulation. */
export abstract class SteppedClock implements Clock {
  readonly movesWithinTurn = true;
  readonly #wallStartMs: number;
  readonly #timers = new TimerHeap();
  #started = 0;
  #nowMs = 0;

  /** @param wallStartMs the wall clock at monotonic 0, in epoch milliseconds. */
  constructor(wallStartMs = Date.UTC(2024, 0, 1)) {
    this.#wallStartMs = wallStartMs;
  }

  /** Timers that are running now. At rest there must be none. */
  get timers(): number {
    return this.#timers.live;
  }

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return this.#wallStartMs + this.#nowMs;
  }

  after(ms: number, fn: () => void): Cancel {
    const timer: Timer = { at: this.#nowMs + Math.max(0, ms), order: this.countStarted(), fn };
    this.#timers.add(timer);
    return () => this.#timers.cancel(timer);
  }

  abstract afterTurn(fn: () => void): Cancel;

  /** Starts so far; for each its number, which orders timers of the same time. */
  protected get startedCount(): number {
    return this.#started;
  }

  protected countStarted(): number {
    return this.#started++;
  }

  /** When the next timer is due; `Infinity` when none runs. */
  protected nextTimerAt(): number {
    return this.#timers.first()?.at ?? Number.POSITIVE_INFINITY;
  }

  /** Fires the next timer; which is first in time, then in its making. */
  protected fireNext(): void {
    const timer = this.#timers.first();
    const fn = timer?.fn;
    if (timer === undefined || fn === undefined) return;
    this.#timers.cancel(timer);
    fn();
  }

  /** Time does not run backwards. */
  protected moveTo(ms: number): void {
    this.#nowMs = Math.max(this.#nowMs, ms);
  }
}
