/** outbox-tables: the names of an outbox in the database, and the SQL that makes them. Pure. */

import { invalidOption, shorten } from '../core/errors.js';

/** The names of an outbox in the database, as SQL writes them. */
export interface OutboxTables {
  /** The events: `outbox`, partitioned by time. */
  readonly events: string;
  /** The partition for what no other one takes: `outbox_rest`. */
  readonly rest: string;
  /** Who relays which shard, and how far it has come: `outbox_shards`. */
  readonly shards: string;
  /** The relays that live: `outbox_relays`. */
  readonly relays: string;
  /** What a relay has given up on: `outbox_dead`. */
  readonly dead: string;
  /** The order of enqueueing: `outbox_seq`. */
  readonly sequence: string;
  /** The channel of NOTIFY. */
  readonly channel: string;
}

/** Lower case and short, so that no name ever needs quotes, nor is cut off where a suffix is added. */
const plainName = /^([a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,39}$/;

/**
 * The names that belong to a table.
 *
 * @throws SluiceError `INVALID_OPTION` when the name would need quotes.
 */
export function outboxTables(table: string): OutboxTables {
  if (typeof table !== 'string' || !plainName.test(table)) {
    throw invalidOption(
      `createOutbox.table must be table or schema.table in lower-case letters, digits and _, 40 characters at most; got ${shorten(table)}`,
    );
  }
  return {
    events: table,
    rest: `${table}_rest`,
    shards: `${table}_shards`,
    relays: `${table}_relays`,
    dead: `${table}_dead`,
    sequence: `${table}_seq`,
    channel: `sluice_${table.replace('.', '_')}`.slice(0, 63),
  };
}

/** What stands for "nothing": no transaction is visible in it. */
export const emptySnapshot = '1:1:';

/** The statements that make the tables, each harmless where they exist. */
export function schemaStatements({ events, rest, shards, relays, dead, sequence }: OutboxTables, shardCount: number): string[] {
  const [name] = events.split('.').slice(-1);
  const columns = `
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    stream text NOT NULL DEFAULT 'events',
    tenant text NOT NULL DEFAULT '_',
    key text,
    time text,
    payload bytea NOT NULL`;
  return [
    // One number at a time: with a cache, a session would hand out numbers that are older than those of its neighbours.
    `CREATE SEQUENCE IF NOT EXISTS ${sequence} CACHE 1`,
    `CREATE TABLE IF NOT EXISTS ${events} (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint NOT NULL DEFAULT nextval('${sequence}'),
    shard smallint GENERATED ALWAYS AS (mod(hashtextextended(coalesce(key, id), 0) & 9223372036854775807, ${shardCount})) STORED,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),${columns}
  ) PARTITION BY RANGE (created_at)`,
    `CREATE INDEX IF NOT EXISTS ${name}_by_seq ON ${events} (shard, seq)`,
    `CREATE INDEX IF NOT EXISTS ${name}_by_xact ON ${events} (shard, xact)`,
    `CREATE TABLE IF NOT EXISTS ${rest} PARTITION OF ${events} DEFAULT`,
    `CREATE TABLE IF NOT EXISTS ${shards} (
    shard smallint PRIMARY KEY,
    owner uuid,
    epoch bigint NOT NULL DEFAULT 0,
    until timestamptz,
    delivered pg_snapshot NOT NULL DEFAULT '${emptySnapshot}',
    upto pg_snapshot,
    after_seq bigint
  ) WITH (fillfactor = 20)`,
    `INSERT INTO ${shards} (shard) SELECT generate_series(0, ${shardCount - 1}) WHERE NOT EXISTS (SELECT FROM ${shards})`,
    `CREATE TABLE IF NOT EXISTS ${relays} (id uuid PRIMARY KEY, until timestamptz NOT NULL)`,
    `CREATE TABLE IF NOT EXISTS ${dead} (
    seq bigint PRIMARY KEY,
    created_at timestamptz NOT NULL,${columns},
    code text NOT NULL,
    class text NOT NULL,
    message text NOT NULL,
    attempts int NOT NULL,
    first_failed_at timestamptz NOT NULL,
    last_failed_at timestamptz NOT NULL
  )`,
  ];
}

/** A condition that is true where the database was restored from a dump into a server whose transaction numbers are younger. */
export function restoredCondition({ shards }: OutboxTables): string {
  return `EXISTS (SELECT FROM ${shards} WHERE pg_snapshot_xmax(delivered) > pg_snapshot_xmax(pg_current_snapshot()))`;
}

/**
 * A query for the rows of `table` (the whole outbox, or one partition) that are not delivered, `o`, of the shard in the row `cursor`.
 *
 * Not visible in a snapshot is what began after it, or ran while it was taken: two ranges of an index, however long the oldest
 * transaction has been running.
 */
export function undelivered(table: string, columns: string, cursor = 's'): string {
  return outsideOf(table, `${cursor}.delivered`, cursor)
    .map((rows) => `SELECT ${columns} ${rows}`)
    .join(' UNION ALL ');
}

/** The two ranges: what began after a snapshot, and what ran while it was taken. */
export function outsideOf(table: string, snapshot: string, cursor: string): readonly [later: string, running: string] {
  return [
    `FROM ${table} o WHERE o.shard = ${cursor}.shard AND o.xact >= pg_snapshot_xmax(${snapshot})`,
    `FROM pg_snapshot_xip(${snapshot}) x JOIN ${table} o ON o.shard = ${cursor}.shard AND o.xact = x WHERE true`,
  ];
}
