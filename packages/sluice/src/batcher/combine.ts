/** combine: makes one item of several before the sink sees them, and gives each of them its outcome. */

import type { Sink, SinkContext } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';

/** How items are combined, or changed, before the sink sees them. */
export interface Combine<T> {
  /** Items of a batch with the same key are combined. Default: each stays by itself, and is merely changed. */
  readonly by?: (item: T) => unknown;
  /** Makes one item of those of a key, given in the order of their arrival. */
  readonly into: (items: readonly T[]) => T;
}

/**
 * A sink before the sink. What is combined succeeds or fails together, so that a retry of what failed is combined again of the same
 * items. Combined items stand where the first of them stood.
 */
export function combining<T, R>(sink: Sink<T, R>, { by, into }: Combine<T>): Sink<T, R> {
  return {
    async write(items: readonly T[], context: SinkContext) {
      const groups = new Map<unknown, number[]>();
      items.forEach((item, i) => {
        const key = by === undefined ? i : by(item);
        const group = groups.get(key);
        if (group === undefined) groups.set(key, [i]);
        else group.push(i);
      });
      const places = [...groups.values()];
      const combined = places.map((indexes) => into(indexes.map((index) => items[index]!)));
      const results = await sink.write(combined, context);
      if (!Array.isArray(results)) return results;
      if (results.length !== places.length) throw wrongLength(places.length, results.length);
      const outcomes = new Array<R | Error>(items.length);
      places.forEach((indexes, i) => {
        for (const index of indexes) outcomes[index] = results[i] as R | Error;
      });
      return outcomes;
    },
  };
}

function wrongLength(items: number, results: number) {
  return failure(
    `the sink got ${items} combined items and returned ${results} results; return one per item, in item order, or nothing.`,
    {
      code: 'RESULT_LENGTH_MISMATCH',
      class: 'unknown',
    },
  );
}
