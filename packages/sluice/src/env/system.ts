/** The system's env. The only file of the library that touches timers, the clocks and Math.random. */

import type { Cancel, Clock, Env, Random } from './env.js';

/** Longest wait that a timer of the platform takes; a longer one would fire after 1 ms, so it is chained. */
const longestTimerMs = 2_147_483_647;

/**
 * The env of the running process: monotonic time, real timers, `Math.random`, no observer.
 *
 * Timers are looked up at each call, so that fake timers of a test framework work without injection.
 *
 * @param overrides members to replace, such as `observe`.
 */
export function systemEnv(overrides: Partial<Env> = {}): Env {
  return { clock: systemClock, random: systemRandom, observe: ignore, neutral: capturedContext(), ...overrides };
}

const systemRandom: Random = { next: () => Math.random() };

const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: startTimer,
  afterTurn,
};

function ignore(): void {}

function startTimer(ms: number, fn: () => void): Cancel {
  if (!(ms > longestTimerMs)) {
    // Whole milliseconds, rounded up, for the platform would cut the fraction off and fire early. Less than a microsecond is what
    // adding and subtracting leaves behind.
    const timer = globalThis.setTimeout(fn, Math.max(0, Math.ceil(ms - 0.001)));
    return () => globalThis.clearTimeout(timer);
  }
  let cancelRest: Cancel = ignore;
  const timer = globalThis.setTimeout(() => {
    cancelRest = startTimer(ms - longestTimerMs, fn);
  }, longestTimerMs);
  return () => {
    globalThis.clearTimeout(timer);
    cancelRest();
  };
}

interface NextTick {
  readonly process?: { nextTick?(fn: () => void): void; getBuiltinModule?(name: string): unknown };
  readonly setImmediate?: (fn: () => void) => unknown;
}

/**
 * Runs `fn` when this turn and its promise jobs are done: `Clock.afterTurn` of the system.
 *
 * Node runs nextTick callbacks only once the promise jobs are done: a job that schedules one is behind all jobs queued so far.
 */
export function afterTurn(fn: () => void): Cancel {
  let cancelled = false;
  const run = () => {
    if (!cancelled) fn();
  };
  const platform = globalThis as NextTick;
  if (platform.process?.nextTick !== undefined) {
    const { process } = platform;
    void Promise.resolve().then(() => process.nextTick!(run));
  } else if (platform.setImmediate !== undefined) {
    platform.setImmediate(run);
  } else {
    globalThis.setTimeout(run, 0);
  }
  return () => {
    cancelled = true;
  };
}

/**
 * Lets every promise job that is queued now, and those that they queue, run.
 *
 * @internal For the test clock, which drains between two timers.
 */
export function drainJobs(): Promise<void> {
  return new Promise((resolve) => {
    if (realImmediate !== undefined) realImmediate(() => resolve());
    else globalThis.setTimeout(resolve, 0);
  });
}

/** Taken at the start: a test that fakes the timers and also moves a test clock would else wait for itself. */
const realImmediate = (globalThis as NextTick).setImmediate;

interface AsyncHooks {
  readonly AsyncLocalStorage: {
    new (): { run<R>(value: unknown, fn: () => R): R; getStore(): unknown };
    snapshot?(): <T>(fn: () => T) => T;
  };
}

function asyncHooks(): AsyncHooks | undefined {
  return (globalThis as NextTick).process?.getBuiltinModule?.('node:async_hooks') as AsyncHooks | undefined;
}

/** A value that goes with an asynchronous flow. */
export interface ContextVariable<T> {
  run<R>(value: T, fn: () => R): R;
  get(): T | undefined;
}

/** A value that goes with an asynchronous flow; undefined where the platform has no such thing. */
export function contextVariable<T>(): ContextVariable<T> | undefined {
  const hooks = asyncHooks();
  if (hooks === undefined) return undefined;
  const storage = new hooks.AsyncLocalStorage();
  return { run: (value, fn) => storage.run(value, fn), get: () => storage.getStore() as T | undefined };
}

/** Runs functions in the asynchronous context of this call; where the platform has none, just runs them. */
export function capturedContext(): <T>(fn: () => T) => T {
  return asyncHooks()?.AsyncLocalStorage.snapshot?.() ?? ((fn) => fn());
}
