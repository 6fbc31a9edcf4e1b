/** The durable log: its contract, the log in memory, and what both share. `sluice/lmdb` has the one on disk. */

export * from './consumer.js';
export * from './damage.js';
export * from './dead-letter.js';
export { messagePattern } from './letter-filter.js';
export * from './limits.js';
export * from './log.js';
export * from './memory-log.js';
export { type MemoryStore, memoryStore } from './memory-store.js';
export { partitionOf } from './partitions.js';
export * from './position.js';
export * from './ranges.js';
export * from './record.js';
export type { SettledHow } from './settler.js';
export * from './stream-options.js';
export * from './watermark.js';
