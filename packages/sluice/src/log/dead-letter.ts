/** Dead letters of a log: records that were parked, complete, and how they are listed, marked and purged. */

import type { FailureClass } from '../core/errors.js';
import type { LogRecord } from './record.js';

/** One failed try of a record. */
export interface FailedTry {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly class: FailureClass;
  readonly code: string;
  readonly message: string;
}

/** What a consumer knows of a record that it parks; the log adds where it came from. */
export interface NewDeadLetter {
  readonly record: LogRecord;
  /** Of the failure that it was parked for. */
  readonly code: string;
  readonly class: FailureClass;
  readonly message: string;
  /** How often it was tried, how many of these ran into a time-out, and in how many crashes it was in flight. */
  readonly attempts: number;
  readonly timeouts: number;
  readonly crashes: number;
  /** Its failed tries, oldest first; at most {@link maxTries} are stored, messages cut to {@link maxMessageChars}. */
  readonly tries: readonly FailedTry[];
  /** First and last failure, in epoch milliseconds. */
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
}

/** Most failed tries that a letter stores: the first five and the latest. */
export const maxTries = 20;

/** Longest message that a letter stores, in UTF-16 units. */
export const maxMessageChars = 2_000;

/** A parked record: the original bytes, where it came from, and why. */
export interface DeadLetter extends NewDeadLetter {
  /** `group/stream/partition/offset`, names in percent-encoding: of one record a group has one letter. */
  readonly id: string;
  readonly group: string;
  /**
   * When it was parked for the first time, and for the last, in epoch milliseconds. A record that is delivered once more, after a seek say, may be
   * parked again: then reason, tries and counts are those of the last time, and `firstFailedAt` stays that of the first. Ages and filters
   * look at the last time.
   */
  readonly firstParkedAt: number;
  readonly parkedAt: number;
  readonly state: DeadLetterState;
  /** How many times it was sent again, and when last; `null` when never. */
  readonly redrives: number;
  readonly redrivenAt: number | null;
}

/** `parked`: waits for somebody. `redriven`: sent again, kept until it is purged. */
export type DeadLetterState = 'parked' | 'redriven';

/** Which letters; all conditions must hold. */
export interface DeadLetterFilter {
  readonly ids?: readonly string[];
  readonly group?: string;
  readonly stream?: string;
  readonly partition?: number;
  readonly tenant?: string;
  readonly code?: string;
  readonly class?: FailureClass;
  readonly state?: DeadLetterState;
  /** Parked, for the last time, at or after, and before: epoch milliseconds. */
  readonly parkedFrom?: number;
  readonly parkedBefore?: number;
}

/** Some letters of many. */
export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  /** Give it back as `after` for the next page; left out on the last one. */
  readonly next?: string;
}

/** Letters that failed alike. */
export interface DeadLetterGroup {
  readonly group: string;
  readonly stream: string;
  readonly code: string;
  readonly class: FailureClass;
  /** The message with its numbers, quoted texts and UUIDs taken out. */
  readonly pattern: string;
  readonly items: number;
  readonly bytes: number;
  readonly firstParkedAt: number;
  readonly lastParkedAt: number;
  /** One of them. */
  readonly sampleId: string;
}

/** What tells a letter that was sent again from one that took its place meanwhile. */
export type SentLetter = Pick<DeadLetter, 'id' | 'parkedAt' | 'redrives'>;

/** The dead letters of a log. */
export interface DeadLetters {
  /** All letters: how many, and their bytes as stored. */
  readonly items: number;
  readonly bytes: number;
  /** Letters in a fixed order, those of a stream by partition, offset and group. `limit` is 1 to 10,000, default 100. */
  page(query?: { readonly filter?: DeadLetterFilter; readonly after?: string; readonly limit?: number }): Promise<DeadLetterPage>;
  /** Counted by what they failed with, the most frequent first. */
  groups(filter?: DeadLetterFilter): Promise<readonly DeadLetterGroup[]>;
  get(id: string): Promise<DeadLetter | undefined>;
  /**
   * Marks letters as sent again, durably. Append them first, then mark: never the other way round. A letter that was parked anew or marked
   * by somebody else since it was read is not the one that was sent, and is left as it is.
   *
   * @param at epoch milliseconds.
   * @returns how many were there to be marked.
   */
  markRedriven(sent: readonly SentLetter[], at: number): Promise<number>;
  /**
   * Removes letters for good, durably, at most `limit` (default 10,000) of them.
   *
   * @returns how many were removed.
   */
  purge(filter: DeadLetterFilter, limit?: number): Promise<number>;
}

/** Bounds of the dead letters of a log. */
export interface DeadLetterBounds {
  /** Most letters. Default 1,000,000. A settlement that would park more is refused with `DEAD_LETTERS_FULL`. */
  readonly maxItems?: number;
  /** Most bytes of letters, as stored. Default 1 GiB. Beyond, the same. */
  readonly maxBytes?: number;
  /** Age at which retention removes a letter, in milliseconds of the wall clock. Default `Infinity`: never. Each removal is counted by an event. */
  readonly maxAgeMs?: number;
}

/** The public name of a letter. */
export function deadLetterId(group: string, stream: string, partition: number, offset: number): string {
  return `${encodeURIComponent(group)}/${encodeURIComponent(stream)}/${partition}/${offset}`;
}

/** Where a letter lies, by its name; `undefined` when it is none. */
export function readDeadLetterId(
  id: string,
): { readonly group: string; readonly stream: string; readonly partition: number; readonly offset: number } | undefined {
  const parts = /^([^/]+)\/([^/]+)\/(\d{1,5})\/(\d{1,15})$/.exec(id);
  if (parts === null) return undefined;
  try {
    return {
      group: decodeURIComponent(parts[1]!),
      stream: decodeURIComponent(parts[2]!),
      partition: Number(parts[3]),
      offset: Number(parts[4]),
    };
  } catch {
    return undefined;
  }
}
