/** `sluice`: the loader and the batcher. Layers, the log and the adapters have subpaths of their own. */

export {
  type AdaptiveItems,
  type CutFacts,
  type FillRateItemsOptions,
  fillRateItems,
  type PidItemsOptions,
  pidItems,
  zieglerNichols,
} from './batcher/adaptive-size.js';
export {
  type Ack,
  type Batcher,
  type BatcherOptions,
  type BatcherStats,
  type CloseOptions,
  createBatcher,
  type LaneStats,
  type PushOptions,
} from './batcher/batcher.js';
export { CloseError } from './batcher/close-sink.js';
export type { Combine } from './batcher/combine.js';
export { type TwoSpeed, type TwoSpeedWriteOptions, twoSpeed } from './batcher/two-speed.js';
export type { CutReason, Item } from './core/batch.js';
export type { Sink, SinkAnswer, SinkContext } from './core/dispatcher.js';
export { type ErrorCode, type FailureClass, type FailureOptions, failure, SluiceError } from './core/errors.js';
export type { DropReason, Observer, OutcomeCounts, SluiceEvent } from './core/event.js';
export { shardOf } from './core/shard-of.js';
export { type Tally, tallyImbalance } from './core/tally.js';
export type { Window } from './core/window.js';
export type { SettledCounts } from './engine/barrier.js';
export type { DrainReport } from './engine/engine.js';
export type { Cancel, Clock, Env, Random } from './env/env.js';
export { systemEnv } from './env/system.js';
export type { BatchContext, BatchFunction, BatchResult } from './loader/batch-call.js';
export type { CacheOptions, CacheStats } from './loader/cache.js';
export type { CycleDetector } from './loader/cycles.js';
export type { LoaderStats } from './loader/key-engine.js';
export {
  createKeyFetcher,
  type KeyCallback,
  type KeyFetcher,
  type KeyFetcherOptions,
  type KeyFetcherStats,
} from './loader/key-fetcher.js';
export type { CallOptions } from './loader/leaving.js';
export { createLoader, type Loader } from './loader/loader.js';
export type { LoaderOptions, PrimitiveKey } from './loader/loader-options.js';
export { QueryBatcher, type QueryBatcherOptions, type QueryMultiple } from './loader/query-batcher.js';
export type { ParseKvs } from './loader/read-reply.js';
export type { HttpGetAsync } from './loader/transport.js';
