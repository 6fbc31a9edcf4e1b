/**
 * The durable log: streams of records with offsets, a window of ids that knows duplicates at append, consumer groups with a
 * cursor each, and the dead letters, all in one store, so that one transaction moves them together.
 */

import type { FailureClass } from '../core/errors.js';

/** An event to append. */
export interface NewEvent {
  /** Unique in (stream, tenant) within the window of ids: 1 to 512 bytes of UTF-8. */
  readonly id: string;
  /** The id was made for this event just now: it cannot be a duplicate, and the window of ids need not hold it. */
  readonly generated?: boolean;
  /** `'_'` without tenants. */
  readonly tenant: string;
  /** When it happened, as RFC 3339 text, as the sender wrote it; `null` when it did not say. */
  readonly time: string | null;
  /** When it was received, in epoch milliseconds. */
  readonly receivedAt: number;
  /** The event as received, byte for byte. */
  readonly payload: Uint8Array;
}

/** A record of the log. */
export interface LogRecord {
  readonly stream: string;
  readonly partition: number;
  /** Position in the partition, from 0, without gaps. */
  readonly offset: number;
  readonly id: string;
  readonly tenant: string;
  readonly time: string | null;
  readonly receivedAt: number;
  readonly payload: Uint8Array;
}

/** What became of one event of an append. */
export interface Appended {
  readonly partition: number;
  /** Its offset; of a duplicate, that of the original. */
  readonly offset: number;
  /** An event with this id is in the window already: nothing was stored. */
  readonly duplicate: boolean;
}

/** Position in a stream. */
export interface Position {
  readonly partition: number;
  readonly offset: number;
}

/** How one record was settled by a consumer group. */
export type Settlement =
  | { readonly offset: number; readonly kind: 'ok' }
  | { readonly offset: number; readonly kind: 'dead'; readonly letter: NewDeadLetter };

/** What a consumer knows of a record that it parks; the log adds where it came from. */
export interface NewDeadLetter {
  readonly record: LogRecord;
  readonly code: string;
  readonly class: FailureClass;
  readonly message: string;
  readonly attempts: number;
  /** First and last failure, in epoch milliseconds. */
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
}

/** A parked record: the original bytes, where it came from, and why. */
export interface DeadLetter extends NewDeadLetter {
  /** `group/stream/partition/offset`: parking the same record again replaces the letter. */
  readonly id: string;
  readonly group: string;
}

/** Where a consumer group stands in one partition. */
export interface GroupPosition {
  /** The contiguous settled prefix: every offset below is settled. */
  readonly cursor: number;
  /** Settled offsets above the cursor, ascending. They are not delivered again after a restart. */
  readonly settledAbove: readonly number[];
}

/** How far a group is behind. */
export interface Lag {
  readonly items: number;
  /** Age of the oldest unsettled record in milliseconds of the wall clock; 0 when there is none. */
  readonly oldestMs: number;
}

/** What a log holds, for people and metrics. */
export interface StreamInfo {
  readonly stream: string;
  readonly partition: number;
  /** First offset still stored. */
  readonly firstOffset: number;
  /** Offset that the next record gets. */
  readonly nextOffset: number;
}

/**
 * A durable log. Two implementations: memory (tests, simulation) and LMDB.
 *
 * Guarantee levels of an append: `accepted` (in memory, {@link Log.offer}), `durable` (fsynced, {@link Log.append}). A third,
 * `committed` (the sink took it), belongs to the consumer.
 */
export interface Log {
  /**
   * Takes events into memory at once, to be appended with the next group commit: `'accepted'`, or `'full'` when
   * `maxHeldItems` or `maxHeldBytes` is reached, or `'closed'`. What is held is lost with the process.
   */
  offer(stream: string, events: readonly NewEvent[]): 'accepted' | 'full' | 'closed';
  /**
   * Appends events and resolves once all of them are on disk, in input order; duplicates are named, not stored, and only
   * reported once their original is on disk too.
   *
   * @throws SluiceError `OVERLOADED` (class rejected: full, nothing was stored), `CLOSED`, `LOG_STOPPED` (a flush failed).
   */
  append(stream: string, events: readonly NewEvent[]): Promise<readonly Appended[]>;
  /** Records from an offset on, at most `maxItems` and about `maxBytes` (at least one record when there is any). */
  read(
    stream: string,
    partition: number,
    from: number,
    bounds: { readonly maxItems: number; readonly maxBytes: number },
  ): Promise<readonly LogRecord[]>;
  /** Calls `fn` after records became readable in `stream`; returns how to stop that. */
  onAppended(stream: string, fn: () => void): () => void;
  /** Where a group stands; a new group starts at the first offset stored. */
  position(group: string, stream: string, partition: number): Promise<GroupPosition>;
  /**
   * Moves a group: settlements, cursor, settled offsets above it and dead letters, in one transaction. Resolves once it is
   * visible; `flushed()` says when it is on disk. Chunks that every group has settled are dropped.
   */
  settle(
    group: string,
    stream: string,
    partition: number,
    position: GroupPosition,
    settlements: readonly Settlement[],
  ): Promise<void>;
  /** Resolves once everything written before this call is on disk. */
  flushed(): Promise<void>;
  streams(): Promise<readonly StreamInfo[]>;
  /** Number of events that exist in memory alone: offered or being appended, not on disk yet. */
  readonly memoryOnly: number;
  deadLetters(filter: {
    readonly stream?: string;
    readonly group?: string;
    readonly limit?: number;
  }): Promise<readonly DeadLetter[]>;
  deadLetter(group: string, stream: string, partition: number, offset: number): Promise<DeadLetter | undefined>;
  deadLetterCount(): number;
  /** Resolves with the error that stopped the log, if one ever does: appends fail from then on, reading still works. */
  readonly stopped: Promise<Error>;
  /** Flushes what is held and closes the store. Idempotent. */
  close(): Promise<void>;
}

/** Where records go: the partition of a stream. One until streams are given more. */
export const onlyPartition = 0;
