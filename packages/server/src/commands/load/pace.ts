/** Pace: says when requests are due, at even distances, whatever becomes of them: an open loop. */

import type { Clock } from 'sluice';

/** What is due when. */
export interface PaceOptions {
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** Milliseconds from one to the next. */
  readonly intervalMs: number;
  readonly count: number;
  /** Ends it early. */
  readonly signal: AbortSignal;
}

/** Most that is sent in one turn of the event loop: answers are read in between, also where we are late. */
const maxATurn = 500;

/**
 * Calls `fire` for each, with the moment at which it was due; never before that, and after it only as far as timers (1 ms) and this process are
 * late. Resolves after the last one.
 */
export function pace(
  { clock, intervalMs, count, signal }: PaceOptions,
  fire: (dueAt: number, index: number) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const startedAt = clock.now();
    let next = 0;
    let cancel = (): void => {};
    const end = (): void => {
      cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const turn = (): void => {
      const now = clock.now();
      let dueAt = startedAt + next * intervalMs;
      for (let fired = 0; next < count && dueAt <= now && fired < maxATurn; fired++) {
        fire(dueAt, next++);
        dueAt = startedAt + next * intervalMs;
      }
      if (next === count) end();
      else cancel = clock.after(Math.max(0, dueAt - clock.now()), turn);
    };
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    else turn();
  });
}
