/** deadLetter: parks what could not be written, so that nothing is lost and nothing blocks. */

import type { Batch, Item } from '../core/batch.js';
import { abortionOf } from '../core/context.js';
import type { DeadLetterStore, NewLetter } from '../core/dead-letter-store.js';
import type { DispatchContext, Layer } from '../core/dispatcher.js';
import { failure, invalidOption } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';
import { storeCall } from './store-call.js';

/** Options of {@link deadLetter}. */
export interface DeadLetterOptions<I> {
  /** Where dead letters are kept, such as `memoryDeadLetterStore()`. */
  readonly store: DeadLetterStore<I>;
  /** Longest wait for the store, in milliseconds, 1 or more. Default 10,000. */
  readonly parkTimeoutMs?: number;
}

/**
 * Parks items that have failed for good: `permanent`, and `transient` or `unknown` once retry, beneath it, has given up. Their outcome
 * becomes `dead`, with the id of the letter. Never parked: what was never tried (`rejected`), what waits for somebody to act
 * (`blocked`), and what nobody waits for any more or a shutdown cut off.
 *
 * When the store fails, or has no room, the items keep their own failure, an event `storeFailed` counts them, and nothing is dropped
 * silently. After a time-out of the store they may have been parked all the same.
 *
 * Place it above retry.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function deadLetter<I, R>(options: DeadLetterOptions<I>): Layer<I, R> {
  checkNames('deadLetter', options, ['store', 'parkTimeoutMs']);
  const { store } = options;
  if (typeof store?.park !== 'function') {
    throw invalidOption('deadLetter needs a store with park(letters), such as memoryDeadLetterStore().');
  }
  const timeoutMs = numberOption('deadLetter.parkTimeoutMs', options.parkTimeoutMs, 10_000, { least: 1 });
  return (inner, env) => ({
    ready: (lane) => inner.ready(lane),
    dispatch: async (batch, context) => {
      const outcomes = await inner.dispatch(batch, context);
      const dying = batch.items
        .map((_, index) => index)
        .filter((index) => mustPark(batch.items[index]!, outcomes[index], context));
      return dying.length === 0 ? outcomes : park(store, timeoutMs, env, batch, outcomes, dying);
    },
  });
}

function mustPark(item: Item<unknown>, outcome: Outcome<unknown> | undefined, context: DispatchContext): boolean {
  if (outcome?.kind !== 'failed' || item.gone || abortionOf(context).aborted) return false;
  const { class: failureClass, code } = outcome.failure;
  return failureClass !== 'rejected' && failureClass !== 'blocked' && code !== 'CANCELLED' && code !== 'SHUTDOWN_TIMEOUT';
}

async function park<I, R>(
  store: DeadLetterStore<I>,
  timeoutMs: number,
  env: Env,
  batch: Batch<I>,
  outcomes: readonly Outcome<R>[],
  dying: readonly number[],
): Promise<readonly Outcome<R>[]> {
  const about = { batchId: batch.id, items: dying.length };
  const letters = dying.map((index) => letterOf(batch, batch.items[index]!, outcomes[index]!, env));
  const answer = await storeCall(env, timeoutMs, () => store.park(letters));
  if (!answer.ok || answer.value.length !== letters.length) {
    const error = answer.ok
      ? failure(`the store got ${letters.length} letters and gave ${answer.value.length} ids`, {
          code: 'STORE_FAILED',
          class: 'unknown',
        })
      : answer.problem;
    env.observe({ type: 'storeFailed', layer: 'deadLetter', ...about, error });
    return outcomes;
  }
  env.observe({ type: 'parked', lane: batch.lane, ...about });
  const settled = [...outcomes];
  dying.forEach((index, i) => {
    const { failure: problem } = outcomes[index] as Extract<Outcome<R>, { kind: 'failed' }>;
    settled[index] = { kind: 'dead', failure: problem, deadLetterId: answer.value[i]! };
  });
  return settled;
}

function letterOf<I>(batch: Batch<I>, item: Item<I>, outcome: Outcome<unknown>, env: Env): NewLetter<I> {
  const { failure: problem, tries } = outcome as Extract<Outcome<unknown>, { kind: 'failed' }>;
  const now = env.clock.wall();
  const { code, class: failureClass, message } = problem;
  const trace = traceOf(item.origins);
  return {
    value: item.value,
    itemId: item.id,
    ...(item.idempotencyKey === undefined ? {} : { idempotencyKey: item.idempotencyKey }),
    lane: batch.lane,
    batchId: batch.id,
    ...{ code, class: failureClass, message },
    attempts: tries?.attempts ?? 1,
    firstFailedAt: tries?.firstFailedAt ?? now,
    lastFailedAt: now,
    tries: tries?.history ?? [{ at: now, code, class: failureClass, message }],
    ...(trace === undefined ? {} : { trace }),
  };
}

/** The first origin that is a span context, as OpenTelemetry's adapter gives them, in the form of W3C Trace Context. */
function traceOf(origins: readonly unknown[] | undefined): string | undefined {
  for (const origin of origins ?? []) {
    const { traceId, spanId, traceFlags } = (origin ?? {}) as { traceId?: unknown; spanId?: unknown; traceFlags?: unknown };
    if (typeof traceId !== 'string' || typeof spanId !== 'string') continue;
    return `00-${traceId}-${spanId}-${traceFlags === 0 ? '00' : '01'}`;
  }
  return undefined;
}
