/** Pacer: lets a loop go on at a rate. */

import type { Env } from '../env/env.js';
import { tokenBucket } from './token-bucket.js';

/** A function that waits for the next turn, `perSecond` of them a second, evenly spaced; not at all once the signal is aborted. */
export function pacer(perSecond: number, clock: Env['clock'], signal: AbortSignal | undefined): () => Promise<void> {
  if (perSecond === Number.POSITIVE_INFINITY) return async () => {};
  const bucket = tokenBucket(perSecond, 1, 1, clock.now());
  return async () => {
    const now = clock.now();
    bucket.refill(now);
    const waitMs = bucket.waitMs(now);
    if (waitMs > 0 && !signal?.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          cancel();
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        const cancel = clock.after(waitMs, wake);
        signal?.addEventListener('abort', wake);
      });
      if (!signal?.aborted) bucket.ripen(now + waitMs);
    }
    bucket.take(1);
  };
}
