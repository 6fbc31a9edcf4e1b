/** Events: everything worth observing, typed. Logs, metrics and traces are derived from these. */

import type { CutReason } from './batch.js';
import type { FailureClass } from './errors.js';

/** How many items of one batch ended in each way. */
export interface OutcomeCounts {
  readonly ok: number;
  readonly failed: number;
  readonly dead: number;
  readonly cancelled: number;
}

/** Something that happened. `type` names it; durations are in milliseconds. */
export type SluiceEvent =
  /** An item was refused; the caller was told. */
  | { readonly type: 'rejected'; readonly name: string; readonly reason: 'full' | 'closed' | 'tooLarge' | 'waitersFull' }
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
  /** One call of the sink ended. */
  | {
      readonly type: 'called';
      readonly batchId: string;
      readonly items: number;
      readonly durationMs: number;
      readonly ok: boolean;
    }
  /** A batch, or what failed of it, will be tried again. */
  | {
      readonly type: 'retry';
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
  /** A call ran past its time-out and goes on unobserved; its bytes are still held. */
  | { readonly type: 'abandoned'; readonly batchId: string; readonly items: number; readonly bytes: number }
  /** An abandoned call ended after all; its result was ignored. */
  | { readonly type: 'late'; readonly batchId: string; readonly items: number; readonly bytes: number }
  /** A transport answered a call that was over: it had been cut off, or answered before. The answer was ignored. */
  | { readonly type: 'lateReply'; readonly name: string }
  /** A response held keys that nobody had asked for; they were ignored. */
  | { readonly type: 'unrequested'; readonly batchId: string; readonly keys: number }
  /** Items left unsettled when the drain deadline passed. */
  | { readonly type: 'dropped'; readonly name: string; readonly items: number; readonly reason: 'shutdown' }
  /** A batch function loaded what waits for it: the key itself, or a slot that it holds. */
  | { readonly type: 'cycle'; readonly name: string; readonly closes: 'key' | 'slot' }
  /** A caller's callback threw, or rejected; no other caller was affected. */
  | { readonly type: 'callbackError'; readonly name: string; readonly error: unknown };
