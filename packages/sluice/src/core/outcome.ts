/** Outcome: what became of one item. Inside, failures are values; at the borders they are errors. */

import type { SluiceError } from './errors.js';

/** What became of one item: done, failed, or parked as a dead letter. */
export type Outcome<R> =
  | { readonly kind: 'ok'; readonly value: R }
  | { readonly kind: 'failed'; readonly failure: SluiceError }
  | { readonly kind: 'dead'; readonly failure: SluiceError; readonly deadLetterId: string };

/** The outcome `ok` of an item whose sink returns nothing; shared, so that a batch of 500 allocates none. */
export const done: Outcome<undefined> = { kind: 'ok', value: undefined };

/** The outcome of an item that failed. */
export function failed(failure: SluiceError): Outcome<never> {
  return { kind: 'failed', failure };
}

/** One failure for every item of a batch: all share the same outcome object, by which layers know that the batch failed as a whole. */
export function allFailed(count: number, failure: SluiceError): Outcome<never>[] {
  return new Array<Outcome<never>>(count).fill(failed(failure));
}

/** The failure that a batch failed with as a whole, if it did: one outcome object, shared by all. */
export function wholeFailure(outcomes: readonly Outcome<unknown>[]): SluiceError | undefined {
  const first = outcomes[0];
  if (first === undefined || first.kind !== 'failed') return undefined;
  return outcomes.every((outcome) => outcome === first) ? first.failure : undefined;
}
