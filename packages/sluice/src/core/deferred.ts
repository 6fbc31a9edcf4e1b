/** Deferred: the two ends of a promise, without a closure for each. */

/** Whoever settles a promise later. */
export interface Settler<V> {
  resolve: ((value: V) => void) | undefined;
  reject: ((reason: unknown) => void) | undefined;
}

let settler: Settler<never>;

/** One function for every promise: the constructor calls it before it returns. */
function capture(resolve: (value: never) => void, reject: (reason: unknown) => void): void {
  settler.resolve = resolve;
  settler.reject = reject;
}

/** A promise that `by` settles. */
export function promiseSettledBy<V>(by: Settler<V>): Promise<V> {
  settler = by as Settler<never>;
  return new Promise<V>(capture as (resolve: (value: V) => void, reject: (reason: unknown) => void) => void);
}
