/** limit: bounds the calls that run at once. */

import { Advice } from '../core/advice.js';
import type { Batch } from '../core/batch.js';
import { Deque } from '../core/deque.js';
import type { DispatchContext, Layer } from '../core/dispatcher.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';

/** Options of {@link limit}. */
export interface LimitOptions {
  /** Calls that may run at once: 1 or more; `Infinity` for no bound. */
  readonly maxInFlight: number;
}

/**
 * Lets at most `maxInFlight` batches through at once. Place it beneath retry: a batch that backs off then holds no permit.
 *
 * A batch that finds no permit waits in line here: that happens to retries and halves of a bisected batch only, since the engine
 * asks `ready` first; they go before fresh batches. All who ask while no permit is free get the same promise, which the next freed
 * permit settles: an engine of many lanes is woken once, and decides whose turn it is.
 */
export function limit<I, R>(options: LimitOptions): Layer<I, R> {
  checkNames('limit', options, ['maxInFlight']);
  const maxInFlight = numberOption('limit.maxInFlight', options.maxInFlight ?? Number.NaN, 0, {
    least: 1,
    whole: true,
    infinite: true,
  });
  return (inner) => {
    let running = 0;
    const line = new Deque<() => void>();
    const freed = new Advice();

    const free = () => running < maxInFlight && line.length === 0;

    const release = () => {
      running--;
      const next = line.shift();
      if (next === undefined) freed.give();
      else next();
    };

    const run = async (batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]> => {
      running++;
      try {
        return await inner.dispatch(batch, context);
      } finally {
        release();
      }
    };

    return {
      ready: (lane) => (free() ? inner.ready(lane) : freed.later()),
      dispatch: (batch, context) => {
        if (running < maxInFlight) return run(batch, context);
        return new Promise((resolve) => line.push(() => resolve(run(batch, context))));
      },
    };
  };
}
