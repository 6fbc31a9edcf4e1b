/** Listeners: who is told when a stream has new records. */

import { asFailure } from '../core/errors.js';
import type { Env } from '../env/env.js';

/** Who listens to which stream. */
export interface Listeners {
  /** Returns how to stop listening. */
  add(stream: string, fn: () => void): () => void;
  tell(streams: Iterable<string>): void;
}

/** An empty set of listeners. One that throws is an event `callbackError`, and no business of the others. */
export function createListeners(env: Env): Listeners {
  const listeners = new Map<string, Set<() => void>>();
  return {
    add(stream, fn) {
      const listener = () => fn();
      const known = listeners.get(stream) ?? new Set();
      listeners.set(stream, known.add(listener));
      return () => {
        known.delete(listener);
        if (known.size === 0 && listeners.get(stream) === known) listeners.delete(stream);
      };
    },
    tell(streams) {
      for (const stream of streams) {
        for (const listener of [...(listeners.get(stream) ?? [])]) {
          try {
            listener();
          } catch (error) {
            env.observe({ type: 'callbackError', name: 'log', error: asFailure(error, 'permanent') });
          }
        }
      }
    },
  };
}
