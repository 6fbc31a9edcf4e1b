/** The options of a loader: what they are, their defaults and ranges. */

import type { Layer } from '../core/dispatcher.js';
import { invalidOption, shorten } from '../core/errors.js';
import { checkNames } from '../core/options.js';
import type { Window } from '../core/window.js';
import type { Env } from '../env/env.js';
import type { CacheOptions } from './cache.js';
import type { CycleDetector } from './cycles.js';

/** Values that are told apart by themselves, as a `Map` does it (so that `NaN` is a fine key, and 0 is -0). */
export type PrimitiveKey = string | number | bigint | boolean | symbol;

/** Options of {@link createLoader}. */
export interface LoaderOptions<K, V = unknown> {
  /** Tells object keys apart: a primitive that is equal for equal keys. Needed where keys are objects; default: the key itself. */
  readonly keyBy?: (key: K) => PrimitiveKey;
  /** Names it in events and messages. Default `'loader'`. */
  readonly name?: string;
  /**
   * When a batch is due. Default `'tick'`: when this turn of the event loop and its promise jobs are done, so that everything asked
   * for in one turn goes out together and nobody waits for a timer.
   */
  readonly window?: Window;
  /**
   * Keys a batch, 1 or more. A full batch leaves at once. Default 1,000: a list of that length is taken by every database, and
   * beyond it a call gains little.
   */
  readonly maxItems?: number;
  /**
   * What a key costs, 0 or more: bytes of a URL, say. Asked once a key. A batch whose keys cost `maxCost` leaves at once; a key that
   * costs more alone leaves alone. Default none: only keys are counted.
   */
  readonly cost?: (key: K) => number;
  /** Cost a batch, above 0. Needs `cost`. Default `Infinity`. */
  readonly maxCost?: number;
  /**
   * Keys of different partitions never share a batch: one for each shard or tenant, say. A window or a bound cuts for all partitions
   * together; their batches then leave at once. Default: all are in one.
   */
  readonly partition?: (key: K) => PrimitiveKey;
  /**
   * Keeps values, and lets callers join a call in flight: a caller may then get a value that was read before it asked. Default none.
   */
  readonly cache?: CacheOptions;
  /** Finds loads that wait for themselves: `detectCycles()` of `sluice/testing`. Default none; then the time-out ends them. */
  readonly cycles?: CycleDetector;
  /** Calls of the batch function that run at once, 1 or more. While all run, the open batch grows. Default 1,000. */
  readonly maxInFlight?: number;
  /** Calls that wait at most, for keys held or in flight; one more is refused with `OVERLOADED`. Default 100,000. */
  readonly maxHeldWaiters?: number;
  /** Keys held at most: open, in flight, waiting for a retry, abandoned. Default: `maxHeldWaiters`. */
  readonly maxHeldKeys?: number;
  /** Longest time that one call of the batch function may take, in milliseconds, 1 or more; `Infinity` for no bound. Default 30,000. */
  readonly timeoutMs?: number;
  /** Calls that may still run after their time-out; then no new one starts until one has ended. Default: `maxInFlight`. */
  readonly maxAbandoned?: number;
  /** Policies above the limit of `maxInFlight` and the time-out, outermost first, such as `[retry()]`. Default none. */
  readonly layers?: readonly Layer<K, V>[];
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

const optionNames =
  'keyBy name window maxItems cost maxCost partition cache cycles maxInFlight maxHeldWaiters maxHeldKeys timeoutMs maxAbandoned layers env'.split(
    ' ',
  );

/**
 * Checks all but the numbers.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function checkLoader<K, V>(batchFn: unknown, options: LoaderOptions<K, V>): void {
  checkNames('createLoader', options, optionNames);
  if (typeof batchFn !== 'function') throw invalidOption('createLoader needs a batch function: (keys) => Map or array.');
  for (const name of ['keyBy', 'cost', 'partition'] as const) {
    const given: unknown = options[name];
    if (given !== undefined && typeof given !== 'function') {
      throw invalidOption(`createLoader: ${name} must be a function; got ${shorten(given)}`);
    }
  }
  if (options.maxCost !== undefined && options.cost === undefined) throw invalidOption('createLoader: maxCost needs cost(key).');
}
