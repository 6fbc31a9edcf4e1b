/** Partition contract: what a consumer and the readers of its partitions want of each other. */

import type { SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';
import type { Alone } from './alone.js';
import type { Log } from './log.js';
import type { Poison } from './poison.js';
import type { RecordItem, RecordOwner } from './record-item.js';
import type { SettledHow, SettledWaiters } from './settled-waiters.js';

/**
 * What a reader does: `starting` (claims), `backingOff` (too many starts ended in a crash), `reading`, `halted` (strict order, and a record
 * failed for good), `damaged` (records cannot be read), `fenced` (somebody else claimed the partition), `stopping`, `stopped`, `broken`
 * (the log failed).
 */
export type ReaderState =
  | 'starting'
  | 'backingOff'
  | 'reading'
  | 'halted'
  | 'damaged'
  | 'fenced'
  | 'stopping'
  | 'stopped'
  | 'broken';

/** Why somebody should look: in status and as an `alarm` event. */
export interface ConsumerProblem {
  readonly code: string;
  readonly class: string;
  readonly message: string;
  /** Epoch milliseconds. */
  readonly since: number;
}

/** One partition, as its consumer sees it. */
export interface PartitionStatus {
  readonly partition: number;
  readonly state: ReaderState | 'paused';
  /** 0 until it is claimed. */
  readonly epoch: number;
  readonly cursor: number;
  /** Ranges settled above the cursor. */
  readonly rangesAbove: number;
  /** Records in memory, not settled. */
  readonly items: number;
  /** Read and not yet behind the cursor: what its bound counts. */
  readonly aheadItems: number;
  readonly aheadBytes: number;
  readonly problem: ConsumerProblem | undefined;
}

/** What the readers of one consumer share. */
export interface Readers {
  readonly log: Log;
  readonly env: Env;
  readonly group: string;
  readonly stream: string;
  readonly waiters: SettledWaiters;
  readonly alone: Alone;
  readonly poison: Poison;
  /** Nothing passes a record that failed for good. */
  readonly halts: boolean;
  /** Most records between the cursor and what is read next. */
  readonly maxAhead: number;
  /** Share of one partition of the bytes that may be ahead of the cursors. */
  maxAheadBytes(): number;
  /** Gives an item to the engine; false when that takes no more. */
  offer(item: RecordItem): boolean;
  cancel(item: RecordItem, reason: SluiceError): void;
  /** Sends what is held, whatever its window. */
  flush(): void;
  /** The records of a partition before this offset have been offered. */
  taken(partition: number, next: number): void;
  written(ok: number, dead: number): void;
  alarm(partition: number, problem: SluiceError): void;
  /** How the group has settled a record, as its dead letters tell. */
  howSettled(partition: number, offset: number): Promise<SettledHow>;
  /** The log failed: the consumer stops. */
  broken(problem: SluiceError): void;
  /** The partition must be claimed anew, after so long. */
  reopen(reader: PartitionReader, afterMs: number): void;
}

/** Reads one partition. */
export interface PartitionReader extends RecordOwner {
  readonly state: ReaderState;
  /** Ends when it has read as far as it was told, or was stopped, or cannot go on. */
  readonly done: Promise<void>;
  status(): PartitionStatus;
  /** Something may have changed: records were appended, room was made. */
  wake(): void;
  /** What became of one of its records. */
  ended(item: RecordItem, outcome: Outcome<unknown>): void;
  /** Whether a record is settled, for all that this reader knows; while its letter is on its way into the log it is not. */
  isSettled(offset: number): boolean;
  /** Reads no further than this offset; see {@link done}. */
  finishAt(offset: number): void;
  /** Writes what is settled, now. */
  writeNow(): Promise<void>;
  /** Parks the record in front of which it has halted; false when it has not. */
  parkHalted(): Promise<boolean>;
  /** Gives up the records that it cannot read; false when there are none. */
  skipDamage(): Promise<boolean>;
  /**
   * Drains, then hands over: offers nothing more, gives back what no call has (what has not left, what waits for its next try), waits until the
   * deadline for the calls under way, writes, and releases the claim. What is cut off at the deadline is delivered again by the next owner; a late word of it is fenced by the epoch.
   */
  stop(deadlineMs: number): Promise<void>;
}
