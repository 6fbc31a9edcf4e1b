/** retry: tries again what may still succeed, with growing, jittered pauses, and only what failed. */

import { type Abortable, whenAborted } from '../core/aborter.js';
import type { Batch } from '../core/batch.js';
import { abortionOf } from '../core/context.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { isAllDone, type Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';
import { laneStates } from './lanes.js';
import { type RetryRule, retryCourse } from './retry-course.js';
import { type RetryBudgetOptions, type RetryRoom, retryBudget, retryRoom } from './retry-room.js';

/** Options of {@link retry}. */
export interface RetryOptions {
  /** Calls in all, the first included: 1 or more. `Infinity` to hold on until it succeeds. Default 4. */
  readonly maxAttempts?: number;
  /** Pause before the first retry is uniform in [baseMs, 2·baseMs), in milliseconds. Default 100. */
  readonly baseMs?: number;
  /** Cap of the doubling: no pause is longer than twice this, in milliseconds. Default 30,000. */
  readonly maxDelayMs?: number;
  /**
   * `'half'` (default): uniform in [d, 2d) with d = min(baseMs·2^k, maxDelayMs) before retry k, from 0. `'full'`: uniform in [0, 2d).
   */
  readonly jitter?: 'half' | 'full';
  /**
   * Also hold on to items that are `blocked` (credentials, a missing table), probing at the same pauses without counting them as
   * attempts. For pipelines, whose items wait in a log. Default false: blocked items fail at once.
   */
  readonly holdBlocked?: boolean;
  /**
   * Batches that may wait for a retry at once: 0 or more; one more is given up with `RETRY_OVERFLOW`, for the dead letters. Default
   * 1,000.
   */
  readonly maxWaiting?: number;
  /** Bounds retries in relation to first calls; what exceeds it is given up with `RETRY_BUDGET`. Default: none. */
  readonly budget?: RetryBudgetOptions;
  /** `maxWaiting` and `budget` for each lane by itself. Default false: shared by all. */
  readonly perLane?: boolean;
}

/**
 * Tries transient failures again, and unknown ones where the sink is idempotent; the failed items only, under the id that this
 * subset got. `Retry-After` is a floor. There is no pause after the last attempt, nor one that would end past the deadline of the batch or of the item. Items
 * whose last waiter left are not tried again, unless they may have been written, and others that were sent with them are tried again:
 * those alone would be written over them, and under another id. Retries reorder batches, unless a lane has only one batch unsettled.
 *
 * Stands above limit: a batch that pauses holds no permit, and fresh batches pass it.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function retry<I, R>(options: RetryOptions = {}): Layer<I, R> {
  return retryBy(retryPolicy(options, true));
}

/**
 * The same for items that their owner takes back, and whoever gets them next sends: those are never sent again from here. All of a key are taken
 * back together.
 */
export function retryOfOwned<I, R>(options: RetryOptions): Layer<I, R> {
  return retryBy(retryPolicy(options, false));
}

function retryBy<I, R>(policy: Policy): Layer<I, R> {
  return (inner, env) => {
    const rooms = laneStates(
      policy.perLane,
      () => retryRoom(policy.maxWaiting, policy.budget, env.clock),
      (room) => room.isFresh(),
    );
    return {
      ready: (lane) => inner.ready(lane),
      dispatch: async (batch, context) => {
        const room = rooms.of(batch.lane);
        room.begins();
        try {
          return await attempts(inner, env, policy, room, batch, context);
        } finally {
          room.ends();
        }
      },
    };
  };
}

type Policy = Required<Omit<RetryOptions, 'budget'>> &
  Pick<RetryRule, 'resendsGone'> & { readonly budget: Required<RetryBudgetOptions> | undefined };

const optionNames = ['maxAttempts', 'baseMs', 'maxDelayMs', 'jitter', 'holdBlocked', 'maxWaiting', 'budget', 'perLane'];

function retryPolicy(options: RetryOptions, resendsGone: boolean): Policy {
  checkNames('retry', options, optionNames);
  if (options.jitter !== undefined && options.jitter !== 'half' && options.jitter !== 'full') {
    throw invalidOption(`retry.jitter must be 'half' or 'full'; got ${String(options.jitter)}`);
  }
  return {
    maxAttempts: numberOption('retry.maxAttempts', options.maxAttempts, 4, { least: 1, whole: true, infinite: true }),
    baseMs: numberOption('retry.baseMs', options.baseMs, 100, { least: 0 }),
    maxDelayMs: numberOption('retry.maxDelayMs', options.maxDelayMs, 30_000, { least: 0 }),
    jitter: options.jitter ?? 'half',
    holdBlocked: options.holdBlocked ?? false,
    maxWaiting: numberOption('retry.maxWaiting', options.maxWaiting, 1000, { least: 0, whole: true, infinite: true }),
    budget: retryBudget(options.budget),
    perLane: options.perLane ?? false,
    resendsGone,
  };
}

async function attempts<I, R>(
  inner: Dispatcher<I, R>,
  env: Env,
  policy: Policy,
  room: RetryRoom,
  whole: Batch<I>,
  context: DispatchContext,
): Promise<readonly Outcome<R>[]> {
  const first = await inner.dispatch(whole, context);
  if (isAllDone(first) || first.every((outcome) => outcome.kind === 'ok')) return first;
  const course = retryCourse<R>(whole, policy, context, env.clock);
  let batch = whole;
  let indexes: readonly number[] = whole.items.map((_, index) => index);
  let again = course.learn(indexes, first);
  for (let pause = 0; again.length > 0; pause++) {
    const failures = course.failures(again);
    const delayMs = pauseMs(policy, pause, env, failures);
    const inTime = course.withTimeAfter(again, env.clock.now() + delayMs);
    if (inTime.length === 0) break;
    const entered = room.enter();
    const about = { lane: whole.lane, batchId: batch.id, items: inTime.length };
    if (entered !== 'entered') {
      env.observe({ type: 'refused', layer: 'retry', ...about, code: entered });
      course.giveUp(inTime, entered);
      break;
    }
    const { class: failureClass, code, message } = failures[0]!;
    env.observe({ type: 'retry', ...about, attempt: course.attempt(), delayMs, failureClass, code, message });
    await sleep(env, delayMs, abortionOf(context));
    room.leave();
    const staying = course.staying(inTime);
    if (staying.length === 0 || abortionOf(context).aborted) break;
    // The same members keep the id of the batch that they were sent in.
    batch = staying.length === indexes.length ? batch : whole.only(staying);
    indexes = staying;
    again = course.learn(indexes, await inner.dispatch(batch, { ...context, attempt: course.attempt() }));
  }
  return course.end();
}

/** Doubling back-off with equal jitter; see "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015) for why jitter. */
function pauseMs(policy: Policy, pause: number, env: Env, failures: readonly SluiceError[]): number {
  const d = Math.min(policy.baseMs * 2 ** Math.min(pause, 1023), policy.maxDelayMs);
  const random = env.random.next();
  const backOff = policy.jitter === 'full' ? 2 * d * random : d + d * random;
  let longest = backOff;
  for (const { retryAfterMs = 0 } of failures) if (retryAfterMs > longest) longest = retryAfterMs;
  return longest;
}

function sleep(env: Env, ms: number, signal: Abortable): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = () => {
      cancel();
      unlisten();
      resolve();
    };
    const cancel = env.clock.after(ms, wake);
    const unlisten = whenAborted(signal, wake);
  });
}
