/** Events: everything worth observing, typed. Logs, metrics and traces are derived from these. */

import type { CutReason } from './batch.js';
import type { FailureClass, SluiceError } from './errors.js';

/** How many items of one batch ended in each way. */
export interface OutcomeCounts {
  readonly ok: number;
  readonly failed: number;
  readonly dead: number;
  readonly cancelled: number;
}

/** Which item an overflow policy drops: the one that is held longest, or the newcomer. */
export type DropReason = 'dropOldest' | 'dropNewest';

/** Something that happened. `type` names it; durations are in milliseconds. */
export type SluiceEvent =
  /** An item was refused; the caller was told. */
  | {
      readonly type: 'rejected';
      readonly name: string;
      readonly reason: 'full' | 'laneFull' | 'lanesFull' | 'closed' | 'tooLarge' | 'waitersFull';
    }
  /** A batch was cut and handed to the dispatcher. `waitMs`: how long its first item was held. */
  | {
      readonly type: 'cut';
      readonly name: string;
      readonly lane: string;
      readonly batchId: string;
      readonly items: number;
      readonly bytes: number;
      readonly reason: CutReason;
      readonly waitMs: number;
    }
  /** All items of a batch are settled. `durationMs`: from cut to settle, retries included. */
  | {
      readonly type: 'settled';
      readonly name: string;
      readonly lane: string;
      readonly batchId: string;
      readonly items: number;
      readonly durationMs: number;
      readonly outcomes: OutcomeCounts;
    }
  /** One call of the sink ended. `attempt`: 1 for the first try. */
  | {
      readonly type: 'called';
      readonly batchId: string;
      readonly lane: string;
      readonly attempt: number;
      readonly items: number;
      readonly durationMs: number;
      readonly ok: boolean;
    }
  /** A batch, or what failed of it, will be tried again. */
  | {
      readonly type: 'retry';
      readonly lane: string;
      readonly batchId: string;
      readonly items: number;
      readonly attempt: number;
      readonly delayMs: number;
      readonly failureClass: FailureClass;
      readonly code: string;
      /** What the sink said; of a permanent failure never, since it may hold parts of the item. */
      readonly message: string;
    }
  /** A batch failed as a whole and was split to find the bad items. */
  | { readonly type: 'bisect'; readonly batchId: string; readonly items: number; readonly code: string }
  /** A batch passed the `observe` layer named `label`. `slotWaitMs`: how long its lane had been told to wait before. */
  | {
      readonly type: 'begun';
      readonly label: string;
      readonly lane: string;
      readonly batchId: string;
      readonly items: number;
      readonly bytes: number;
      readonly attempt: number;
      readonly slotWaitMs: number;
    }
  /** What lies beneath the `observe` layer named `label` is done with a batch. `code` and `failureClass`: of its first failure. */
  | {
      readonly type: 'ended';
      readonly label: string;
      readonly lane: string;
      readonly batchId: string;
      readonly items: number;
      readonly durationMs: number;
      readonly outcomes: OutcomeCounts;
      readonly failureClass?: FailureClass;
      readonly code?: string;
    }
  /** A layer refused items, or gave up on them, by its own rule; `code` names it, such as `BREAKER_OPEN` or `RETRY_OVERFLOW`. */
  | {
      readonly type: 'refused';
      readonly layer: 'breaker' | 'retry';
      readonly lane: string;
      readonly batchId: string;
      readonly items: number;
      readonly code: string;
    }
  /** A breaker changed its state. `lane` is `''` when one breaker serves all lanes. `code`: of the failure that opened it. */
  | { readonly type: 'breaker'; readonly lane: string; readonly state: 'closed' | 'open' | 'halfOpen'; readonly code?: string }
  /** An adaptive limit changed. `latencyMs` and `baselineMs`: of a call with one item, now and without load. */
  | { readonly type: 'limit'; readonly limit: number; readonly latencyMs: number; readonly baselineMs: number }
  /** Items were not sent again: their idempotency key is known. */
  | { readonly type: 'duplicates'; readonly lane: string; readonly batchId: string; readonly items: number }
  /** Items became dead letters. */
  | { readonly type: 'parked'; readonly lane: string; readonly batchId: string; readonly items: number }
  /** A store of dead letters or of idempotency keys failed; no item was lost by it: each keeps an outcome of its own. */
  | {
      readonly type: 'storeFailed';
      readonly layer: 'deadLetter' | 'idempotency';
      readonly batchId: string;
      readonly items: number;
      readonly error: SluiceError;
    }
  /** A call ran past its time-out and goes on unobserved; its bytes are still held. */
  | { readonly type: 'abandoned'; readonly batchId: string; readonly items: number; readonly bytes: number }
  /** An abandoned call ended after all; its result was ignored. */
  | { readonly type: 'late'; readonly batchId: string; readonly items: number; readonly bytes: number }
  /** A transport answered a call that was over: it had been cut off, or answered before. The answer was ignored. */
  | { readonly type: 'lateReply'; readonly name: string }
  /** A response held keys that nobody had asked for; they were ignored. */
  | { readonly type: 'unrequested'; readonly batchId: string; readonly keys: number }
  /** Items left unsettled when the drain deadline passed, or dropped by an overflow policy. */
  | { readonly type: 'dropped'; readonly name: string; readonly items: number; readonly reason: 'shutdown' | DropReason }
  /** Something failed in a lane that passes nothing by: it sends no more until it is resumed. */
  | { readonly type: 'halted'; readonly name: string; readonly lane: string; readonly code: string; readonly message: string }
  /**
   * What a consumer is to read of its group, which has so many consumers in this process, has changed. No partitions: it is idle, since the
   * group has more consumers than the stream has partitions.
   */
  | { readonly type: 'assigned'; readonly name: string; readonly partitions: readonly number[]; readonly consumers: number }
  /**
   * A consumer holds records, or does not read a partition, until something is done about it; nothing is lost. `code`: such as `FENCED`,
   * `LOG_CORRUPT`, `DEAD_LETTERS_FULL`, `CRASH_LOOP`, or what the sink fails with when it is blocked or strict order halts. `partition` is
   * `undefined` where it is about the sink.
   */
  | {
      readonly type: 'alarm';
      readonly name: string;
      readonly partition: number | undefined;
      readonly code: string;
      readonly failureClass: FailureClass;
      readonly message: string;
    }
  /**
   * A group of appends is on disk. `durationMs`: from the end of its writing until the commit, which flushes, was done. `items` is 0 for a group
   * in which somebody waited for the flush alone.
   */
  | { readonly type: 'flushed'; readonly items: number; readonly durationMs: number }
  /** Retention removed records that a consumer group had not settled: the policy of the stream is `'expire'`. */
  | {
      readonly type: 'expired';
      readonly stream: string;
      readonly partition: number;
      readonly group: string;
      readonly items: number;
    }
  /** The dead letters of a log have passed nine tenths of a bound (`near`), or reached it (`full`: no more can be parked, and consumers hold). Told once until it sinks again. */
  | {
      readonly type: 'deadLetters';
      readonly state: 'near' | 'full';
      readonly items: number;
      readonly bytes: number;
      readonly maxItems: number;
      readonly maxBytes: number;
    }
  /** Dead letters were removed because of their age. */
  | { readonly type: 'lettersExpired'; readonly items: number }
  /** A batch function loaded what waits for it: the key itself, or a slot that it holds. */
  | { readonly type: 'cycle'; readonly name: string; readonly closes: 'key' | 'slot' }
  /** Options that are allowed may have an effect that nobody meant; told once, when they are given. `code` names it: `LONG_WINDOW` or `BYTES_UNMEASURED`. */
  | { readonly type: 'warning'; readonly name: string; readonly code: string; readonly message: string }
  /** A caller's callback threw, or rejected; no other caller was affected. */
  | { readonly type: 'callbackError'; readonly name: string; readonly error: unknown };

/** Told of events. Must not throw; what it throws is ignored. */
export type Observer = (event: SluiceEvent) => void;
