/** breaker: stops calling a sink that fails, and probes it with one call at a time until it answers again. */

import type { Batch } from '../core/batch.js';
import { abortionOf } from '../core/context.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { failure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { allFailed, type Outcome } from '../core/outcome.js';
import type { Cancel, Env } from '../env/env.js';
import { callResult } from './call-result.js';
import { type FailureRate, failureRate } from './failure-rate.js';
import { createGate, type Gate } from './gate.js';
import { laneStates } from './lanes.js';

/** Options of {@link breaker}. */
export interface BreakerOptions {
  /** Failed calls in a row that open it: 1 or more; `Infinity` to go by `failureRate` alone. Default 5. */
  readonly maxFailures?: number;
  /** Opens it also when so many of the last calls failed, though others succeeded in between. Default: not looked at. */
  readonly failureRate?: FailureRateOptions;
  /** How long it stays open before it probes, in milliseconds, 1 or more. A longer `Retry-After` is kept. Default 10,000. */
  readonly cooldownMs?: number;
  /**
   * What becomes of batches while it is open. `'wait'` (default, for writes): they stay held, and `ready` waits. `'reject'` (for reads):
   * they fail at once with `BREAKER_OPEN` (class rejected), which says when to come again.
   */
  readonly open?: 'wait' | 'reject';
  /** A breaker for each lane, so that one tenant's sink does not stop the others'. Default false: one for all. */
  readonly perLane?: boolean;
}

/** When a breaker opens by the share of failed calls. */
export interface FailureRateOptions {
  /** Share of failed calls that opens it: more than 0, at most 1. */
  readonly ratio: number;
  /** Calls that the window must hold before their share says anything, 1 or more. Default 20. */
  readonly minCalls?: number;
  /** Length of the sliding window in milliseconds, 10 or more. Default 10,000. */
  readonly windowMs?: number;
}

/**
 * Opens after `maxFailures` failed calls in a row, or at a failure rate, or at once when a call is `blocked`. While it is open nothing
 * is called. After the cooldown it is half-open: one batch goes through as a probe; if the sink answers it closes, else it opens again.
 *
 * What counts is calls, not items: a call failed when no item of it is done and one failed as transient, unknown or blocked. A poison
 * batch is an answer, and does not open it. Calls that were aborted, or never tried, and calls that began before its last change count
 * for nothing. With `perLane`, a lane without a call for ten cooldowns may be forgotten.
 *
 * Place it beneath retry and bisect, above limit. States and names: M. Nygard, "Release It!" (2007).
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function breaker<I, R>(options: BreakerOptions = {}): Layer<I, R> {
  return breakerBy(breakerPolicy(options));
}

/**
 * The same, one for all lanes, for an owner who may learn that the sink is back: the function that it is given makes the breaker probe at once,
 * whatever is left of its cooldown. What was called before counts for nothing then.
 */
export function breakerOfOwned<I, R>(options: Omit<BreakerOptions, 'perLane'>, owner: (probe: () => void) => void): Layer<I, R> {
  return breakerBy(breakerPolicy(options), owner);
}

function breakerBy<I, R>(policy: Policy, owner?: (probe: () => void) => void): Layer<I, R> {
  return (inner, env) => {
    const lanes = laneStates(
      policy.perLane,
      (lane) => laneBreaker(inner, env, policy, lane),
      (state) => state.isForgettable(),
    );
    owner?.(() => lanes.of('').probe());
    return {
      ready: (lane) => lanes.of(lane).ready(lane),
      dispatch: (batch, context) => lanes.of(batch.lane).dispatch(batch, context),
    };
  };
}

interface Policy {
  readonly maxFailures: number;
  readonly rate: Required<FailureRateOptions> | undefined;
  readonly cooldownMs: number;
  readonly open: 'wait' | 'reject';
  readonly perLane: boolean;
}

function breakerPolicy(options: BreakerOptions): Policy {
  checkNames('breaker', options, ['maxFailures', 'failureRate', 'cooldownMs', 'open', 'perLane']);
  const { open = 'wait', perLane = false } = options;
  if (open !== 'wait' && open !== 'reject') throw invalidOption(`breaker.open must be 'wait' or 'reject'; got ${String(open)}`);
  return {
    maxFailures: numberOption('breaker.maxFailures', options.maxFailures, 5, { least: 1, whole: true, infinite: true }),
    rate: options.failureRate === undefined ? undefined : ratePolicy(options.failureRate),
    cooldownMs: numberOption('breaker.cooldownMs', options.cooldownMs, 10_000, { least: 1 }),
    open,
    perLane,
  };
}

function ratePolicy(options: FailureRateOptions): Required<FailureRateOptions> {
  checkNames('breaker.failureRate', options, ['ratio', 'minCalls', 'windowMs']);
  const { ratio } = options;
  if (!(ratio > 0 && ratio <= 1))
    throw invalidOption(`breaker.failureRate.ratio must be more than 0 and at most 1; got ${ratio}`);
  return {
    ratio,
    minCalls: numberOption('breaker.failureRate.minCalls', options.minCalls, 20, { least: 1, whole: true }),
    windowMs: numberOption('breaker.failureRate.windowMs', options.windowMs, 10_000, { least: 10 }),
  };
}

type State =
  | { readonly kind: 'closed'; failures: number; readonly rate: FailureRate | undefined }
  | { readonly kind: 'open'; readonly until: number; readonly cause: SluiceError }
  | { readonly kind: 'halfOpen'; probing: boolean; readonly cause: SluiceError };

