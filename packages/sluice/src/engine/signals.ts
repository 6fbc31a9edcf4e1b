/** Signals: many waiters, one listener on each abort signal, none left behind. */

import type { Cancel } from '../env/env.js';

/** Who waits on a signal, and the listener that tells them. */
interface Watch {
  readonly waiters: Set<{ readonly leave: () => void }>;
  readonly onAbort: () => void;
}

const watches = new WeakMap<AbortSignal, Watch>();

/**
 * Calls `leave` once when `signal` is aborted, unless it is cancelled before. However many wait on one signal, it carries one
 * listener, and none when the last of them has left: Node warns of a leak from the eleventh listener on.
 *
 * A signal that is aborted already calls nobody: look first.
 */
export function onAbort(signal: AbortSignal, leave: () => void): Cancel {
  const watch = watches.get(signal) ?? watchOver(signal);
  const waiter = { leave };
  watch.waiters.add(waiter);
  return () => {
    if (watch.waiters.delete(waiter) && watch.waiters.size === 0) stopWatching(signal, watch);
  };
}

function watchOver(signal: AbortSignal): Watch {
  const waiters: Watch['waiters'] = new Set();
  const watch: Watch = {
    waiters,
    onAbort() {
      stopWatching(signal, watch);
      for (const waiter of waiters) {
        // One that another has just cancelled is gone from the set, and is not called.
        waiters.delete(waiter);
        waiter.leave();
      }
    },
  };
  watches.set(signal, watch);
  signal.addEventListener('abort', watch.onAbort);
  return watch;
}

function stopWatching(signal: AbortSignal, watch: Watch): void {
  signal.removeEventListener('abort', watch.onAbort);
  if (watches.get(signal) === watch) watches.delete(signal);
}
