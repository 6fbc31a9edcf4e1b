/** `sluice/layers`: one policy a file; each is a function from dispatcher to dispatcher. */

export type { Batch, CutReason, Item } from '../core/batch.js';
export type { DispatchContext, Dispatcher, Layer } from '../core/dispatcher.js';
export type { Outcome } from '../core/outcome.js';
export { type BisectOptions, bisect } from './bisect.js';
export { type LimitOptions, limit } from './limit.js';
export { type RetryOptions, retry } from './retry.js';
export { type TimeoutOptions, timeout } from './timeout.js';
