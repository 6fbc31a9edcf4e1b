/** rate: bounds how many calls, or items, go out in a time. */

import type { Batch } from '../core/batch.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { invalidOption } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import type { Cancel, Env } from '../env/env.js';
import { createGate, type Gate } from './gate.js';
import { laneStates } from './lanes.js';
import { tokenBucket } from './token-bucket.js';

/** Options of {@link rate}. */
export interface RateOptions {
  /** Calls (or items) a second in the long run: more than 0. */
  readonly perSecond: number;
  /** Calls (or items) that may go at once after a pause: 1 or more. Default 1: calls are evenly spaced. */
  readonly burst?: number;
  /** What is counted. Default `'calls'`. */
  readonly by?: 'calls' | 'items';
  /** A bucket for each lane. Default false: one for all. */
  readonly perLane?: boolean;
}

/**
 * Lets at most `perSecond · T + burst` calls begin in any T seconds. By items, a batch goes when one token is there and takes the rest
 * on credit, since nobody knows its size before it is cut: then the bound is `perSecond · T + burst + (items of the largest batch − 1)`.
 *
 * A token bucket (as in J. Turner, "New directions in communications", 1986), computed when it is looked at: no timer refills it, so
 * that it cannot drift. A call that fails has used its token. Place it beneath limit, above time-out: then a call begins when it has
 * got its token.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function rate<I, R>(options: RateOptions): Layer<I, R> {
  const policy = ratePolicy(options);
  return (inner, env) => {
    const lanes = laneStates(
      policy.perLane,
      () => laneRate(inner, env, policy),
      (state) => state.isForgettable(),
    );
    return {
      ready: (lane) => lanes.of(lane).ready(lane),
      dispatch: (batch, context) => lanes.of(batch.lane).dispatch(batch, context),
    };
  };
}

type Policy = Required<RateOptions>;

function ratePolicy(options: RateOptions): Policy {
  checkNames('rate', options, ['perSecond', 'burst', 'by', 'perLane']);
  const { perSecond, by = 'calls', perLane = false } = options;
  if (!(Number.isFinite(perSecond) && perSecond > 0)) {
    throw invalidOption(`rate.perSecond must be a number, more than 0; got ${String(perSecond)}`);
  }
  if (by !== 'calls' && by !== 'items') throw invalidOption(`rate.by must be 'calls' or 'items'; got ${String(by)}`);
  return { perSecond, burst: numberOption('rate.burst', options.burst, 1, { least: 1 }), by, perLane };
}

interface LaneRate<I, R> extends Pick<Dispatcher<I, R>, 'ready' | 'dispatch'> {
  isForgettable(): boolean;
}

function laneRate<I, R>(inner: Dispatcher<I, R>, env: Env, { perSecond, burst, by }: Policy): LaneRate<I, R> {
  const { clock } = env;
  const bucket = tokenBucket(perSecond, burst, burst, clock.now());
  let cancelTimer: Cancel | undefined;

  const arm = () => {
    if (cancelTimer !== undefined || !gate.isWaitedFor) return;
    const now = clock.now();
    const waitMs = bucket.waitMs(now);
    cancelTimer = clock.after(waitMs, () => {
      cancelTimer = undefined;
      // The timer itself says that the time has come: fake timers may fire without moving the monotonic clock.
      bucket.ripen(now + waitMs);
      gate.admit();
      arm();
    });
  };

  const rests = () => {
    cancelTimer?.();
    cancelTimer = undefined;
  };

  const start = (batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]> => {
    bucket.take(by === 'calls' ? 1 : batch.items.length);
    return inner.dispatch(batch, context);
  };

  const mayStart = () => {
    bucket.refill(clock.now());
    return bucket.hasToken();
  };

  const gate: Gate<I, R> = createGate(inner, env, { mayStart, start, waits: arm, rests });

  return {
    ready: (lane) => gate.ready(lane),
    dispatch: (batch, context) => gate.dispatch(batch, context),
    isForgettable: () => {
      bucket.refill(clock.now());
      return bucket.isFull() && !gate.isWaitedFor;
    },
  };
}
