/** Settled within: waits for work that may hang. */

import type { Env } from 'sluice';

/** Waits for work that may hang, and no longer than that; what it fails with does not stop the stop. */
export function settledWithin(env: Env, ms: number, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const cancel = env.clock.after(ms, resolve);
    const done = () => {
      cancel();
      resolve();
    };
    work.then(done, done);
  });
}
