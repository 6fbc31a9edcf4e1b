/** Stack: layers on a sink. The sink's answer, whatever it is, becomes one outcome per item here. */

import type { Env } from '../env/env.js';
import type { Batch } from './batch.js';
import { sinkContext } from './context.js';
import type { DispatchContext, Dispatcher, Layer, Sink } from './dispatcher.js';
import { asFailure, failure, invalidOption } from './errors.js';
import { allDone, allFailed, failed, isAllDone, type Outcome } from './outcome.js';

/** Puts layers on a dispatcher; the first is the outermost. */
export function stack<I, R>(layers: readonly Layer<I, R>[], innermost: Dispatcher<I, R>, env: Env): Dispatcher<I, R> {
  return layers.reduceRight((inner, layer) => layer(inner, env), innermost);
}

/**
 * The layers of an option, checked.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function layersIn<I, R>(layers: readonly Layer<I, R>[] = []): readonly Layer<I, R>[] {
  if (Array.isArray(layers) && layers.every((layer) => typeof layer === 'function')) return layers;
  throw invalidOption('layers must be an array of layers, such as [retry()]');
}

/** The innermost dispatcher: calls the sink, always ready, believes nothing that it returns. */
export function sinkDispatcher<I, R>(sink: Sink<I, R>, env: Env): Dispatcher<I, R> {
  return { ready: () => true, dispatch: (batch, context) => call(sink, env, batch, context) };
}

async function call<I, R>(sink: Sink<I, R>, env: Env, batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]> {
  const startedAt = env.clock.now();
  const { id: batchId, lane, itemCount } = batch;
  let outcomes: readonly Outcome<R>[];
  try {
    // A fresh array of values: the sink may keep it or change it, a retry sends the batch's own items again.
    outcomes = outcomesOf(itemCount, await sink.write(batch.values(), sinkContext(context, batch)));
  } catch (thrown) {
    outcomes = allFailed(itemCount, asFailure(thrown, 'transient'));
  }
  const ok = isAllDone(outcomes) || outcomes.every((outcome) => outcome.kind === 'ok');
  const durationMs = env.clock.now() - startedAt;
  env.observe({ type: 'called', batchId, lane, attempt: context.attempt, items: itemCount, durationMs, ok });
  return outcomes;
}

function outcomesOf<R>(count: number, results: void | readonly (R | Error)[]): readonly Outcome<R>[] {
  if (results === undefined) return allDone(count) as readonly Outcome<R>[];
  if (!Array.isArray(results)) {
    return allFailed(
      count,
      failure(`the sink must return nothing, or an array with one entry per item; it returned ${typeof results}.`, {
        code: 'BAD_RESULT',
        class: 'unknown',
      }),
    );
  }
  if (results.length !== count) {
    return allFailed(
      count,
      failure(
        `the sink got ${count} items and returned ${results.length} results; return one per item, in item order, or nothing.`,
        {
          code: 'RESULT_LENGTH_MISMATCH',
          class: 'unknown',
        },
      ),
    );
  }
  // Array.from, not map: a sparse array has holes, and a hole is a value (undefined) like any other.
  return Array.from(
    results as readonly (R | Error)[],
    (result): Outcome<R> => (result instanceof Error ? failed(asFailure(result, 'permanent')) : { kind: 'ok', value: result }),
  );
}
