/** Two speeds: what is important is written durably and acknowledged; the rest goes the fast way, and may be dropped. */

import type { DrainReport } from '../engine/engine.js';
import type { Batcher, BatcherStats, CloseOptions, PushOptions } from './batcher.js';

/** Options of one write. */
export interface TwoSpeedWriteOptions extends PushOptions {
  /** Wait until it is durable. Default false: hand it over and go on. */
  readonly important?: boolean;
}

/** Two batchers behind one face. */
export interface TwoSpeed<T, R> extends AsyncDisposable {
  /**
   * Important: resolves or rejects with this item's own outcome. Otherwise resolves at once; what there is no room for is counted in
   * the stats of the fast one, as its overflow policy says.
   */
  write(item: T, options?: TwoSpeedWriteOptions): Promise<R | undefined>;
  /** Both flushed. */
  flush(): Promise<void>;
  /** Closes both at the same time, each with the whole deadline. */
  close(options?: CloseOptions): Promise<{ readonly important: DrainReport; readonly bestEffort: DrainReport }>;
  stats(): { readonly important: BatcherStats; readonly bestEffort: BatcherStats };
}

/**
 * Writes important items by one batcher and all others by another. They share nothing, neither bounds nor calls nor turns: however
 * full the fast one is, an important item waits for its own window and its own sink alone. Give the important one a durable sink and
 * `overflow: 'wait'` or `'reject'`, the other `overflow: 'dropOldest'` or `'dropNewest'`.
 *
 * @example
 * const audit = twoSpeed({ important: createBatcher({ sink: durable }), bestEffort: createBatcher({ sink: fast, overflow: 'dropOldest' }) });
 * await audit.write(payment, { important: true });
 * void audit.write(click);
 */
export function twoSpeed<T, R>(batchers: {
  readonly important: Batcher<T, R>;
  readonly bestEffort: Batcher<T, unknown>;
}): TwoSpeed<T, R> {
  const { important, bestEffort } = batchers;
  const close = async (options?: CloseOptions) => {
    const [first, second] = await Promise.all([important.close(options), bestEffort.close(options)]);
    return { important: first, bestEffort: second };
  };
  return {
    write(item, { important: isImportant = false, ...options } = {}) {
      if (isImportant) return important.push(item, options);
      bestEffort.offer(item);
      return Promise.resolve(undefined);
    },
    async flush() {
      await Promise.all([important.flush(), bestEffort.flush()]);
    },
    close,
    stats: () => ({ important: important.stats(), bestEffort: bestEffort.stats() }),
    async [Symbol.asyncDispose]() {
      await close();
    },
  };
}
