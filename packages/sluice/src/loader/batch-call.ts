/** The innermost dispatcher of a loader: calls the batch function, believes nothing that it returns. */

import type { Batch, CutReason, Item } from '../core/batch.js';
import { abortionOf, sinkContext } from '../core/context.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { asFailure, failure, type SluiceError } from '../core/errors.js';
import { allFailed, type Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';
import type { LoaderWatch } from './cycles.js';
import type { KeyItem } from './key-item.js';
import { absent, isAsyncIterable, Replies, withEarly } from './replies.js';

/**
 * What a batch function is told beside the keys.
 *
 * `resolve` and `reject` take any value, lest they spoil the inference of the loader's types; annotate the parameter as
 * `BatchContext<number, User>` to have them checked.
 */
export interface BatchContext<K = unknown, V = unknown> {
  /** Aborted when the call is out of time, or when nobody waits for any of its keys any more. Pass it on. */
  readonly signal: AbortSignal;
  /** 1 for the first try. */
  readonly attempt: number;
  /** When the time of the whole batch is up, retries included, in monotonic milliseconds; `Infinity` when it has no end. */
  readonly deadlineAt: number;
  /** Names the batch in events. The same keys keep it over their retries. */
  readonly batchId: string;
  /** Why the batch was cut. */
  readonly reason: CutReason;
  /** The items behind the keys, in the same order. */
  readonly entries: readonly Item<K>[];
  /**
   * Tells a key's callers now, before the batch has ended. The first word on a key counts: what the function returns for it later is
   * ignored, and a retry leaves it out. When every key has been told, the function need not return anything. Unbound: pass it on.
   */
  resolve(key: K, value: V): void;
  /** As `resolve`, with a failure. It is not tried again. */
  reject(key: K, error: unknown): void;
}

/**
 * What a batch function returns: a map, or an array with one entry a key, in key order, or an async iterable of keys with their
 * entries, each told as it comes. An `Error` as entry fails that key alone.
 */
export type BatchResult<K, E> = ReadonlyMap<K, E> | readonly E[] | AsyncIterable<readonly [K, E]>;

/** Looks up many keys in one call. */
export type BatchFunction<K, E> = (
  keys: readonly K[],
  context: BatchContext<K>,
) => BatchResult<K, E | Error | undefined> | void | Promise<BatchResult<K, E | Error | undefined> | void>;

/** A batch function, and what its calls need. */
export interface Caller<K, V> {
  readonly batchFn: BatchFunction<K, V>;
  readonly env: Env;
  /** Tells object keys apart in what it answers. */
  readonly keyBy: ((key: K) => unknown) | undefined;
  readonly cycles?: LoaderWatch;
  /** Told of the keys that are settled before their batch has ended. */
  readonly early: (item: KeyItem<K, V>, outcome: Outcome<V>) => void;
}

type Outcomes<V> = Promise<readonly Outcome<V>[]>;

/** Makes the dispatcher of a batch function. */
export function batchDispatcher<K, V>(caller: Caller<K, V>): Dispatcher<K, V> {
  return {
    ready: () => true,
    dispatch(batch, context) {
      return batch.items.some((item) => item.gone) ? callForTheRest(caller, batch, context) : call(caller, batch, context);
    },
  };
}

/** The outermost layer: what was told early stands, whatever becomes of the batch. Until any was, there is nothing to look for. */
export function earlyStands<K, V>(tellsEarly: () => boolean): Layer<K, V> {
  return (inner) => ({
    ready: (lane) => inner.ready(lane),
    async dispatch(batch, context) {
      const outcomes = await inner.dispatch(batch, context);
      return tellsEarly() ? withEarly(batch.items as readonly KeyItem<K, V>[], outcomes) : outcomes;
    },
  });
}

/** Keys whose last waiter left are not asked for: a retry, or a batch that stood in line, shrinks. */
async function callForTheRest<K, V>(caller: Caller<K, V>, batch: Batch<K>, context: DispatchContext): Outcomes<V> {
  const rest = batch.items.flatMap((item, index) => (item.gone ? [] : [index]));
  if (rest.length === 0) return allFailed(batch.items.length, nobodyWaits());
  const answered = await call(caller, batch.only(rest), context);
  // Nobody is told of the keys that are gone; with an outcome that others share, a batch that failed as a whole still shows it.
  const outcomes = new Array<Outcome<V>>(batch.items.length).fill(answered[0]!);
  rest.forEach((index, i) => {
    outcomes[index] = answered[i]!;
  });
  return outcomes;
}

async function call<K, V>(
  { batchFn, env, keyBy, cycles, early }: Caller<K, V>,
  batch: Batch<K>,
  context: DispatchContext,
): Outcomes<V> {
  const { id: batchId, lane, reason } = batch;
  const items = batch.items as readonly KeyItem<K, V>[];
  const startedAt = env.clock.now();
  const unrequested = (keys: number) => env.observe({ type: 'unrequested', batchId, keys });
  const replies = new Replies<K, V>(items, { keyBy, unrequested, early }, abortionOf(context));
  const { resolve, reject } = replies;
  const ask = async () => {
    // A fresh array: the function may keep it or change it, a retry sends the batch's own keys again.
    const told = Object.assign(sinkContext(context, batch), { reason, resolve, reject });
    const result = await batchFn(batch.values(), told as typeof told & BatchContext<K>);
    return isAsyncIterable(result) ? await replies.drain(result) : replies.read(result);
  };
  let outcomes: readonly Outcome<V>[];
  try {
    outcomes = await (cycles === undefined ? ask() : cycles.run(items, ask));
  } catch (thrown) {
    outcomes = allFailed(items.length, asFailure(thrown, 'transient'));
  }
  outcomes = replies.close(outcomes);
  const ok = outcomes.every((outcome) => outcome.kind === 'ok' || outcome.failure === absent);
  const durationMs = env.clock.now() - startedAt;
  env.observe({ type: 'called', batchId, lane, attempt: context.attempt, items: items.length, durationMs, ok });
  return outcomes;
}

function nobodyWaits(): SluiceError {
  return failure('nobody waits for this key any more.', { code: 'CANCELLED', class: 'rejected' });
}
