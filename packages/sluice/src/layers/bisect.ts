/** bisect: takes the bad items out of a batch that failed as a whole. */

import type { Batch } from '../core/batch.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { failure, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { failed, type Outcome, wholeFailure } from '../core/outcome.js';

/** Options of {@link bisect}. */
export interface BisectOptions {
  /**
   * Extra calls that one batch may cost, beyond which the part at hand fails as it is. Default 1,000: enough for about fifty bad
   * items in a batch of 10,000 (one bad item among n costs about 2·log2 n calls).
   */
  readonly maxExtraCalls?: number;
}

/**
 * Splits a batch that failed permanently as a whole, and sends its halves, until the bad items stand alone; the good ones are
 * written. Acts on nothing else: a sink that says which items are bad is believed, and other failure classes are for retry.
 * Place it beneath retry. Halves go one after the other, in order.
 */
export function bisect<I, R>(options: BisectOptions = {}): Layer<I, R> {
  checkNames('bisect', options, ['maxExtraCalls']);
  const maxExtraCalls = numberOption('bisect.maxExtraCalls', options.maxExtraCalls, 1000, {
    least: 2,
    whole: true,
    infinite: true,
  });
  return (inner, env) => ({
    ready: (lane) => inner.ready(lane),
    dispatch: async (batch, context) => {
      const budget = { calls: maxExtraCalls };
      const outcomes = await inner.dispatch(batch, context);
      const whole = mustSplit(batch, outcomes, budget, context);
      if (whole !== undefined) env.observe({ type: 'bisect', batchId: batch.id, items: batch.items.length, code: whole.code });
      return whole === undefined ? outcomes : halves(inner, batch, whole, context, budget);
    },
  });
}

interface Budget {
  calls: number;
}

const nobodyWaits = failed(failure('nobody waits for this item any more.', { code: 'CANCELLED', class: 'rejected' }));

function mustSplit<R>(batch: Batch<unknown>, outcomes: readonly Outcome<R>[], budget: Budget, context: DispatchContext) {
  if (batch.items.length < 2 || budget.calls < 2 || context.signal.aborted) return undefined;
  const whole = wholeFailure(outcomes);
  return whole?.class === 'permanent' ? whole : undefined;
}

async function halves<I, R>(
  inner: Dispatcher<I, R>,
  batch: Batch<I>,
  whole: SluiceError,
  context: DispatchContext,
  budget: Budget,
): Promise<readonly Outcome<R>[]> {
  budget.calls -= 2;
  const middle = batch.items.length >> 1;
  const indexes = batch.items.map((_, index) => index);
  const settled = new Array<Outcome<R>>(batch.items.length);
  for (const part of [indexes.slice(0, middle), indexes.slice(middle)]) {
    // Only now: who left while the first half was sent needs no call.
    const staying = part.filter((index) => !batch.items[index]!.gone);
    for (const index of part) settled[index] = context.signal.aborted ? failed(whole) : nobodyWaits;
    if (staying.length === 0 || context.signal.aborted) continue;
    const half = batch.only(staying);
    const outcomes = await inner.dispatch(half, context);
    const problem = mustSplit(half, outcomes, budget, context);
    const parts = problem === undefined ? outcomes : await halves(inner, half, problem, context, budget);
    for (const [i, outcome] of parts.entries()) settled[staying[i]!] = outcome;
  }
  return settled;
}