interface LaneBreaker<I, R> extends Pick<Dispatcher<I, R>, 'ready' | 'dispatch'> {
  probe(): void;
  isForgettable(): boolean;
}

function laneBreaker<I, R>(inner: Dispatcher<I, R>, env: Env, policy: Policy, lane: string): LaneBreaker<I, R> {
  const { clock } = env;
  const closed = (): State => ({
    kind: 'closed',
    failures: 0,
    rate: policy.rate === undefined ? undefined : failureRate(policy.rate.windowMs),
  });
  let state = closed();
  let running = 0;
  let lastCallAt = clock.now();
  let cancelTimer: Cancel | undefined;

  const change = (next: State) => {
    state = next;
    const cause = next.kind === 'open' ? { code: next.cause.code } : {};
    env.observe({ type: 'breaker', lane: policy.perLane ? lane : '', state: next.kind, ...cause });
  };

  const open = (cause: SluiceError) => {
    change({ kind: 'open', until: clock.now() + Math.max(policy.cooldownMs, cause.retryAfterMs ?? 0), cause });
    arm();
  };

  const disarm = () => {
    cancelTimer?.();
    cancelTimer = undefined;
  };

  const halfOpen = () => {
    if (state.kind === 'open') change({ kind: 'halfOpen', probing: false, cause: state.cause });
  };

  /** A timer runs only while somebody waits; else the next one who comes looks at the clock. */
  const arm = () => {
    if (state.kind !== 'open' || cancelTimer !== undefined || !gate.isWaitedFor) return;
    const awaited = state;
    // It fires even if somebody has looked at the clock just before: who merely asked may not begin, and others wait to be told.
    cancelTimer = clock.after(Math.max(0, state.until - clock.now()), () => {
      cancelTimer = undefined;
      if (state === awaited) halfOpen();
      gate.admit();
      arm();
    });
  };

  const mayStart = () => {
    if (state.kind === 'open' && clock.now() >= state.until) halfOpen();
    return state.kind === 'closed' || (state.kind === 'halfOpen' && !state.probing);
  };

  const start = async (batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]> => {
    const begunIn = state;
    if (state.kind === 'halfOpen') state.probing = true;
    running++;
    let outcomes: readonly Outcome<R>[] | undefined;
    try {
      outcomes = await inner.dispatch(batch, context);
      return outcomes;
    } finally {
      running--;
      lastCallAt = clock.now();
      // A call from before the last change says nothing of the state after it.
      if (state === begunIn) learn(outcomes, abortionOf(context).aborted);
      gate.admit();
      arm();
    }
  };

  const learn = (outcomes: readonly Outcome<R>[] | undefined, aborted: boolean) => {
    // A dispatcher beneath that breaks the first law by rejecting has failed as well.
    const result = outcomes === undefined ? rejected : aborted ? ({ kind: 'nothing' } as const) : callResult(outcomes);
    if (state.kind === 'halfOpen') {
      state.probing = false;
      if (result.kind === 'answered') change(closed());
      else if (result.kind === 'failed') open(result.failure);
    } else if (state.kind === 'closed' && result.kind !== 'nothing') {
      const now = clock.now();
      const hasFailed = result.kind === 'failed';
      state.failures = hasFailed ? state.failures + 1 : 0;
      state.rate?.add(now, hasFailed);
      if (hasFailed && (result.blocked || mustOpen(policy, state.failures, state.rate, now))) open(result.failure);
    }
  };

  const gate: Gate<I, R> = createGate(inner, env, { mayStart, start, waits: arm, rests: disarm });
  const refuses = () => policy.open === 'reject' && !mayStart();

  return {
    ready: (on) => (refuses() ? true : gate.ready(on)),
    dispatch: (batch, context) => {
      if (!refuses()) return gate.dispatch(batch, context);
      const until = state.kind === 'open' ? state.until : clock.now();
      const problem = refusal((state as { cause: SluiceError }).cause, Math.max(0, until - clock.now()));
      const items = batch.items.length;
      env.observe({ type: 'refused', layer: 'breaker', lane: batch.lane, batchId: batch.id, items, code: problem.code });
      return Promise.resolve(allFailed(items, problem));
    },
    probe() {
      disarm();
      // Also where a probe is under way, or calls have failed: they began before, and say nothing of what is there now.
      if (state.kind === 'closed') state = closed();
      else change({ kind: 'halfOpen', probing: false, cause: state.cause });
      gate.admit();
    },
    isForgettable: () => {
      if (running > 0 || gate.isWaitedFor) return false;
      if (state.kind === 'closed' && state.failures === 0 && state.rate === undefined) return true;
      return clock.now() - lastCallAt >= 10 * policy.cooldownMs && mayStart();
    },
  };
}

const rejected = {
  kind: 'failed',
  failure: failure('a layer beneath the breaker has rejected, which breaks its first law.', { class: 'unknown' }),
  blocked: false,
} as const;

function mustOpen(policy: Policy, failures: number, rate: FailureRate | undefined, now: number): boolean {
  if (failures >= policy.maxFailures) return true;
  if (policy.rate === undefined || rate === undefined) return false;
  const { calls, failed } = rate.at(now);
  return calls >= policy.rate.minCalls && failed / calls >= policy.rate.ratio;
}

function refusal(cause: SluiceError, retryAfterMs: number): SluiceError {
  const when = retryAfterMs > 0 ? `it is probed in ${Math.ceil(retryAfterMs)} ms` : 'a probe is on its way';
  return failure(`not sent: the breaker is open since calls failed (${cause.code}); ${when}.`, {
    code: 'BREAKER_OPEN',
    class: 'rejected',
    cause,
    retryAfterMs,
  });
}
