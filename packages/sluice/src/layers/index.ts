/**
 * `sluice/layers`: one policy a file; each is a function from dispatcher to dispatcher.
 *
 * Order, outermost first: `observe · idempotency · deadLetter · retry · bisect · breaker · limit (or adaptive) · rate · timeout`.
 * Every layer keeps the three laws in any order; another order means something else, as each layer's own page says.
 */

export type { Batch, CutReason, Item } from '../core/batch.js';
export type { DeadLetterStore, Letter, LetterFilter, LetterGroup, NewLetter } from '../core/dead-letter-store.js';
export type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
export type { Claim, IdempotencyStore, KeySettlement } from '../core/idempotency-store.js';
export type { Outcome, Tries } from '../core/outcome.js';
export { type AdaptiveOptions, adaptive } from './adaptive.js';
export { type BisectOptions, bisect } from './bisect.js';
export { type BreakerOptions, breaker, type FailureRateOptions } from './breaker.js';
export { type DeadLetterOptions, deadLetter } from './dead-letter.js';
export { type IdempotencyOptions, idempotency } from './idempotency.js';
export { type LimitOptions, limit } from './limit.js';
export {
  type MemoryDeadLetterStore,
  type MemoryDeadLetterStoreOptions,
  memoryDeadLetterStore,
} from './memory-dead-letter-store.js';
export {
  type MemoryIdempotencyStore,
  type MemoryIdempotencyStoreOptions,
  memoryIdempotencyStore,
} from './memory-idempotency-store.js';
export { type ObserveOptions, observe } from './observe.js';
export { type RateOptions, rate } from './rate.js';
export { type RedriveOptions, type RedriveReport, redrive } from './redrive.js';
export { type RetryOptions, retry } from './retry.js';
export type { RetryBudgetOptions } from './retry-room.js';
export { type TimeoutOptions, timeout } from './timeout.js';
