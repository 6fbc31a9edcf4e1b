/** Many: calls for many keys at once. One listener and one promise for all of them: one each is what such a call would cost most. */

import { failure, type SluiceError, shorten } from '../core/errors.js';
import type { Cancel } from '../env/env.js';
import type { KeyEngine } from './key-engine.js';
import { isAnswer, KeyItem, type Listener } from './key-item.js';
import { type CallOptions, watchCall } from './leaving.js';
import { ownError } from './refusals.js';

/** All values in key order; rejects with the first failure. With `finds`, `undefined` where there is no such key. */
export function loadAll<K, V>(
  engine: KeyEngine<K, V>,
  keys: readonly K[],
  finds: boolean,
  options: CallOptions | undefined,
): Promise<V[]> {
  return gather(engine, keys, options, finds, valueIn as (entry: Entry<K, V>) => V, true);
}

/** What became of each key, in key order. */
export function loadEach<K, V>(
  engine: KeyEngine<K, V>,
  keys: readonly K[],
  options: CallOptions | undefined,
): Promise<PromiseSettledResult<V>[]> {
  return gather(engine, keys, options, false, resultOf, false);
}

/**
 * What became of each key that there is, in key order: its value, or the error of this caller.
 *
 * @param whenGone is given what makes the call leave, with `CANCELLED`.
 */
export function loadSettled<K, V>(
  engine: KeyEngine<K, V>,
  keys: readonly K[],
  options: CallOptions | undefined,
  whenGone?: (leave: () => void) => void,
): Promise<Map<K, V | SluiceError>> {
  return new Promise((resolve) => {
    let isTold = false;
    const leave = ask<K, V>(engine, keys, options, { finds: false }, (entries) => {
      isTold = true;
      resolve(found(keys, entries));
    });
    whenGone?.(() => {
      if (!isTold) leave(gone);
    });
  });
}

/** Asks for keys, and tells nobody. */
export function prefetch<K, V>(engine: KeyEngine<K, V>, keys: readonly K[], options: CallOptions | undefined): void {
  ask(engine, [...keys], options, { finds: true, prefetches: true }, () => {});
}

/** What a call knows of a key: its item, which has an outcome in the end, or why it does not wait for it. */
type Entry<K, V> = KeyItem<K, V> | SluiceError;

function gather<K, V, R>(
  engine: KeyEngine<K, V>,
  keys: readonly K[],
  options: CallOptions | undefined,
  finds: boolean,
  read: (entry: Entry<K, V>) => R,
  rejects: boolean,
): Promise<R[]> {
  return new Promise((resolve, reject) => {
    if (!Array.isArray(keys)) {
      const message = `the keys must come as an array; got ${shorten(keys)}.`;
      return reject(failure(message, { code: 'INVALID_KEY', class: 'rejected' }));
    }
    ask(engine, keys, options, { finds }, (entries) => resolve(entries.map(read)), rejects ? reject : undefined);
  });
}

/**
 * @param done told once, when there is nothing left to wait for.
 * @param failed told of the first failure, if it wants to know; `done` is not called then.
 * @returns how to leave.
 */
function ask<K, V>(
  engine: KeyEngine<K, V>,
  keys: readonly K[],
  options: CallOptions | undefined,
  { finds, prefetches = false }: Pick<Listener<K, V>, 'finds' | 'prefetches'>,
  done: (entries: readonly Entry<K, V>[]) => void,
  failed?: (reason: SluiceError) => void,
): (reasonOf: () => SluiceError) => void {
  const entries: Entry<K, V>[] = [];
  let unwatch: Cancel | undefined;
  let asking = true;
  let left = 0;
  let isOver = false;

  const fail = (reason: SluiceError) => {
    if (failed === undefined || isOver) return;
    isOver = true;
    failed(reason);
  };
  const endIfAllTold = () => {
    if (asking || left > 0) return;
    unwatch?.();
    if (!isOver) done(entries);
  };
  const listener: Listener<K, V> = {
    finds,
    prefetches,
    arrival: 0,
    settled: false,
    tell({ outcome, value }) {
      left--;
      if (failed !== undefined && outcome!.kind !== 'ok' && !isAnswer(outcome!, finds)) fail(ownError(outcome!.failure, value));
      endIfAllTold();
    },
  };
  const leave = (reasonOf: () => SluiceError) => {
    listener.settled = true;
    left = 0;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (!(entry instanceof KeyItem) || entry.outcome !== undefined) continue;
      entries[i] = reasonOf();
      engine.leave(entry, entries[i] as SluiceError);
    }
    fail(reasonOf());
    endIfAllTold();
  };

  if (options !== undefined) unwatch = watchCall(engine.deadlines, options, leave);
  for (const key of keys) {
    left++;
    const entry = engine.enter(key, listener, options);
    entries.push(entry);
    if (entry instanceof KeyItem) continue;
    left--;
    fail(entry);
  }
  asking = false;
  endIfAllTold();
  return leave;
}

function valueIn<V>(entry: Entry<unknown, V>): V | undefined {
  const outcome = (entry as KeyItem<unknown, V>).outcome!;
  return outcome.kind === 'ok' ? outcome.value : undefined;
}

function resultOf<V>(entry: Entry<unknown, V>): PromiseSettledResult<V> {
  if (!(entry instanceof KeyItem)) return { status: 'rejected', reason: entry };
  const outcome = entry.outcome!;
  if (outcome.kind === 'ok') return { status: 'fulfilled', value: outcome.value };
  return { status: 'rejected', reason: ownError(outcome.failure, entry.value) };
}

function found<K, V>(keys: readonly K[], entries: readonly Entry<K, V>[]): Map<K, V | SluiceError> {
  const all = new Map<K, V | SluiceError>();
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    if (!(entry instanceof KeyItem)) all.set(keys[i]!, entry);
    else if (entry.outcome!.kind === 'ok') all.set(keys[i]!, entry.outcome!.value);
    else if (!isAnswer(entry.outcome!, true)) all.set(keys[i]!, ownError(entry.outcome!.failure, entry.value));
  }
  return all;
}

function gone(): SluiceError {
  return failure('the caller is gone.', { code: 'CANCELLED', class: 'rejected' });
}
