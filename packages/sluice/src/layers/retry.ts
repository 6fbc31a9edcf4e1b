/** retry: tries again what may still succeed, with growing, jittered pauses, and only what failed. */

import type { Batch } from '../core/batch.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { failure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { failed, type Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';

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
}

/**
 * Tries transient failures again, and unknown ones where the sink is idempotent; the failed items only, under the id that this
 * subset got. `Retry-After` is a floor. There is no pause after the last attempt, nor one that would end past the deadline. Items
 * whose last waiter left are not tried again.
 *
 * Stands above limit: a batch that pauses holds no permit.
 */
export function retry<I, R>(options: RetryOptions = {}): Layer<I, R> {
  const policy = retryPolicy(options);
  return (inner, env) => ({
    ready: (lane) => inner.ready(lane),
    dispatch: (batch, context) => attempts(inner, env, policy, batch, context),
  });
}

type Policy = Required<RetryOptions>;

function retryPolicy(options: RetryOptions): Policy {
  checkNames('retry', options, ['maxAttempts', 'baseMs', 'maxDelayMs', 'jitter', 'holdBlocked']);
  if (options.jitter !== undefined && options.jitter !== 'half' && options.jitter !== 'full') {
    throw invalidOption(`retry.jitter must be 'half' or 'full'; got ${String(options.jitter)}`);
  }
  return {
    maxAttempts: numberOption('retry.maxAttempts', options.maxAttempts, 4, { least: 1, whole: true, infinite: true }),
    baseMs: numberOption('retry.baseMs', options.baseMs, 100, { least: 0 }),
    maxDelayMs: numberOption('retry.maxDelayMs', options.maxDelayMs, 30_000, { least: 0 }),
    jitter: options.jitter ?? 'half',
    holdBlocked: options.holdBlocked ?? false,
  };
}

async function attempts<I, R>(
  inner: Dispatcher<I, R>,
  env: Env,
  policy: Policy,
  whole: Batch<I>,
  context: DispatchContext,
): Promise<readonly Outcome<R>[]> {
  const settled = new Array<Outcome<R>>(whole.items.length);
  let batch = whole;
  let indexes = whole.items.map((_, index) => index);
  const tries = new Array<number>(whole.items.length).fill(0);
  let counted = 0;
  for (let pause = 0; ; pause++) {
    const outcomes = await inner.dispatch(batch, { ...context, attempt: context.attempt + counted });
    const again: number[] = [];
    outcomes.forEach((outcome, i) => {
      const index = indexes[i]!;
      settled[index] = moreTelling(settled[index], outcome);
      if (outcome.kind === 'failed' && outcome.failure.class !== 'blocked') counted = Math.max(counted, ++tries[index]!);
      if (mayRetry(outcome, tries[index]!, policy, context)) again.push(index);
    });
    if (again.length === 0) return settled;
    const failures = again.map((index) => (settled[index] as { failure: SluiceError }).failure);
    const delayMs = pauseMs(policy, pause, env, failures);
    if (env.clock.now() + delayMs >= context.deadlineAt) return settled;
    const { class: failureClass, code, message } = failures[0]!;
    env.observe({
      type: 'retry',
      batchId: batch.id,
      items: again.length,
      attempt: context.attempt + counted,
      delayMs,
      failureClass,
      code,
      message,
    });
    await sleep(env, delayMs, context.signal);
    // Only now: who left during the pause needs no further attempt.
    const staying = again.filter((index) => !whole.items[index]!.gone);
    for (const index of again) if (whole.items[index]!.gone) settled[index] = failed(gone());
    if (staying.length === 0 || context.signal.aborted) return settled;
    batch = sameMembers(indexes, staying) ? batch : whole.only(staying);
    indexes = staying;
  }
}

/** An attempt that was not begun says nothing of those before it, which may have happened: their failure stands. */
function moreTelling<R>(before: Outcome<R> | undefined, now: Outcome<R>): Outcome<R> {
  return before !== undefined && now.kind === 'failed' && now.failure.class === 'rejected' ? before : now;
}

function mayRetry(outcome: Outcome<unknown>, tries: number, policy: Policy, context: DispatchContext): boolean {
  if (outcome.kind !== 'failed' || context.signal.aborted) return false;
  const { class: failureClass } = outcome.failure;
  if (failureClass === 'blocked') return policy.holdBlocked;
  if (tries >= policy.maxAttempts) return false;
  return failureClass === 'transient' || (failureClass === 'unknown' && context.idempotent);
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

function sleep(env: Env, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = () => {
      cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = env.clock.after(ms, wake);
    signal.addEventListener('abort', wake);
  });
}

function sameMembers(before: readonly number[], after: readonly number[]): boolean {
  return before.length === after.length;
}

function gone(): SluiceError {
  return failure('nobody waits for this item any more.', { code: 'CANCELLED', class: 'rejected' });
}
