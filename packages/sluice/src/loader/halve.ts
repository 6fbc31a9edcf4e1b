/** halve: a batch whose URL was too long for the backend is sent again in halves. */

import type { Batch } from '../core/batch.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { type Outcome, wholeFailure } from '../core/outcome.js';

/**
 * Sends the halves of a batch that failed as a whole with `code`, together, and their halves, down to single keys. A batch of n
 * keys costs 2n - 1 calls at most.
 */
export function halve<I, R>(code: string): Layer<I, R> {
  return (inner) => ({
    ready: (lane) => inner.ready(lane),
    dispatch: (batch, context) => attempt(inner, code, batch, context),
  });
}

async function attempt<I, R>(
  inner: Dispatcher<I, R>,
  code: string,
  batch: Batch<I>,
  context: DispatchContext,
): Promise<readonly Outcome<R>[]> {
  const outcomes = await inner.dispatch(batch, context);
  if (batch.items.length < 2 || context.signal.aborted || wholeFailure(outcomes)?.code !== code) return outcomes;
  const indexes = batch.items.map((_, index) => index);
  const middle = batch.items.length >> 1;
  const halves = [indexes.slice(0, middle), indexes.slice(middle)].map((half) => attempt(inner, code, batch.only(half), context));
  return (await Promise.all(halves)).flat();
}
