/** The durable log: its contract, the log in memory, and what reads and redrives. `sluice/lmdb` has the one on disk. */

export { createConsumer } from './consumer.js';
export type { Consumer, ConsumerReport, ConsumerStatus, GroupLag } from './consumer-contract.js';
export type { ConsumerOptions } from './consumer-options.js';
export * from './damage.js';
export * from './dead-letter.js';
export { messagePattern } from './letter-filter.js';
export * from './limits.js';
export * from './log.js';
export * from './memory-log.js';
export { type MemoryStore, memoryStore } from './memory-store.js';
export type { ConsumerProblem, PartitionStatus, ReaderState } from './partition-contract.js';
export { partitionOf } from './partitions.js';
export type { PoisonOptions } from './poison.js';
export * from './position.js';
export * from './ranges.js';
export * from './record.js';
export { type RedriveJob, type RedriveLettersOptions, type RedriveProgress, redriveLetters } from './redrive.js';
export type { GivenUp, SettledHow } from './settled-waiters.js';
export * from './stream-options.js';
export * from './watermark.js';
