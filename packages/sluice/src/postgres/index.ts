/** `sluice/postgres`: batches into PostgreSQL. Needs the optional peer `pg`. */

export { classifyPostgresError } from './classify.js';
export {
  type LedgerOptions,
  type LedgerSink,
  type LedgerSinkOptions,
  type LedgerStats,
  ledgerSink,
} from './ledger.js';
export type { LedgerRecord } from './ledger-batch.js';
export { type LedgerLog, noteLogEnds } from './ledger-log.js';
export type {
  BeforeCommit,
  CommittingBatch,
  ConflictRule,
  PostgresColumn,
  PostgresSinkOptions,
  PostgresValue,
} from './options.js';
export {
  createOutbox,
  type Outbox,
  type OutboxClient,
  type OutboxEvent,
  type OutboxLetterFilter,
  type OutboxOptions,
} from './outbox.js';
export type { OutboxLag } from './outbox-lag.js';
export type { OutboxLetter } from './outbox-letters.js';
export { batcherSink, logSink } from './outbox-sinks.js';
export type { OutboxTables } from './outbox-tables.js';
export { createRelay, type Relay, type RelayOptions } from './relay.js';
export type { OutboxRecord } from './relay-pages.js';
export type { RelayProblem, RelayReport, RelayStats } from './relay-work.js';
export { type PostgresSink, type PostgresSinkStats, postgresSink } from './sink.js';
