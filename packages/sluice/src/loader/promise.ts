/** Promises whose functions are taken out without a closure each. */

/** What {@link capture} took. Read it before anything else runs. */
export const captured: { resolve: (value: unknown) => void; reject: (reason: unknown) => void } = {
  resolve: () => {},
  reject: () => {},
};

/** One executor for every promise: the constructor calls it before it returns. */
export function capture(resolve: (value: never) => void, reject: (reason: unknown) => void): void {
  captured.resolve = resolve as (value: unknown) => void;
  captured.reject = reject;
}
