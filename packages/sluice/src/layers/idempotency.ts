/** idempotency: an item whose key is known is not sent again; its caller gets what the first one got. */

import type { Batch, Item } from '../core/batch.js';
import { abortionOf } from '../core/context.js';
import type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
import { failure, invalidOption } from '../core/errors.js';
import type { Claim, IdempotencyStore, KeySettlement } from '../core/idempotency-store.js';
import { checkNames, numberOption } from '../core/options.js';
import { failed, type Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';
import { isPromise, storeCall } from './store-call.js';
import { whileWaiting } from './waiting.js';

/** Options of {@link idempotency}. */
export interface IdempotencyOptions<I, R> {
  /** Where keys are remembered, such as `memoryIdempotencyStore()`. */
  readonly store: IdempotencyStore<R>;
  /** The key of an item; undefined: it has none and is always sent. Default: its `idempotencyKey`. */
  readonly keyOf?: (value: I, item: Item<I>) => string | undefined;
  /** Longest wait for the store, in milliseconds, 1 or more. Default 5,000. */
  readonly storeTimeoutMs?: number;
}

/**
 * Sends each idempotency key once. Items whose key is done get its value; those whose key is on its way, in this batch or another, wait
 * for it and share its end, unless that was never tried: then they are sent themselves. A key is remembered once its item is done; of
 * an item that failed it is free again, so that callers can try again.
 *
 * Place it outermost: retries beneath it then keep their claim. A store that answers with a promise makes the layer report that it is
 * busy meanwhile. When the store fails, items with a key are not sent (`STORE_FAILED`, class rejected); when it fails to remember, the
 * items stay done, and an event tells. A key that another process has claimed is refused with `DUPLICATE_IN_FLIGHT` (class rejected).
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function idempotency<I, R>(options: IdempotencyOptions<I, R>): Layer<I, R> {
  checkNames('idempotency', options, ['store', 'keyOf', 'storeTimeoutMs']);
  const { store, keyOf = (_: I, item: Item<I>) => item.idempotencyKey } = options;
  if (typeof store?.claim !== 'function' || typeof store.settle !== 'function') {
    throw invalidOption('idempotency needs a store with claim(keys) and settle(settlements), such as memoryIdempotencyStore().');
  }
  const timeoutMs = numberOption('idempotency.storeTimeoutMs', options.storeTimeoutMs, 5000, { least: 1 });
  return (inner, env) => {
    const layer: LayerState<I, R> = { inner, env, store, timeoutMs, onTheirWay: new Map(), asking: 0, askers: [] };
    return {
      ready: (lane) => (layer.asking === 0 ? inner.ready(lane) : new Promise<void>((resolve) => layer.askers.push(resolve))),
      dispatch: (batch, context) => {
        const keys = batch.items.map((item) => keyOf(item.value, item));
        if (keys.every((key) => key === undefined)) return inner.dispatch(batch, context);
        return send(layer, batch, keys, context);
      },
    };
  };
}

interface LayerState<I, R> {
  readonly inner: Dispatcher<I, R>;
  readonly env: Env;
  readonly store: IdempotencyStore<R>;
  readonly timeoutMs: number;
  /** Keys that a batch of this layer has claimed, or asks for, and how their items will have ended. */
  readonly onTheirWay: Map<string, Promise<Outcome<R>>>;
  /** Questions that the store has not answered. */
  asking: number;
  askers: (() => void)[];
}

interface Following<R> {
  readonly index: number;
  readonly end: Promise<Outcome<R>>;
  /** Whoever leads is in another batch. */
  readonly elsewhere: boolean;
}

/** An item that leads sends its key; one that follows waits for whoever leads. */
async function send<I, R>(
  layer: LayerState<I, R>,
  batch: Batch<I>,
  keys: readonly (string | undefined)[],
  context: DispatchContext,
): Promise<readonly Outcome<R>[]> {
  const settled = new Array<Outcome<R>>(keys.length);
  let open: readonly number[] = keys.map((_, index) => index);
  while (open.length > 0) {
    const following: Following<R>[] = [];
    const ours = new Set<string | undefined>();
    const leading = new Map<number, (outcome: Outcome<R>) => void>();
    for (const index of open) {
      const key = keys[index];
      const end = key === undefined ? undefined : layer.onTheirWay.get(key);
      if (end !== undefined) following.push({ index, end, elsewhere: !ours.has(key) });
      else {
        ours.add(key);
        leading.set(index, key === undefined ? () => {} : lead(layer, key));
      }
    }
    if (leading.size > 0) await sendLeading(layer, batch, keys, context, leading, settled);
    // Only now: what we lead has ended, so that two batches that follow each other do not wait for each other.
    open = await follow(layer.env, following, context, settled);
    if (following.length > 0) {
      const items = following.length - open.length;
      layer.env.observe({ type: 'duplicates', lane: batch.lane, batchId: batch.id, items });
    }
  }
  return settled;
}

function lead<I, R>(layer: LayerState<I, R>, key: string): (outcome: Outcome<R>) => void {
  let end!: (outcome: Outcome<R>) => void;
  layer.onTheirWay.set(key, new Promise((resolve) => (end = resolve)));
  return (outcome) => {
    layer.onTheirWay.delete(key);
    end(outcome);
  };
}

