/** bisect: takes the bad items out of a batch that failed as a whole. */

import type { Batch } from '../core/batch.js';
import { abortionOf } from '../core/context.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { failure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { allFailed, failed, type Outcome, wholeFailure } from '../core/outcome.js';

/** Options of {@link bisect}. */
export interface BisectOptions {
  /**
   * Extra calls that one batch may cost, beyond which the part at hand fails as it is. Default 1,000: enough for about fifty bad
   * items in a batch of 10,000 (one bad item among n costs about 2·log2 n calls).
   */
  readonly maxExtraCalls?: number;
  /**
   * For batches whose items have an order. After a failure that may be tried again nothing more of the batch is sent: the rest shares
   * that failure, so that a retry sends it behind what failed, never before. A permanent failure is passed with `'goOn'`; with `'halt'`
   * the rest is not sent and fails as rejected (`HALTED`). Default: both halves are sent, whatever becomes of the first.
   */
  readonly inOrder?: 'goOn' | 'halt';
}

/**
 * Splits a batch that failed permanently as a whole, and sends its halves, until the bad items stand alone; the good ones are
 * written. Acts on nothing else: a sink that says which items are bad is believed, and other failure classes are for retry.
 * Place it beneath retry. Halves go one after the other, in order.
 */
export function bisect<I, R>(options: BisectOptions = {}): Layer<I, R> {
  checkNames('bisect', options, ['maxExtraCalls', 'inOrder']);
  const { inOrder } = options;
  if (inOrder !== undefined && inOrder !== 'goOn' && inOrder !== 'halt') {
    throw invalidOption(`bisect.inOrder must be 'goOn' or 'halt'; got ${String(inOrder)}`);
  }
  const maxExtraCalls = numberOption('bisect.maxExtraCalls', options.maxExtraCalls, 1000, {
    least: 2,
    whole: true,
    infinite: true,
  });
  return (inner, env) => ({
    ready: (lane) => inner.ready(lane),
    dispatch: async (batch, context) => {
      const budget = { calls: maxExtraCalls, inOrder };
      const outcomes = await inner.dispatch(batch, context);
      const whole = mustSplit(batch, outcomes, budget, context);
      if (whole !== undefined) env.observe({ type: 'bisect', batchId: batch.id, items: batch.items.length, code: whole.code });
      return whole === undefined ? outcomes : halves(inner, batch, whole, context, budget);
    },
  });
}

interface Budget {
  calls: number;
  readonly inOrder: BisectOptions['inOrder'];
}

const nobodyWaits = failed(failure('nobody waits for this item any more.', { code: 'CANCELLED', class: 'rejected' }));

function mustSplit<R>(batch: Batch<unknown>, outcomes: readonly Outcome<R>[], budget: Budget, context: DispatchContext) {
  if (batch.itemCount < 2 || budget.calls < 2 || abortionOf(context).aborted) return undefined;
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
    const stop = budget.inOrder === undefined ? undefined : stopAfter(settled, budget.inOrder);
    if (stop !== undefined) {
      for (const [i, outcome] of allFailed(part.length, stop).entries()) settled[part[i]!] = outcome;
      continue;
    }
    // Only now: who left while the first half was sent needs no call.
    const staying = part.filter((index) => !batch.items[index]!.gone);
    for (const index of part) settled[index] = abortionOf(context).aborted ? failed(whole) : nobodyWaits;
    if (staying.length === 0 || abortionOf(context).aborted) continue;
    const half = batch.only(staying);
    const outcomes = await inner.dispatch(half, context);
    const problem = mustSplit(half, outcomes, budget, context);
    const parts = problem === undefined ? outcomes : await halves(inner, half, problem, context, budget);
    for (const [i, outcome] of parts.entries()) settled[staying[i]!] = outcome;
  }
  return settled;
}

/** What stops a batch whose items have an order, if anything that failed so far does. */
function stopAfter(settled: readonly Outcome<unknown>[], inOrder: 'goOn' | 'halt'): SluiceError | undefined {
  for (const outcome of settled) {
    // Behind the end of what is settled there are holes.
    if (outcome === undefined || outcome.kind !== 'failed') continue;
    const { failure: problem } = outcome;
    if (problem.class !== 'permanent' && problem.code !== 'CANCELLED') return problem;
    if (problem.class === 'permanent' && inOrder === 'halt') return halted(problem);
  }
  return undefined;
}

function halted(cause: SluiceError): SluiceError {
  return failure(`not sent: an item before it failed for good (${cause.code}), and nothing may pass that.`, {
    code: 'HALTED',
    class: 'rejected',
    cause,
  });
}
