/** `sluice/postgres`: batches into PostgreSQL. Needs the optional peer `pg`. */

export { classifyPostgresError } from './classify.js';
export type {
  BeforeCommit,
  CommittingBatch,
  ConflictRule,
  PostgresColumn,
  PostgresSinkOptions,
  PostgresValue,
} from './options.js';
export { type PostgresSink, type PostgresSinkStats, postgresSink } from './sink.js';
