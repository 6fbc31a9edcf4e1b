/** Consumer contract: what a consumer does for its users, and what it reports. */

import type { SluiceError } from '../core/errors.js';
import type { Tally } from '../core/tally.js';
import type { ConsumerProblem, PartitionStatus } from './partition-contract.js';
import type { Lag, StartAt } from './position.js';
import type { Position } from './record.js';
import type { GivenUp, SettledHow } from './settled-waiters.js';

/** What a drain reports. */
export interface ConsumerReport {
  /** Records that the sink took, since the consumer was started. */
  readonly ok: number;
  /** Records parked as dead letters, since the consumer was started. */
  readonly dead: number;
  /** Records that stay in the log: safe, and delivered after the next start. */
  readonly leftInLog: number;
  /** The same for each partition that it had. */
  readonly partitions: readonly { readonly partition: number; readonly cursor: number; readonly leftInLog: number }[];
  /** Records in calls of the sink that had not answered: they are in the log, and may have been taken all the same. */
  readonly unanswered: number;
}

/** How a consumer is doing. */
export interface ConsumerStatus {
  /** `idle`: the group has more consumers than the stream has partitions; it steps in when another leaves. */
  readonly state: 'running' | 'idle' | 'paused' | 'draining' | 'stopped';
  readonly partitions: readonly PartitionStatus[];
  readonly tally: Tally;
  /** Read and not yet behind the cursors, in bytes of memory, and the bound of that. */
  readonly aheadBytes: number;
  readonly maxAheadBytes: number;
  /** Why records are held, or a partition is not read, if that is so: nothing is lost. */
  readonly problem: ConsumerProblem | undefined;
  /** What stopped it for good, if anything did: it cannot read the log, or not settle in it. The records stay in the log. */
  readonly broken: SluiceError | undefined;
}

/** How far a group is behind. */
export interface GroupLag {
  readonly items: number;
  readonly bytes: number;
  /** Age of the oldest unsettled record in milliseconds of the wall clock; 0 when there is none. */
  readonly oldestMs: number;
  readonly partitions: readonly Lag[];
}

/** Reads a stream for a group. */
export interface Consumer {
  readonly stream: string;
  readonly group: string;
  /**
   * Resolves with `'ok'` or `'dead'` once the group has settled the record at this offset; at once when it has already. Rejects with
   * `CANCELLED` on `signal`. While somebody waits, a window with a `maxDelayMs` does not hold records back.
   */
  settled(partition: number, offset: number, signal: AbortSignal): Promise<SettledHow>;
  /**
   * The same for all of some records, in their order, at the cost of one wait: what a request with many events waits for. Where it is given up
   * first, `undefined` stands for those that are not settled by then.
   *
   * @param givenUp a signal, or a function that is called once with what gives the wait up; that may be called at any time, also when it is over.
   */
  settledAll(records: readonly Position[], givenUp: GivenUp): Promise<readonly (SettledHow | undefined)[]>;
  status(): ConsumerStatus;
  /** How far the group is behind, in all partitions. */
  lag(): Promise<GroupLag>;
  /** Stops reading: what has left is settled, what has not goes back to the log. Resolves once nothing is on its way. */
  pause(): Promise<void>;
  /**
   * Reads on: after a pause, a halt, or when a partition could not be read. The record in front of which strict order halted is tried again;
   * with `parkHalted` it is parked as a dead letter, and passed. One at which the process died (`POISON`) is not tried again: park it.
   */
  resume(options?: { readonly parkHalted?: boolean }): Promise<void>;
  /**
   * Calls the sink again at once, with one batch, where the breaker keeps it from being called: for whoever knows that it is back. Neither the
   * cooldown nor a `Retry-After` is waited for; a batch that pauses before its next try still does. Without a breaker it does nothing.
   */
  probe(): void;
  /**
   * Puts the group elsewhere in every partition, or in one: to an offset, or a time. What is on its way is drained first. `'start'` delivers all
   * that is stored again.
   *
   * @returns where the group stands now in each partition that it was to move in: not where it was sent when that is no longer stored, or behind the end.
   */
  seek(to: StartAt, partition?: number): Promise<readonly Position[]>;
  /**
   * Gives up what cannot be read in the partitions whose state is `damaged`; it is counted as skipped.
   *
   * @returns in how many partitions.
   */
  skipDamage(): Promise<number>;
  /** Resolves with the error that stopped it, if one ever does: the log refused a settlement. Nothing is lost; the records stay in the log. */
  readonly failed: Promise<SluiceError>;
  /**
   * Delivers what is in the log at this moment, then leaves the group; at the deadline it does so all the same and says what is left. Nothing is
   * lost either way. Idempotent: a second call with a shorter deadline shortens the first.
   */
  drain(options: { readonly deadlineMs: number }): Promise<ConsumerReport>;
}
