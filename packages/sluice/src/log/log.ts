/**
 * The durable log: streams of records with offsets, a window of ids that knows duplicates at append, consumer groups with a
 * cursor each, and the dead letters, all in one store, so that one transaction moves them together.
 */

import type { DeadLetters, NewDeadLetter } from './dead-letter.js';
import type { Claim, GroupInfo, GroupPosition, Lag, Moves, OffsetRange, Ownership, StartAt } from './position.js';
import type { LogRecord, NewEvent, Receipt } from './record.js';
import type { StreamOptions, StreamSettings } from './stream-options.js';

/** A partition of a stream, for people and metrics. */
export interface StreamInfo {
  readonly stream: string;
  readonly partition: number;
  /** First offset still stored. */
  readonly firstOffset: number;
  /** Offset that the next record gets. */
  readonly nextOffset: number;
  /** Bytes of its records, as stored. */
  readonly bytes: number;
  /** When its oldest chunk was appended, in epoch milliseconds; `null` when it is empty. */
  readonly oldestAt: number | null;
}

/** Bounds of one read. */
export interface ReadBounds {
  readonly maxItems: number;
  /** Bytes of records as stored; at least one record is read whatever its size. */
  readonly maxBytes: number;
  /** Nobody waits for what is read: a log that shares its thread may let other work go first more often. Default false. */
  readonly isBackground?: boolean;
}

/** What a run of retention removed. */
export interface RetentionReport {
  readonly records: number;
  readonly bytes: number;
  /** Records that some group had not settled, summed over the groups. Only `'expire'` does that. */
  readonly expired: number;
  /** Dead letters beyond their age. */
  readonly letters: number;
}

/** What only some logs can do. What is not there is `undefined`, never emulated. */
export interface LogFacets {
  /** The log lies on a disk of this machine. */
  readonly disk?: DiskFacet;
  /** The log can check itself. */
  readonly verify?: () => Promise<VerifyReport>;
}

/** A log on a disk of this machine. */
export interface DiskFacet {
  readonly path: string;
  /** Bytes of its files. Space that was freed inside is used again, not given back. */
  fileBytes(): number;
  /** Free bytes of the disk. */
  freeBytes(): number;
}

/** What a check of a log has found. */
export interface VerifyReport {
  readonly streams: number;
  readonly chunks: number;
  readonly records: number;
  /** Groups of the streams: one that reads several partitions counts once, one that reads two streams twice. */
  readonly groups: number;
  readonly letters: number;
  readonly ids: number;
  /** Empty when all is well. */
  readonly problems: readonly VerifyProblem[];
}

/** One thing that is wrong in a log. */
export interface VerifyProblem {
  /** `more`: there are so many that not all are named. */
  readonly kind: 'chunk' | 'gap' | 'partition' | 'group' | 'letter' | 'id' | 'stream' | 'more';
  /** Where, and what. */
  readonly message: string;
  /** Records that cannot be read, where that is the problem. */
  readonly lost?: { readonly stream: string; readonly partition: number } & OffsetRange;
}

/**
 * A durable log. Two implementations: memory (tests, simulation) and LMDB.
 *
 * Guarantee levels of an append: `accepted` (in memory, {@link Log.offer}), `durable` (fsynced, {@link Log.append}). A third,
 * `committed` (the sink took it), belongs to the consumer.
 */
export interface Log {
  /**
   * A UUID, made with the store. Where the store is removed and made anew, offsets begin at 0 again, and the id differs: what is kept elsewhere
   * about offsets belongs to one id.
   */
  readonly id: string;
  /** What this log can do beyond the contract. */
  readonly facets: LogFacets;

  /**
   * Makes a stream, or changes its retention and its window of ids. A stream that is appended to first gets the log's `streamDefaults`.
   *
   * @throws SluiceError `INVALID_OPTION`: another number of partitions than the stream has, or a value out of range.
   */
  defineStream(stream: string, options?: StreamOptions): Promise<StreamSettings>;
  /** The settings of a stream; of one that does not exist, those that it would get. */
  streamSettings(stream: string): Promise<StreamSettings>;
  streams(): Promise<readonly StreamInfo[]>;

