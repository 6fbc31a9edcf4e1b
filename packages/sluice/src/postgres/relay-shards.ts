/** relay-shards: which shards a relay owns and how far each has come, in memory; pure but for the statements' text. */

import type { OutboxTables } from './outbox-tables.js';

/**
 * How far a shard has come. Everything visible in `delivered` is; of what else is visible in `upto`, everything up to `after`.
 * Without `upto` no round is under way.
 */
export interface ShardCursor {
  readonly shard: number;
  /** Counts the owners: what an earlier one still sends is refused. */
  readonly epoch: string;
  readonly delivered: string;
  readonly upto: string | undefined;
  readonly after: string | undefined;
}

/** What the server says after {@link tendStatement}. */
export interface Tended {
  readonly cursors: readonly ShardCursor[];
  /** How many shards are this relay's fair share. */
  readonly share: number;
  readonly restored: boolean;
}

/**
 * One statement: says that this relay lives, renews its leases, and takes free shards up to its share. Parameters: id, lease in milliseconds.
 *
 * The clock is the server's: the relays' own need not agree.
 */
export function tendStatement({ relays, shards }: OutboxTables, restored: string): string {
  return `WITH clock AS (SELECT clock_timestamp() AS now, clock_timestamp() + $2::float8 * interval '1 millisecond' AS lease),
  me AS (INSERT INTO ${relays} (id, until) SELECT $1::uuid, lease FROM clock ON CONFLICT (id) DO UPDATE SET until = excluded.until),
  gone AS (DELETE FROM ${relays} r USING clock WHERE r.until < now AND r.id <> $1::uuid),
  share AS (
    SELECT ceil((SELECT count(*) FROM ${shards})::float8
      / (1 + (SELECT count(*) FROM ${relays} r, clock WHERE r.until >= now AND r.id <> $1::uuid)))::int AS n
  ),
  kept AS (UPDATE ${shards} s SET until = lease FROM clock WHERE s.owner = $1::uuid RETURNING s.*),
  free AS (
    SELECT s.shard FROM ${shards} s, clock WHERE s.owner IS DISTINCT FROM $1::uuid AND (s.owner IS NULL OR s.until < now)
    ORDER BY s.shard LIMIT (SELECT greatest(0, n - (SELECT count(*) FROM kept)) FROM share) FOR UPDATE OF s SKIP LOCKED
  ),
  taken AS (
    UPDATE ${shards} s SET owner = $1::uuid, epoch = s.epoch + 1, until = lease FROM free, clock WHERE s.shard = free.shard RETURNING s.*
  )
  SELECT share.n, ${restored} AS restored, h.shard::int, h.epoch::text, h.delivered::text, h.upto::text, h.after_seq::text AS after
  FROM share LEFT JOIN (SELECT * FROM kept UNION ALL SELECT * FROM taken) h ON true`;
}

/** The rows of {@link tendStatement}. */
export function readTended(rows: readonly object[]): Tended {
  const [first] = rows as readonly { readonly n: number; readonly restored: boolean }[];
  const cursors = (rows as readonly CursorRow[])
    .filter(({ shard }) => shard !== null)
    .map(({ shard, epoch, delivered, upto, after }) => ({
      shard,
      epoch,
      delivered,
      upto: upto ?? undefined,
      after: after ?? undefined,
    }));
  return { cursors, share: first!.n, restored: first!.restored };
}

interface CursorRow {
  readonly shard: number;
  readonly epoch: string;
  readonly delivered: string;
  readonly upto: string | null;
  readonly after: string | null;
}

/** Cursors as a row set `c`, of the parameters from `$first` on that {@link cursorValues} gives. */
export function cursorRows(first: number): string {
  const types = ['int', 'bigint', 'pg_snapshot', 'pg_snapshot', 'bigint'];
  const parameters = types.map((type, i) => `$${first + i}::${type}[]`).join(', ');
  return `unnest(${parameters}) AS c(shard, epoch, delivered, upto, after)`;
}

/** The values of {@link cursorRows}. */
export function cursorValues(cursors: readonly ShardCursor[]): unknown[] {
  return [
    cursors.map(({ shard }) => shard),
    cursors.map(({ epoch }) => epoch),
    cursors.map(({ delivered }) => delivered),
    cursors.map(({ upto }) => upto ?? null),
    cursors.map(({ after }) => after ?? null),
  ];
}

/** Gives shards back, those of parameter 2: id, shards. */
export function releaseStatement({ shards }: OutboxTables): string {
  return `UPDATE ${shards} SET owner = NULL, until = NULL WHERE owner = $1::uuid AND shard = ANY($2::int[])`;
}

/** Gives everything back, and says that this relay lives no more: id. */
export function leaveStatement({ shards, relays }: OutboxTables): string {
  return `WITH left_alone AS (UPDATE ${shards} SET owner = NULL, until = NULL WHERE owner = $1::uuid) DELETE FROM ${relays} WHERE id = $1::uuid`;
}
