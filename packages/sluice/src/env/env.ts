/** Env: time, randomness and observation, passed in. Nothing else in the library touches a clock, a timer or Math.random. */

import type { SluiceEvent } from '../core/event.js';

/** Stops what has been scheduled; harmless when it has run already. */
export type Cancel = () => void;

/** Time. Intervals are measured on the monotonic clock only: a jump of the wall clock changes nothing. */
export interface Clock {
  /** Monotonic milliseconds, from an arbitrary start. */
  now(): number;
  /** It may move while one run of code goes on, as a simulated clock does: no reading may stand for a later one. Default false. */
  readonly movesWithinTurn?: boolean;
  /** Epoch milliseconds: for records and people only. */
  wall(): number;
  /** Runs `fn` once after `ms` (0 or more, any length: long waits are chained). Keeps the process alive until then. */
  after(ms: number, fn: () => void): Cancel;
  /** Runs `fn` once, when this turn of the event loop and its promise jobs are done. */
  afterTurn(fn: () => void): Cancel;
}

/** Randomness. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
}

/** All that the engine takes from the outside world. Every factory takes one as `env`; the default is the system's. */
export interface Env {
  readonly clock: Clock;
  readonly random: Random;
  /** Told of everything that happens. Must not throw; what it throws is ignored. */
  observe(event: SluiceEvent): void;
  /**
   * What a caller's item is to carry of where it came from, such as the context of the active span; asked once a call, in the caller's
   * own context. Without it, which is the default, items carry nothing and cost nothing.
   */
  origin?(): unknown;
  /** Runs `fn` in the asynchronous context in which the loader or batcher was made, never in that of the caller who happened to be first. */
  neutral<T>(fn: () => T): T;
}
