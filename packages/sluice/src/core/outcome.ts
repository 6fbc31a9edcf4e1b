/** Outcome: what became of one item. Inside, failures are values; at the borders they are errors. */

import { type FailureClass, failure, type SluiceError } from './errors.js';

/** One failed try of an item. */
export interface FailedTry {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly code: string;
  readonly class: FailureClass;
  readonly message: string;
}

/** Most tries of which a history tells: the first five and the latest. */
export const maxHistory = 20;

/** How often an item was tried before it failed for good, as the retry layer counted. */
export interface Tries {
  /** Calls that this item was part of, the first included. */
  readonly attempts: number;
  /** When it first failed, in epoch milliseconds. */
  readonly firstFailedAt: number;
  /** Its failed tries, oldest first: the first five and the latest fifteen. */
  readonly history: readonly FailedTry[];
}

/** What became of one item: done, failed, or parked as a dead letter. */
export type Outcome<R> =
  | { readonly kind: 'ok'; readonly value: R }
  | { readonly kind: 'failed'; readonly failure: SluiceError; readonly tries?: Tries }
  | { readonly kind: 'dead'; readonly failure: SluiceError; readonly deadLetterId: string };

const done: Outcome<undefined> = Object.freeze({ kind: 'ok', value: undefined });

let lastAllDone: readonly Outcome<undefined>[] = [];

/** The outcomes of so many items whose sink returned nothing: one frozen array for batch after batch of one length. */
export function allDone(count: number): readonly Outcome<undefined>[] {
  if (lastAllDone.length !== count) lastAllDone = Object.freeze(new Array<Outcome<undefined>>(count).fill(done));
  return lastAllDone;
}

/** A short way to know that every item is done; false says nothing. */
export function isAllDone(outcomes: readonly Outcome<unknown>[]): boolean {
  return outcomes === lastAllDone;
}

/** The outcome of an item that failed. */
export function failed(problem: SluiceError): Outcome<never> {
  return { kind: 'failed', failure: problem };
}

/** One failure for every item of a batch: all share the same outcome object, by which layers know that the batch failed as a whole. */
export function allFailed(count: number, problem: SluiceError): Outcome<never>[] {
  return new Array<Outcome<never>>(count).fill(failed(problem));
}

/** The failure that a batch failed with as a whole, if it did: one outcome object, shared by all. */
export function wholeFailure(outcomes: readonly Outcome<unknown>[]): SluiceError | undefined {
  const first = outcomes[0];
  if (first === undefined || first.kind !== 'failed') return undefined;
  return outcomes.every((outcome) => outcome === first) ? first.failure : undefined;
}

/** What a dispatcher gave, if it is one outcome per item; else one failure for all. A layer of the user's may break the first law. */
export function oneEach<R>(count: number, given: readonly Outcome<R>[]): readonly Outcome<R>[] {
  if (isAllDone(given) && given.length === count) return given;
  const got: unknown = Array.isArray(given) ? given.length : typeof given;
  // `includes` sees holes, `every` does not.
  if (got === count && !given.includes(undefined as never)) return given;
  const what = got === count ? 'an array with holes' : got;
  return allFailed(
    count,
    failure(`expected ${count} outcomes, one per item of the batch; a layer gave ${String(what)}.`, {
      code: 'RESULT_LENGTH_MISMATCH',
      class: 'unknown',
    }),
  );
}