  /**
   * Takes events into memory at once, to be appended with the next group commit: `'accepted'`, or `'full'` when
   * `maxHeldItems` or `maxHeldBytes` is reached, or `'closed'`. What is held is lost with the process.
   */
  offer(stream: string, events: readonly NewEvent[]): 'accepted' | 'full' | 'closed';
  /**
   * Appends events and resolves once all of them are on disk, in input order; duplicates are named, not stored, and only
   * reported once their original is on disk too. Events with a key go to the partition of the key; the others of an append go together, the
   * appends taking turns over the partitions.
   *
   * @throws SluiceError `OVERLOADED` (class rejected: full, nothing was stored), `LOG_FULL`, `CLOSED`, `LOG_STOPPED` (a flush failed).
   */
  append(stream: string, events: readonly NewEvent[]): Promise<Receipt>;

  /**
   * Records from an offset on, within the bounds; from the first one stored, when that offset is gone.
   *
   * @throws DamagedRecords `LOG_CORRUPT`, with the range that is lost, when the first record that is asked for cannot be read.
   */
  read(stream: string, partition: number, from: number, bounds: ReadBounds): Promise<readonly LogRecord[]>;
  /** The first offset that was appended at or after a time, in epoch milliseconds: the next offset when there is none. Exact to a group commit. */
  offsetAt(stream: string, partition: number, time: number): Promise<number>;
  /** Calls `fn` after records became readable in `stream`; returns how to stop that. */
  onAppended(stream: string, fn: () => void): () => void;

  /**
   * Makes a group in every partition of a stream, at `'start'` (the first record stored) unless said otherwise. A group that exists stays
   * where it is.
   *
   * @returns whether it was made.
   */
  createGroup(group: string, stream: string, from?: StartAt): Promise<boolean>;
  /** Removes a group: nothing is kept for it any longer, and its owners are fenced. Its dead letters stay. */
  deleteGroup(group: string, stream: string): Promise<boolean>;
  groups(filter?: { readonly group?: string; readonly stream?: string }): Promise<readonly GroupInfo[]>;
  /** Where a group stands; `undefined` when there is no such group. */
  position(group: string, stream: string, partition: number): Promise<GroupPosition | undefined>;
  /** How far a group is behind in each partition. */
  lag(group: string, stream: string): Promise<readonly Lag[]>;

  /**
   * Takes a partition over, in one transaction: the epoch grows, so that the owner before is fenced; what was marked as in flight and
   * is not settled has been in one crash more; the marks are cleared. A group that does not exist is made at `'start'`.
   */
  claim(group: string, stream: string, partition: number): Promise<Claim>;
  /**
   * Notes what is in flight now, in place of what was noted before. It outlives a crash of the process, not a power cut: it is not flushed.
   * Where the disk has no room for it, nothing is noted, and the calls go on.
   *
   * @throws SluiceError `FENCED` (class rejected), `INVALID_VALUE` for more than {@link maxInFlightRanges} ranges, `LOG_UNWRITABLE` (class blocked).
   */
  inFlight(owner: Ownership, ranges: readonly OffsetRange[]): Promise<void>;
  /**
   * Moves a group in one transaction: position and dead letters, as {@link Moves} says. Resolves once it is on disk. What every group has
   * settled is then removed, as the retention of the stream allows.
   *
   * @throws SluiceError `FENCED` (class rejected: somebody else owns the partition now), `DEAD_LETTERS_FULL` (class rejected), `INVALID_VALUE`;
   * nothing was moved then. `LOG_STOPPED`.
   */
  settle(owner: Ownership, moves: Moves<NewDeadLetter>): Promise<void>;
  /**
   * Gives up records that cannot be read: they count as settled, and as `skipped`.
   *
   * @returns the position after that.
   * @throws SluiceError `FENCED`, `INVALID_VALUE`.
   */
  skip(owner: Ownership, range: OffsetRange): Promise<GroupPosition>;
  /** Ends an ownership in order: marks and unclean starts are cleared. Of one that was fenced, nothing happens. */
  release(owner: Ownership): Promise<void>;
  /** Puts a group somewhere else, forgets what was settled above, and fences its owner. Before the first record means the first; behind the last, the end. */
  seek(group: string, stream: string, partition: number, to: StartAt): Promise<GroupPosition>;

  /** The dead letters. */
  readonly letters: DeadLetters;

  /** Removes what retention allows to remove, now. It runs by itself with the settlements and, where ages are bounded, once a minute. */
  retain(): Promise<RetentionReport>;
  /** Resolves once everything written before this call is on disk. */
  flushed(): Promise<void>;
  /** Number of events that exist in memory alone: offered or being appended, not on disk yet. */
  readonly memoryOnly: number;
  /** Resolves with the error that stopped the log, if one ever does: appends fail from then on, reading still works. */
  readonly stopped: Promise<Error>;
  /** Flushes what is held and closes the store. Idempotent. */
  close(): Promise<void>;
}
