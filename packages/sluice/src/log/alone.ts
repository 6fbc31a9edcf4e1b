/** Alone: lets one record run while nothing else of its consumer is on its way. */

import type { Clock } from '../env/env.js';

/** Who may run alone, one after the other. */
export interface Alone {
  /** Somebody runs alone, or waits to: nobody else may offer anything. */
  readonly isTaken: boolean;
  /**
   * Waits until nothing is on its way, then runs `fn`; for at most `maxIdleMs`, since a record that is tried again and again must not hold
   * up the others for ever. Runs nothing when `left` has resolved before.
   */
  run(fn: () => Promise<void>, left: Promise<void>): Promise<void>;
}

/**
 * @param idle resolves when all that is on its way now has ended.
 * @param onFree called when others may go on.
 */
export function createAlone(idle: () => Promise<unknown>, clock: Clock, maxIdleMs: number, onFree: () => void): Alone {
  let last: Promise<void> = Promise.resolve();
  let waiting = 0;

  async function turn(fn: () => Promise<void>, left: Promise<void>): Promise<void> {
    let hasLeft = false;
    const leaving = left.then(() => {
      hasLeft = true;
    });
    await Promise.race([idleOrLate(), leaving]);
    if (!hasLeft) await Promise.race([fn(), leaving]);
  }

  async function idleOrLate(): Promise<void> {
    let cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = clock.after(maxIdleMs, resolve);
    });
    await Promise.race([idle(), late]);
    cancel();
  }

  return {
    get isTaken() {
      return waiting > 0;
    },
    run(fn, left) {
      waiting++;
      const ended = last
        .then(() => turn(fn, left))
        .finally(() => {
          waiting--;
          if (waiting === 0) onFree();
        });
      last = ended.catch(() => {});
      return ended;
    },
  };
}
