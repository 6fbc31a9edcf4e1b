/** timeout: bounds one attempt. What it cuts off is *unknown*: it may have happened. */

import { Aborter, whenAborted } from '../core/aborter.js';
import { Advice } from '../core/advice.js';
import type { Batch } from '../core/batch.js';
import { abortionOf, contextWith } from '../core/context.js';
import type { DispatchContext, Layer } from '../core/dispatcher.js';
import { failure, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { allFailed, type Outcome } from '../core/outcome.js';
import type { Cancel } from '../env/env.js';

/** Options of {@link timeout}. */
export interface TimeoutOptions {
  /** Longest time that one attempt may take, in milliseconds, 1 or more. The total deadline of the batch shortens it. */
  readonly timeoutMs: number;
  /**
   * Calls that may still run after their time-out, 1 or more. While there are any, they and the running calls together stay within
   * this number, so that they cannot pile up; `ready` waits. Default 4, as many as run at once by default.
   */
  readonly maxAbandoned?: number;
}

/**
 * Ends an attempt after `timeoutMs`, or when its signal is aborted: its items fail with `TIMEOUT` (class unknown), or with the
 * code of the signal's reason, and the inner call's own signal is aborted. A call that ignores that goes on *abandoned*: its
 * result is ignored and counted, its bytes are still held. What was not begun by then fails as `rejected`.
 */
export function timeout<I, R>(options: TimeoutOptions): Layer<I, R> {
  checkNames('timeout', options, ['timeoutMs', 'maxAbandoned']);
  const timeoutMs = numberOption('timeout.timeoutMs', options.timeoutMs ?? Number.NaN, 0, { least: 1, infinite: true });
  const maxAbandoned = numberOption('timeout.maxAbandoned', options.maxAbandoned, 4, { least: 1, whole: true, infinite: true });
  return (inner, env) => {
    let running = 0;
    let abandoned = 0;
    const line = new Set<() => void>();
    const askers = new Advice();

    // Every running call may come to be abandoned: while some are, each start must leave room for that.
    const mayStart = () => abandoned === 0 || running + abandoned < maxAbandoned;
    const wake = () => {
      for (const start of line) {
        if (!mayStart()) return;
        start();
      }
      // They only ask again, and whoever finds no place asks anew.
      if (mayStart()) askers.give();
    };

    const attempt = (batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]> =>
      new Promise((resolve) => {
        const { id: batchId, itemCount: items, bytes } = batch;
        const aborter = new Aborter();
        let state: 'waiting' | 'running' | 'abandoned' | 'done' = 'waiting';
        let cancelTimer: Cancel = () => {};
        let unlisten: Cancel = () => {};

        const leftMs = () => context.deadlineAt - env.clock.now();
        const end = (outcomes: readonly Outcome<R>[]) => {
          cancelTimer();
          line.delete(start);
          unlisten();
          resolve(outcomes);
        };
        const cutOff = (problem: SluiceError) => {
          if (state === 'waiting') {
            state = 'done';
            return end(allFailed(items, notBegun(problem)));
          }
          state = 'abandoned';
          running--;
          abandoned++;
          env.observe({ type: 'abandoned', batchId, items, bytes });
          end(allFailed(items, problem));
          aborter.abort(problem);
        };
        const onAbort = () => cutOff(abortFailure(context));
        const endIn = (ms: number) => {
          cancelTimer();
          if (ms !== Number.POSITIVE_INFINITY) cancelTimer = env.clock.after(ms, () => cutOff(timeoutFailure(ms)));
        };
        const answered = (outcomes: readonly Outcome<R>[]) => {
          const late = state === 'abandoned';
          state = 'done';
          if (late) {
            abandoned--;
            env.observe({ type: 'late', batchId, items, bytes });
          } else {
            running--;
            end(outcomes);
          }
          wake();
        };
        const start = () => {
          state = 'running';
          running++;
          line.delete(start);
          endIn(Math.min(timeoutMs, leftMs()));
          void inner.dispatch(batch, contextWith(aborter, context)).then(answered);
        };

        const outer = abortionOf(context);
        if (outer.aborted) return onAbort();
        if (leftMs() <= 0) return cutOff(timeoutFailure(0));
        unlisten = whenAborted(outer, onAbort);
        if (line.size === 0 && mayStart()) return start();
        // A retry of a hung sink must not pile up calls: it waits until an abandoned one has ended.
        line.add(start);
        endIn(leftMs());
      });

    return {
      ready: (lane) => (line.size === 0 && mayStart() ? inner.ready(lane) : askers.later()),
      dispatch: attempt,
    };
  };
}

function timeoutFailure(waitMs: number): SluiceError {
  return failure(`no answer after ${Math.round(waitMs)} ms; it may have happened all the same.`, {
    code: 'TIMEOUT',
    class: 'unknown',
  });
}

/** An aborted call may have happened as well: its class is unknown, whatever the reason. */
function abortFailure(context: DispatchContext): SluiceError {
  const reason = abortionOf(context).reason as unknown;
  return failure('the call was aborted; it may have happened all the same.', {
    code: reason instanceof Error && 'code' in reason && typeof reason.code === 'string' ? reason.code : 'CANCELLED',
    class: 'unknown',
    cause: reason,
  });
}

function notBegun(problem: SluiceError): SluiceError {
  const why = problem.code === 'TIMEOUT' ? 'its time was up before the call could begin' : 'it was aborted before the call began';
  return failure(`not sent: ${why}.`, { code: problem.code, class: 'rejected', cause: problem.cause });
}
