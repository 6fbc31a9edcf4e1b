/** Waiting: whoever waits in a layer may leave, when the signal is aborted or the time is up; what was not begun is *rejected*. */

import { type Abortable, whenAborted } from '../core/aborter.js';
import { abortionOf } from '../core/context.js';
import type { DispatchContext } from '../core/dispatcher.js';
import { failure, type SluiceError } from '../core/errors.js';
import type { Cancel, Env } from '../env/env.js';

/**
 * Calls `leave` once with the failure of a batch that was not sent: when its signal is aborted, or its deadline has come. At once,
 * synchronously, when that is so already.
 *
 * @returns what stops the watch; it leaves no timer and no listener behind.
 */
export function whileWaiting(env: Env, context: DispatchContext, leave: (problem: SluiceError) => void): Cancel {
  const signal = abortionOf(context);
  if (signal.aborted) {
    leave(aborted(signal));
    return () => {};
  }
  const leftMs = context.deadlineAt - env.clock.now();
  if (leftMs <= 0) {
    leave(outOfTime());
    return () => {};
  }
  let cancelTimer: Cancel = () => {};
  const stop = () => {
    cancelTimer();
    unlisten();
  };
  const onAbort = () => {
    stop();
    leave(aborted(signal));
  };
  const unlisten = whenAborted(signal, onAbort);
  if (leftMs !== Number.POSITIVE_INFINITY) {
    cancelTimer = env.clock.after(leftMs, () => {
      stop();
      leave(outOfTime());
    });
  }
  return stop;
}

function aborted(signal: Abortable): SluiceError {
  const reason = signal.reason as unknown;
  const code = reason instanceof Error && 'code' in reason && typeof reason.code === 'string' ? reason.code : 'CANCELLED';
  return failure('not sent: it was aborted before the call began.', { code, class: 'rejected', cause: reason });
}

function outOfTime(): SluiceError {
  return failure('not sent: its time was up before the call could begin.', { code: 'TIMEOUT', class: 'rejected' });
}
