/** outbox-partitions: the SQL that keeps partitions ahead of time and drops those that are delivered. Pure. */

import { type OutboxTables, undelivered } from './outbox-tables.js';

/** How partitions are kept. */
export interface PartitionRule {
  /** Length of a partition, in milliseconds. */
  readonly partitionMs: number;
  /** How long a delivered partition stays after its time is over, in milliseconds. */
  readonly keepMs: number;
}

/** Partitions made in advance. Where time outruns them, the partition for the rest takes the rows. */
const ahead = 2;

/** Longest stall of an enqueueing transaction behind us, in milliseconds. */
const lockTimeoutMs = 100;

/**
 * One statement: makes the partitions of now and the near future, drops those whose time is over and whose rows are all delivered, and
 * empties the partition for the rest once all of it is.
 *
 * A partition is dropped under a lock on the whole table, after looking once more: then no transaction has an uncommitted row in it. Where
 * the lock cannot be had in time, nothing is done until the next run.
 */
export function partitionsStatement(tables: OutboxTables, { partitionMs, keepMs }: PartitionRule): string {
  const { events, rest, shards } = tables;
  const seconds = partitionMs / 1000;
  // In a statement that is put together at run time, %s stands for the partition.
  const leftIn = (table: string) => `SELECT EXISTS (SELECT FROM ${shards} s, LATERAL (${undelivered(table, '1')}) r)`;
  return `DO $sluice$
DECLARE
  first timestamptz;
  made text;
  old regclass;
  held boolean;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('sluice partitions of ${events}', 0)) THEN RETURN; END IF;
  PERFORM set_config('lock_timeout', '${lockTimeoutMs}ms', true);
  FOR n IN 0..${ahead} LOOP
    first := to_timestamp((floor(extract(epoch FROM clock_timestamp()) / ${seconds}) + n) * ${seconds});
    made := '${events}_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD"t"HH24MISS');
    CONTINUE WHEN to_regclass(made) IS NOT NULL;
    BEGIN
      -- Not CREATE TABLE … PARTITION OF, which would lock out all who enqueue.
      EXECUTE format('CREATE TABLE %s (LIKE ${events} INCLUDING ALL)', made);
      EXECUTE format('ALTER TABLE ${events} ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        made, first, first + ${seconds} * interval '1 second');
    EXCEPTION
      -- Busy; or the rest has rows of this time; or partitions had another length before.
      WHEN lock_not_available OR check_violation OR invalid_object_definition THEN NULL;
    END;
  END LOOP;
  FOR old IN
    SELECT c.oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = '${events}'::regclass AND c.oid <> '${rest}'::regclass
      AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz
        + ${keepMs / 1000} * interval '1 second' <= clock_timestamp()
    ORDER BY c.oid
  LOOP
    EXECUTE format('${leftIn('%1$s')}', old) INTO held;
    CONTINUE WHEN held;
    BEGIN
      LOCK TABLE ${events} IN ACCESS EXCLUSIVE MODE;
      EXECUTE format('${leftIn('%1$s')}', old) INTO held;
      IF NOT held THEN EXECUTE format('DROP TABLE %s', old); END IF;
    EXCEPTION WHEN lock_not_available THEN EXIT;
    END;
  END LOOP;
  IF EXISTS (SELECT FROM ${rest}) AND NOT (${leftIn(rest)}) THEN
    BEGIN
      LOCK TABLE ${rest} IN ACCESS EXCLUSIVE MODE;
      IF NOT (${leftIn(rest)}) THEN TRUNCATE ${rest}; END IF;
    EXCEPTION WHEN lock_not_available THEN NULL;
    END;
  END IF;
END
$sluice$`;
}
