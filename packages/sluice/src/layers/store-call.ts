/** storeCall: asks a store that may answer at once, later, wrongly or never. */

import { asFailure, failure, type SluiceError } from '../core/errors.js';
import type { Env } from '../env/env.js';

/** What a store answered, or why not. */
export type StoreAnswer<V> = { readonly ok: true; readonly value: V } | { readonly ok: false; readonly problem: SluiceError };

/**
 * Calls a store; a synchronous answer comes back synchronously. Never throws or rejects.
 *
 * @param late told of an answer that comes after the time was up.
 */
export function storeCall<V>(
  env: Env,
  timeoutMs: number,
  call: () => V | Promise<V>,
  late: (value: V) => void = () => {},
): StoreAnswer<V> | Promise<StoreAnswer<V>> {
  let given: V | Promise<V>;
  try {
    given = call();
  } catch (thrown) {
    return { ok: false, problem: storeFailure(thrown) };
  }
  if (!isPromise(given)) return { ok: true, value: given };
  const promise = given;
  return new Promise((resolve) => {
    let timeUp = false;
    const cancel = env.clock.after(timeoutMs, () => {
      timeUp = true;
      resolve({ ok: false, problem: storeFailure(failure(`no answer after ${timeoutMs} ms`)) });
    });
    promise.then(
      (value) => {
        cancel();
        if (timeUp) late(value);
        else resolve({ ok: true, value });
      },
      (thrown: unknown) => {
        cancel();
        resolve({ ok: false, problem: storeFailure(thrown) });
      },
    );
  });
}

/** Whether a store has answered with a promise. */
export function isPromise<V>(given: V | Promise<V>): given is Promise<V> {
  return typeof (given as Promise<V> | undefined)?.then === 'function';
}

function storeFailure(thrown: unknown): SluiceError {
  const { message } = asFailure(thrown, 'transient');
  return failure(`the store failed: ${message}`, { code: 'STORE_FAILED', class: 'rejected', cause: thrown });
}
