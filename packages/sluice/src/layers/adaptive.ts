/** adaptive: finds out how many calls the sink takes at once before they only queue up, and lets no more through. */

import type { Batch } from '../core/batch.js';
import { abortionOf } from '../core/context.js';
import type { DispatchContext, Layer } from '../core/dispatcher.js';
import { invalidOption } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import { callResult } from './call-result.js';
import { createGate, type Gate } from './gate.js';
import { type GradientOptions, gradientLimit } from './gradient-limit.js';

/** Options of {@link adaptive}. */
export interface AdaptiveOptions {
  /** Calls that run at once at the beginning, 1 or more. Default 4. */
  readonly initialLimit?: number;
  /** The limit never falls below this, 1 or more. Default 1: a higher one keeps too much on a sink that can take one call only. */
  readonly minLimit?: number;
  /** The limit never rises above this. Default 200. */
  readonly maxLimit?: number;
  /**
   * How much slower than without load a call may be before the limit falls: 1 to 10. Default 1.25. More bears more noise and keeps a
   * longer queue in the sink.
   */
  readonly tolerance?: number;
}

/**
 * Bounds the calls that run at once, as `limit` does, by what it measures: while calls are as fast as without load the limit rises by
 * its square root; as they slow down, it falls in proportion. Failed calls (transient, unknown) shrink it by a tenth. At first, and
 * each few dozen windows, it falls to its square root for some calls, to see anew how fast the sink is without load.
 *
 * Latency is taken per call with the cost of its items taken out, since batches differ in size. Samples hold no back-off, so place it
 * beneath retry, in the place of limit; a `maxInFlight` beneath it must leave it room.
 *
 * The algorithm is the gradient limiter of Netflix's concurrency-limits (`GradientLimit`, 2018), with the decrease on failures of
 * Vector's adaptive request concurrency.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function adaptive<I, R>(options: AdaptiveOptions = {}): Layer<I, R> {
  const policy = adaptivePolicy(options);
  return (inner, env) => {
    const { clock } = env;
    const control = gradientLimit(policy, env.random, (change) => env.observe({ type: 'limit', ...change }));
    let running = 0;

    const start = async (batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]> => {
      const startedAt = clock.now();
      const sample = control.begin(++running);
      let outcomes: readonly Outcome<R>[] = [];
      try {
        outcomes = await inner.dispatch(batch, context);
        return outcomes;
      } finally {
        running--;
        const result = abortionOf(context).aborted ? ({ kind: 'nothing' } as const) : callResult(outcomes);
        // What is blocked says nothing of the load.
        if (result.kind === 'answered') control.answered(sample, batch.items.length, clock.now() - startedAt);
        else if (result.kind === 'failed' && !result.blocked) control.failed();
        gate.admit();
      }
    };

    const nothing = () => {};
    const mayStart = () => running < control.limit;
    const gate: Gate<I, R> = createGate(inner, env, { mayStart, start, waits: nothing, rests: nothing });
    return gate;
  };
}

function adaptivePolicy(options: AdaptiveOptions): GradientOptions {
  checkNames('adaptive', options, ['initialLimit', 'minLimit', 'maxLimit', 'tolerance']);
  const whole = { least: 1, whole: true };
  const minLimit = numberOption('adaptive.minLimit', options.minLimit, 1, whole);
  const maxLimit = numberOption('adaptive.maxLimit', options.maxLimit, Math.max(200, minLimit), whole);
  if (maxLimit < minLimit) throw invalidOption(`adaptive.maxLimit must be minLimit (${minLimit}) or more; got ${maxLimit}`);
  const fallback = Math.min(maxLimit, Math.max(minLimit, 4));
  const initialLimit = numberOption('adaptive.initialLimit', options.initialLimit, fallback, whole);
  if (initialLimit < minLimit || initialLimit > maxLimit) {
    throw invalidOption(
      `adaptive.initialLimit must be from minLimit to maxLimit (${minLimit} to ${maxLimit}); got ${initialLimit}`,
    );
  }
  const tolerance = numberOption('adaptive.tolerance', options.tolerance, 1.25, { least: 1 });
  if (tolerance > 10) throw invalidOption(`adaptive.tolerance must be 10 or less; got ${tolerance}`);
  return { initialLimit, minLimit, maxLimit, tolerance };
}
