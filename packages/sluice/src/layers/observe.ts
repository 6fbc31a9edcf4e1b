/** observe: reports what goes through the stack at its place, and how long it took beneath. */

import type { Batch } from '../core/batch.js';
import type { Layer } from '../core/dispatcher.js';
import { invalidOption, type SluiceError } from '../core/errors.js';
import type { OutcomeCounts } from '../core/event.js';
import { checkNames } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import { tell } from '../core/tell.js';
import type { Env } from '../env/env.js';
import { slotWaits } from './slot-waits.js';

/** Options of {@link observe}. */
export interface ObserveOptions {
  /** Names this place in its events, such as `'all'` (outermost) or `'attempt'` (beneath retry). Default `'all'`. */
  readonly label?: string;
}

/**
 * Emits `begun` and `ended` for each batch that passes. Outermost it measures a batch with all its retries; beneath retry, each attempt;
 * beneath limit, the call alone: the differences are the waits. `slotWaitMs` is how long the lane had been told to wait (by a limit, a
 * breaker, a rate) before this batch could begin. It changes nothing.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function observe<I, R>(options: ObserveOptions = {}): Layer<I, R> {
  checkNames('observe', options, ['label']);
  const { label = 'all' } = options;
  if (typeof label !== 'string') throw invalidOption(`observe.label must be a string; got ${typeof label}`);
  return (inner, env) => {
    const waits = slotWaits(env.clock);
    return {
      ready: (lane) => waits.asked(lane, inner.ready(lane)),
      dispatch(batch, context) {
        const startedAt = env.clock.now();
        const slotWaitMs = waits.begun(batch.lane);
        const { id: batchId, lane, bytes } = batch;
        const items = batch.items.length;
        tell(env, { type: 'begun', label, lane, batchId, items, bytes, attempt: context.attempt, slotWaitMs });
        const ended = inner.dispatch(batch, context);
        return ended.then((outcomes) => {
          report(env, label, batch, outcomes, startedAt);
          return outcomes;
        });
      },
    };
  };
}

function report(env: Env, label: string, batch: Batch<unknown>, given: readonly Outcome<unknown>[], startedAt: number): void {
  const counts: { -readonly [K in keyof OutcomeCounts]: number } = { ok: 0, failed: 0, dead: 0, cancelled: 0 };
  let first: SluiceError | undefined;
  given.forEach((outcome, i) => {
    if (outcome.kind === 'failed' && batch.items[i]?.gone) counts.cancelled++;
    else counts[outcome.kind]++;
    if (outcome.kind !== 'ok') first ??= outcome.failure;
  });
  tell(env, {
    type: 'ended',
    label,
    lane: batch.lane,
    batchId: batch.id,
    items: batch.items.length,
    durationMs: env.clock.now() - startedAt,
    outcomes: counts,
    ...(first === undefined ? {} : { failureClass: first.class, code: first.code }),
  });
}