async function sendLeading<I, R>(
  layer: LayerState<I, R>,
  batch: Batch<I>,
  keys: readonly (string | undefined)[],
  context: DispatchContext,
  leading: ReadonlyMap<number, (outcome: Outcome<R>) => void>,
  settled: Outcome<R>[],
): Promise<void> {
  const indexes = [...leading.keys()];
  const asked = indexes.filter((index) => keys[index] !== undefined);
  const given =
    asked.length === 0
      ? []
      : claim(
          layer,
          batch,
          asked.map((index) => keys[index]!),
          context,
        );
  // Without await where the store answered at once: the advice that brought the batch here holds in this turn only.
  const claims = isPromise(given) ? await given : given;
  const answered = new Set<number>();
  asked.forEach((index, i) => {
    const outcome = claims[i]!;
    if (outcome === 'new') return;
    answered.add(index);
    settled[index] = outcome;
    leading.get(index)!(outcome);
  });
  const sent = indexes.filter((index) => !answered.has(index));
  const known = claims.filter((outcome) => outcome !== 'new' && outcome.kind === 'ok').length;
  if (known > 0) layer.env.observe({ type: 'duplicates', lane: batch.lane, batchId: batch.id, items: known });
  if (sent.length === 0) return;
  const outcomes = await layer.inner.dispatch(batch.only(sent), context);
  const settlements: KeySettlement<R>[] = [];
  sent.forEach((index, i) => {
    const outcome = outcomes[i]!;
    const key = keys[index];
    settled[index] = outcome;
    if (key === undefined) return;
    settlements.push(outcome.kind === 'ok' ? { key, kind: 'done', value: outcome.value } : { key, kind: 'released' });
  });
  // Before anyone is told: who then comes with the same key must find it.
  await remember(layer, batch, settlements);
  for (const index of sent) leading.get(index)!(settled[index]!);
}

type Claimed<R> = 'new' | Outcome<R>;

/** Asks the store; what is not ours to send has its outcome already. */
function claim<I, R>(
  layer: LayerState<I, R>,
  batch: Batch<I>,
  keys: readonly string[],
  context: DispatchContext,
): readonly Claimed<R>[] | Promise<readonly Claimed<R>[]> {
  const { env, store, timeoutMs } = layer;
  const release = (claims: readonly Claim<R>[]) => {
    const ours = keys.filter((_, i) => claims[i]?.kind === 'new');
    if (ours.length > 0)
      void remember(
        layer,
        batch,
        ours.map((key) => ({ key, kind: 'released' })),
      );
  };
  const answer = storeCall(env, timeoutMs, () => store.claim(keys), release);
  const read = (claims: Awaited<typeof answer>): readonly Claimed<R>[] => {
    if (claims.ok && claims.value.length === keys.length) {
      if (!abortionOf(context).aborted) return claims.value.map(outcomeOf);
      release(claims.value);
      return keys.map(() => failed(cancelled));
    }
    const problem = claims.ok
      ? failure(`the store got ${keys.length} keys and gave ${claims.value.length} claims`, storeFailed)
      : claims.problem;
    env.observe({ type: 'storeFailed', layer: 'idempotency', batchId: batch.id, items: keys.length, error: problem });
    return keys.map(() => failed(problem));
  };
  if (!isPromise(answer)) return read(answer);
  layer.asking++;
  return answer.then((claims) => {
    if (--layer.asking === 0) for (const wake of layer.askers.splice(0)) wake();
    return read(claims);
  });
}

function outcomeOf<R>(claimed: Claim<R>): Claimed<R> {
  if (claimed.kind === 'new') return 'new';
  if (claimed.kind === 'done') return { kind: 'ok', value: claimed.value };
  return failed(
    failure('not sent: an item with this idempotency key is on its way elsewhere; ask again later.', {
      code: 'DUPLICATE_IN_FLIGHT',
      class: 'rejected',
    }),
  );
}

async function remember<I, R>(layer: LayerState<I, R>, batch: Batch<I>, settlements: readonly KeySettlement<R>[]): Promise<void> {
  if (settlements.length === 0) return;
  const { env, store, timeoutMs } = layer;
  const answer = await storeCall<void>(env, timeoutMs, () => store.settle(settlements));
  if (answer.ok) return;
  env.observe({ type: 'storeFailed', layer: 'idempotency', batchId: batch.id, items: settlements.length, error: answer.problem });
}

/** Waits for those who lead; answers who must be sent after all. */
async function follow<R>(
  env: Env,
  following: readonly Following<R>[],
  context: DispatchContext,
  settled: Outcome<R>[],
): Promise<number[]> {
  if (following.length === 0) return [];
  let stop = () => {};
  const left = new Promise<Outcome<never>>((resolve) => {
    stop = whileWaiting(env, context, (problem) => resolve(failed(problem)));
  });
  let hasLeft = false;
  void left.then(() => {
    hasLeft = true;
  });
  const again: number[] = [];
  for (const { index, end, elsewhere } of following) {
    const outcome = await Promise.race([end, left]);
    settled[index] = outcome;
    if (hasLeft || outcome.kind !== 'failed' || outcome.failure.class !== 'rejected') continue;
    // What kept our own batch from being sent keeps this item as well, unless it was that the other one's caller left.
    if (elsewhere || outcome.failure.code === 'CANCELLED') again.push(index);
  }
  stop();
  return again;
}

const storeFailed = { code: 'STORE_FAILED', class: 'rejected' } as const;
const cancelled = failure('not sent: it was aborted before the call began.', { code: 'CANCELLED', class: 'rejected' });
