/** Send awaited: while somebody waits until records are settled, what is held leaves before its window ends. */

import type { Window } from '../core/window.js';
import type { ConsumerEngine } from './consumer-engine.js';
import type { SettledWaiters } from './settled-waiters.js';

/**
 * Makes a function for whenever records are held or awaited. It sends what is held, once all that was sent so before is settled: whoever waits
 * gets its answer after one call or two, and a call has all that came during the one before (as Nagle's algorithm, RFC 896, fills its segments).
 * `maxDelayMs` is the longest that a record waits, so it may wait less; the other windows promise the sink a rhythm, and are kept.
 */
export function sendAwaited(
  engine: Pick<ConsumerEngine, 'flush' | 'tally'>,
  waiters: Pick<SettledWaiters, 'count'>,
  window: Window,
): () => void {
  const maySendEarly = typeof window === 'object' && 'maxDelayMs' in window;
  let isUnderWay = false;
  return send;

  function send(): void {
    if (!maySendEarly || isUnderWay || waiters.count === 0 || engine.tally().held === 0) return;
    isUnderWay = true;
    void engine.flush('awaited').then(() => {
      isUnderWay = false;
      send();
    });
  }
}
