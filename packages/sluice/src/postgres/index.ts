/** `sluice/postgres`: batches into PostgreSQL. Needs the optional peers `pg` and `pg-copy-streams`. */

export { classifyPostgresError } from './classify.js';
export type {
  BeforeCommit,
  CommittingBatch,
  ConflictRule,
  PostgresColumn,
  PostgresSinkOptions,
  PostgresValue,
} from './options.js';
export { type PostgresSink, postgresSink } from './sink.js';
