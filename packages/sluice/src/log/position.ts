/** Positions: where a consumer group stands in a partition, who owns it, and how far it is behind. */

/** Offsets side by side, from `first` to `last`, both included. */
export interface OffsetRange {
  readonly first: number;
  readonly last: number;
}

/** Where a consumer group stands in one partition. */
export interface GroupPosition {
  /** The contiguous settled prefix: every offset below is settled. */
  readonly cursor: number;
  /** What is settled above the cursor: ascending, disjoint, at most {@link maxSettledRanges}. It is not delivered again after a restart. */
  readonly settledAbove: readonly OffsetRange[];
}

/** Most ranges of settled offsets above a cursor. */
export const maxSettledRanges = 10_000;

/** Most ranges that may be marked as in flight. */
export const maxInFlightRanges = 3_000;

/** Where a new group begins, or a seek goes: `time` is the first offset that was appended at or after that epoch millisecond. */
export type StartAt = 'start' | 'end' | { readonly offset: number } | { readonly time: number };

/** The right to move a group in one partition. An older epoch is fenced. */
export interface Ownership {
  readonly group: string;
  readonly stream: string;
  readonly partition: number;
  /** Grows with each claim and each seek; never given twice, not even to a group that was deleted and made again. */
  readonly epoch: number;
}

/** Offsets that were in flight when their owner vanished. */
export interface Suspect extends OffsetRange {
  /** How many times, 1 or more. */
  readonly crashes: number;
}

/** What a claim brings. */
export interface Claim extends Ownership {
  readonly position: GroupPosition;
  /** Unsettled offsets that were in flight when an owner vanished without a release: ascending, disjoint. */
  readonly suspects: readonly Suspect[];
  /** When the partition was claimed after an owner that had vanished, this time included: epoch milliseconds, the latest 20, newest last. A release clears it. */
  readonly uncleanStarts: readonly number[];
}

/** What an owner says of its records: moved together, in one transaction. */
export interface Moves<Letter> {
  /** Where the group stands now; left out, it stays. It never goes back: that is what a seek is for. */
  readonly position?: GroupPosition;
  /** What the sink took since the last time: dead letters of these offsets are removed. */
  readonly delivered?: readonly OffsetRange[];
  /** Records to park. A letter may be parked before its offset is settled, ahead of the commit of a sink. */
  readonly dead?: readonly Letter[];
}

/** How far a group is behind in one partition. */
export interface Lag {
  readonly partition: number;
  /** Records that are not settled. */
  readonly items: number;
  /** Bytes of the records behind the cursor, as stored; of what is settled above the cursor a share is taken off. */
  readonly bytes: number;
  /** Age of the oldest unsettled record in milliseconds of the wall clock; 0 when there is none. */
  readonly oldestMs: number;
}

/** A group in one partition, for people and metrics. */
export interface GroupInfo {
  readonly group: string;
  readonly stream: string;
  readonly partition: number;
  readonly cursor: number;
  /** Number of ranges settled above the cursor, and of the records in them. */
  readonly rangesAbove: number;
  readonly settledAbove: number;
  readonly epoch: number;
  /** Somebody has claimed it and not released it. */
  readonly owned: boolean;
  /** Records that retention removed before this group had settled them. */
  readonly expired: number;
  /** Records that were given up as unreadable, by {@link Log.skip}. */
  readonly skipped: number;
}
