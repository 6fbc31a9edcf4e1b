/** Batch functions for tests of the loader: one that answers by itself, one whose calls the test answers. */

import type { SluiceError } from '../../src/core/errors.js';

/** A batch function that doubles its keys, and remembers what it was asked for. */
export function doubling() {
  const calls: number[][] = [];
  const batchFn = async (keys: readonly number[]) => {
    calls.push([...keys]);
    return keys.map((key) => key * 2);
  };
  return { calls, batchFn };
}

/** A call that the test answers. */
export interface OpenCall<K, V> {
  readonly keys: readonly K[];
  readonly signal: AbortSignal;
  resolve(values: readonly (V | Error | undefined)[]): void;
  reject(error: unknown): void;
}

/** A batch function whose calls the test answers. */
export function answered<K, V>() {
  const calls: OpenCall<K, V>[] = [];
  const batchFn = (keys: readonly K[], { signal }: { readonly signal: AbortSignal }) =>
    new Promise<readonly (V | Error | undefined)[]>((resolve, reject) => calls.push({ keys, signal, resolve, reject }));
  return { calls, batchFn };
}

/** `'ok'`, or the code of the error that a promise rejects with. */
export function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'ok',
    (error: SluiceError) => error.code,
  );
}
