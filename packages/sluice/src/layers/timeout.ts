/** timeout: bounds one attempt. What it cuts off is *unknown*: it may have happened. */

import type { Batch } from '../core/batch.js';
import { Deque } from '../core/deque.js';
import type { DispatchContext, Layer } from '../core/dispatcher.js';
import { failure, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { allFailed, type Outcome } from '../core/outcome.js';
import type { Cancel } from '../env/env.js';

/** Options of {@link timeout}. */
export interface TimeoutOptions {
  /** Longest time that one attempt may take, in milliseconds, above 0. The total deadline of the batch shortens it. */
  readonly timeoutMs: number;
  /** Calls that may still run after their time-out, beyond which `ready` waits. 1 or more. Default 4, as many as run at once by default. */
  readonly maxAbandoned?: number;
}

/**
 * Ends an attempt after `timeoutMs`, or when its signal is aborted: its items fail with `TIMEOUT` (class unknown), or with the
 * signal's reason, and the inner call's own signal is aborted. A call that ignores that goes on *abandoned*: its result is ignored
 * and counted, its bytes are still held.
 */
export function timeout<I, R>(options: TimeoutOptions): Layer<I, R> {
  checkNames('timeout', options, ['timeoutMs', 'maxAbandoned']);
  const timeoutMs = numberOption('timeout.timeoutMs', options.timeoutMs, 0, { least: 1, infinite: true });
  const maxAbandoned = numberOption('timeout.maxAbandoned', options.maxAbandoned, 4, { least: 1, whole: true, infinite: true });
  return (inner, env) => {
    let abandoned = 0;
    const line = new Set<() => void>();
    const askers = new Deque<() => void>();

    const attempt = (batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]> =>
      new Promise((resolve) => {
        const controller = new AbortController();
        const items = batch.items.length;
        let state: 'waiting' | 'running' | 'abandoned' | 'done' = 'waiting';
        let cancelTimer: Cancel = () => {};

        const end = (outcomes: readonly Outcome<R>[]) => {
          cancelTimer();
          line.delete(start);
          context.signal.removeEventListener('abort', onAbort);
          resolve(outcomes);
        };
        const cutOff = (problem: SluiceError) => {
          const began = state === 'running';
          state = began ? 'abandoned' : 'done';
          if (began) {
            abandoned++;
            env.observe({ type: 'abandoned', batchId: batch.id, items, bytes: batch.bytes });
          }
          end(
            allFailed(
              items,
              began ? problem : failure(problem.message, { code: problem.code, class: 'rejected', cause: problem.cause }),
            ),
          );
          controller.abort(problem);
        };
        const onAbort = () => cutOff(abortFailure(context));
        const start = () => {
          state = 'running';
          line.delete(start);
          cancelTimer();
          const waitMs = Math.min(timeoutMs, context.deadlineAt - env.clock.now());
          cancelTimer =
            waitMs === Number.POSITIVE_INFINITY
              ? () => {}
              : env.clock.after(Math.max(0, waitMs), () => cutOff(timeoutFailure(waitMs)));
          void inner.dispatch(batch, { ...context, signal: controller.signal }).then((outcomes) => {
            if (state === 'running') {
              state = 'done';
              return end(outcomes);
            }
            state = 'done';
            abandoned--;
            env.observe({ type: 'late', batchId: batch.id, items, bytes: batch.bytes });
            const [next] = line;
            (next ?? askers.shift())?.();
          });
        };

        if (context.signal.aborted) return cutOff(abortFailure(context));
        context.signal.addEventListener('abort', onAbort);
        if (abandoned < maxAbandoned) return start();
        // A retry of a hung sink must not pile up calls: it waits until an abandoned one has ended.
        line.add(start);
        const leftMs = context.deadlineAt - env.clock.now();
        if (leftMs !== Number.POSITIVE_INFINITY)
          cancelTimer = env.clock.after(Math.max(0, leftMs), () => cutOff(timeoutFailure(leftMs)));
      });

    return {
      ready: (lane) => (abandoned < maxAbandoned ? inner.ready(lane) : new Promise<void>((resolve) => askers.push(resolve))),
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
  const reason = context.signal.reason as unknown;
  return failure('the call was aborted; it may have happened all the same.', {
    code: reason instanceof Error && 'code' in reason && typeof reason.code === 'string' ? reason.code : 'CANCELLED',
    class: 'unknown',
    cause: reason,
  });
}
