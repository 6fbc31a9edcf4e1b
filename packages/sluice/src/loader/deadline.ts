/** deadline: bounds all attempts of a batch together. */

import type { Layer } from '../core/dispatcher.js';

/** Gives a batch `deadlineMs` from its dispatch; the time-out shortens the last attempt to it, and retry starts no pause that would end past it. */
export function deadline<I, R>(deadlineMs: number): Layer<I, R> {
  return (inner, env) => ({
    ready: (lane) => inner.ready(lane),
    dispatch: (batch, context) => {
      const deadlineAt = Math.min(context.deadlineAt, env.clock.now() + deadlineMs);
      return inner.dispatch(batch, { ...context, deadlineAt });
    },
  });
}
