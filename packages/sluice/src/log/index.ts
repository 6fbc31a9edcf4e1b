/** The durable log: its contract, the log in memory, and what both share. `sluice/lmdb` has the one on disk. */

export * from './consumer.js';
export * from './limits.js';
export * from './log.js';
export * from './memory-log.js';
export type { SettledHow } from './settler.js';
export * from './watermark.js';
