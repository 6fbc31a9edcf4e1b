/** Contract of the store of dead letters: what nobody could write, kept until somebody decides. */

import type { FailureClass } from './errors.js';
import type { FailedTry } from './outcome.js';

/** An item that is to be parked, and why. Times are epoch milliseconds. */
export interface NewLetter<T> {
  /** What the sink would have been given. */
  readonly value: T;
  readonly itemId: string;
  readonly idempotencyKey?: string;
  readonly lane: string;
  /** The batch that it was cut in. */
  readonly batchId: string;
  /** The last failure: its code, class and message. */
  readonly code: string;
  readonly class: FailureClass;
  readonly message: string;
  /** Calls that it was part of; 1 where no retry layer counted. */
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  /** Its failed tries, oldest first: the first five and the latest fifteen. */
  readonly tries: readonly FailedTry[];
  /** Trace of the caller that it came from, as a W3C `traceparent`, where the env has an `origin` that knows it. */
  readonly trace?: string;
}

/** A dead letter. */
export interface Letter<T> extends NewLetter<T> {
  readonly id: string;
  readonly parkedAt: number;
  /** `redriving` while somebody sends it again. */
  readonly state: 'parked' | 'redriving';
}

/** Which letters; all members that are given must fit. */
export interface LetterFilter {
  readonly ids?: readonly string[];
  readonly lane?: string;
  readonly code?: string;
  readonly class?: FailureClass;
  /** Parked before this time, in epoch milliseconds. */
  readonly parkedBefore?: number;
  /** At most so many, the oldest first. */
  readonly limit?: number;
}

/** Letters that died of the same error. */
export interface LetterGroup {
  readonly code: string;
  readonly class: FailureClass;
  /** The message with its numbers and quoted parts left out, by which letters are grouped beside code and class. */
  readonly pattern: string;
  readonly letters: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  /** The oldest of them, to look at. */
  readonly exampleId: string;
}

/** A value, now or later. */
type Soon<V> = V | Promise<V>;

/** Keeps dead letters. Each member may answer at once or with a promise, and throws or rejects when the store fails. */
export interface DeadLetterStore<T> {
  /** Parks letters, all or none; their ids, in order. Throws when it has no room: then the items fail, and nothing is dropped silently. */
  park(letters: readonly NewLetter<T>[]): Soon<readonly string[]>;
  /** The letters that fit, oldest first. */
  list(filter?: LetterFilter): Soon<readonly Letter<T>[]>;
  /** The letters that fit, grouped by error, largest group first. */
  groups(filter?: LetterFilter): Soon<readonly LetterGroup[]>;
  get(id: string): Soon<Letter<T> | undefined>;
  /** Moves a letter to a state; false when it is not there, or in that state already. So only one redrive sends it. */
  mark(id: string, state: Letter<T>['state']): Soon<boolean>;
  /** Removes the letters that fit for good; how many. */
  purge(filter: LetterFilter): Soon<number>;
}
