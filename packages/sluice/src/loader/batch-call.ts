/** The innermost dispatcher of a loader: calls the batch function, believes nothing that it returns. */

import type { Batch, CutReason, Item } from '../core/batch.js';
import type { DispatchContext, Dispatcher } from '../core/dispatcher.js';
import { asFailure, failure, type SluiceError } from '../core/errors.js';
import { allFailed, failed, type Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';

/** What a batch function is told beside the keys. */
export interface BatchContext {
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
}

/** What a batch function returns: a map, or an array with one entry a key, in key order. An `Error` fails that key alone. */
export type BatchResult<K, E> = ReadonlyMap<K, E> | readonly E[];

/** Looks up many keys in one call. */
export type BatchFunction<K, E> = (
  keys: readonly K[],
  context: BatchContext,
) => BatchResult<K, E | Error | undefined> | Promise<BatchResult<K, E | Error | undefined>>;

/** Makes the dispatcher of a batch function. `keyBy` tells object keys apart in the map that it returns. */
export function batchDispatcher<K, V>(
  batchFn: BatchFunction<K, V>,
  env: Env,
  keyBy: ((key: K) => unknown) | undefined,
): Dispatcher<K, V> {
  return {
    ready: () => true,
    dispatch(batch, context) {
      if (!batch.items.some((item) => item.gone)) return call(batchFn, env, keyBy, batch, context);
      return callForTheRest(batchFn, env, keyBy, batch, context);
    },
  };
}

/** Keys whose last waiter left are not asked for: a retry, or a batch that stood in line, shrinks. */
async function callForTheRest<K, V>(
  batchFn: BatchFunction<K, V>,
  env: Env,
  keyBy: ((key: K) => unknown) | undefined,
  batch: Batch<K>,
  context: DispatchContext,
): Promise<readonly Outcome<V>[]> {
  const rest = batch.items.flatMap((item, index) => (item.gone ? [] : [index]));
  if (rest.length === 0) return allFailed(batch.items.length, nobodyWaits());
  const answered = await call(batchFn, env, keyBy, batch.only(rest), context);
  // Nobody is told of the keys that are gone; with an outcome that others share, a batch that failed as a whole still shows it.
  const outcomes = new Array<Outcome<V>>(batch.items.length).fill(answered[0]!);
  rest.forEach((index, i) => {
    outcomes[index] = answered[i]!;
  });
  return outcomes;
}

async function call<K, V>(
  batchFn: BatchFunction<K, V>,
  env: Env,
  keyBy: ((key: K) => unknown) | undefined,
  batch: Batch<K>,
  context: DispatchContext,
): Promise<readonly Outcome<V>[]> {
  const { id: batchId, items, reason } = batch;
  const { signal, attempt, deadlineAt } = context;
  const startedAt = env.clock.now();
  let outcomes: readonly Outcome<V>[];
  try {
    // A fresh array: the function may keep it or change it, a retry sends the batch's own keys again.
    const keys = items.map((item) => item.value);
    const result = await batchFn(keys, { signal, attempt, deadlineAt, batchId, reason });
    outcomes = outcomesOf(items, result, keyBy, (unrequested) =>
      env.observe({ type: 'unrequested', batchId, keys: unrequested }),
    );
  } catch (thrown) {
    outcomes = allFailed(items.length, asFailure(thrown, 'transient'));
  }
  const ok = outcomes.every((outcome) => outcome.kind === 'ok' || outcome.failure === absent);
  const durationMs = env.clock.now() - startedAt;
  env.observe({ type: 'called', batchId, lane: batch.lane, attempt, items: items.length, durationMs, ok });
  return outcomes;
}

function outcomesOf<K, V>(
  items: readonly Item<K>[],
  result: unknown,
  keyBy: ((key: K) => unknown) | undefined,
  unrequested: (keys: number) => void,
): readonly Outcome<V>[] {
  if (result instanceof Map) return fromMap(items, result as ReadonlyMap<unknown, V | Error | undefined>, keyBy, unrequested);
  if (!Array.isArray(result)) return allFailed(items.length, neitherMapNorArray(result));
  if (result.length !== items.length) return allFailed(items.length, wrongLength(items.length, result.length));
  return items.map((_, index) => entryOutcome<V>(result[index]));
}

function fromMap<K, V>(
  items: readonly Item<K>[],
  given: ReadonlyMap<unknown, V | Error | undefined>,
  keyBy: ((key: K) => unknown) | undefined,
  unrequested: (keys: number) => void,
): readonly Outcome<V>[] {
  // Two objects may stand for one key: both sides are told apart by keyBy.
  const map = keyBy === undefined ? given : new Map([...given].map(([key, entry]) => [keyBy(key as K), entry]));
  let asked = 0;
  const outcomes = items.map((item) => {
    const key = keyBy === undefined ? item.value : keyBy(item.value);
    const entry = map.get(key);
    if (entry !== undefined || map.has(key)) asked++;
    return entryOutcome<V>(entry);
  });
  if (map.size > asked) unrequested(map.size - asked);
  return outcomes;
}

/** Shared by all keys that are absent, each in an outcome of its own: a batch of absent keys has not failed as a whole. */
const absent = failure('there is no such key.', { code: 'KEY_NOT_FOUND' });

function entryOutcome<V>(entry: V | Error | undefined): Outcome<V> {
  if (entry === undefined) return failed(absent);
  return entry instanceof Error ? failed(asFailure(entry, 'permanent')) : { kind: 'ok', value: entry };
}

function neitherMapNorArray(result: unknown): SluiceError {
  const got = result === null ? 'null' : typeof result;
  return failure(
    `the batch function must return a Map, or an array with one entry per key in key order (or a promise of one); it returned ${got}.`,
    { code: 'BAD_RESULT' },
  );
}

function wrongLength(keys: number, results: number): SluiceError {
  return failure(
    `the batch function got ${keys} keys and returned ${results} results; return one per key, in key order, or a Map of those found.`,
    { code: 'RESULT_LENGTH_MISMATCH' },
  );
}

function nobodyWaits(): SluiceError {
  return failure('nobody waits for this key any more.', { code: 'CANCELLED', class: 'rejected' });
}
