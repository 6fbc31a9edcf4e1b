/** Deadline: a time that may come sooner than was first said. */

import type { Clock } from '../env/env.js';

/** A deadline. */
export interface Deadline {
  readonly passed: Promise<void>;
  isPassed(): boolean;
  cancel(): void;
  /** It comes no later than in so many milliseconds; nothing once it is cancelled. */
  shorten(ms: number): void;
}

/** A deadline `ms` from now. */
export function createDeadline(clock: Clock, ms: number): Deadline {
  let pass!: () => void;
  let isPassed = false;
  const passed = new Promise<void>((resolve) => {
    pass = () => {
      isPassed = true;
      resolve();
    };
  });
  let at = clock.now() + ms;
  let cancel = clock.after(ms, pass);
  return {
    passed,
    isPassed: () => isPassed,
    cancel() {
      cancel();
      at = Number.NEGATIVE_INFINITY;
    },
    shorten(to: number) {
      if (clock.now() + to >= at) return;
      cancel();
      at = clock.now() + to;
      cancel = clock.after(to, pass);
    },
  };
}
