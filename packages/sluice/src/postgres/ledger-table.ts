/** ledger-table: the SQL of the ledger of settled ranges. Pure. */

import { invalidOption, shorten } from '../core/errors.js';

/** Offsets side by side, from `first` to `last`, both included. */
export interface SettledRange {
  readonly first: number;
  readonly last: number;
}

/** The names of a ledger in the database. */
export interface LedgerTables {
  readonly ranges: string;
  readonly heads: string;
  readonly view: string;
  /** The function that settles ranges. */
  readonly settle: string;
  /** The constraint that an error names: a later epoch, or an offset that is settled. */
  readonly fenced: string;
  readonly once: string;
}

const plainName = /^([a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,39}$/;

/** Offsets below 2^40 and partitions below 2^22 share one number, so that one exclusion constraint keeps them apart. */
const offsetBits = 40;

/** Of locks with two numbers the first says whose they are. */
const lockClass = 0x51_0c_e5;

/**
 * The names that belong to a table.
 *
 * @throws SluiceError `INVALID_OPTION` when the name would need quotes.
 */
export function ledgerTables(table: string): LedgerTables {
  if (typeof table !== 'string' || !plainName.test(table)) {
    throw invalidOption(
      `ledgerSink.ledger.table must be table or schema.table in lower-case letters, digits and _, 40 characters at most; got ${shorten(table)}`,
    );
  }
  const name = table.split('.').at(-1)!;
  return {
    ranges: table,
    heads: `${table}_heads`,
    view: `${table}_view`,
    settle: `${table}_settle`,
    fenced: `${name}_fenced`,
    once: `${name}_once`,
  };
}

/**
 * Makes the tables where they are absent; one implicit transaction. All ranges of a batch are one row: with keys, the offsets of a batch lie between those of
 * others, and a row for each range cost three times the batch itself (measured).
 */
export function ledgerSchema({ ranges, heads, view, settle, fenced, once }: LedgerTables): string {
  const base = `(h.id::bigint << ${offsetBits})`;
  return `SELECT pg_advisory_xact_lock(hashtextextended('sluice ledger ${ranges}', 0));
CREATE TABLE IF NOT EXISTS ${heads} (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id < 4194304),
  source text NOT NULL,
  "group" text NOT NULL,
  stream text NOT NULL,
  partition int NOT NULL,
  epoch bigint NOT NULL,
  UNIQUE (source, "group", stream, partition)
);
CREATE TABLE IF NOT EXISTS ${ranges} (
  head int NOT NULL,
  epoch bigint NOT NULL,
  span int8multirange NOT NULL,
  CONSTRAINT ${once} EXCLUDE USING gist (span WITH &&)
);
CREATE OR REPLACE VIEW ${view} AS
  SELECT h.source, h."group", h.stream, h.partition, r.epoch, lower(s) - ${base} AS first, upper(s) - 1 - ${base} AS last
  FROM ${ranges} r JOIN ${heads} h ON h.id = r.head, unnest(r.span) s;
CREATE OR REPLACE FUNCTION ${settle}(of int, under bigint, first bigint[], last bigint[]) RETURNS void LANGUAGE plpgsql AS $sluice$
BEGIN
  -- In a statement of its own: what reads the epoch must see whoever held the lock before.
  PERFORM pg_advisory_xact_lock_shared(${lockClass}, of);
  INSERT INTO ${ranges} (head, epoch, span)
  SELECT h.id, h.epoch, (SELECT range_agg(int8range((of::bigint << ${offsetBits}) + r.f, (of::bigint << ${offsetBits}) + r.l + 1)) FROM unnest(first, last) AS r(f, l))
  FROM ${heads} h WHERE h.id = of AND h.epoch = under;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'epoch % of head % is over', under, of USING ERRCODE = 'object_not_in_prerequisite_state', CONSTRAINT = '${fenced}';
  END IF;
END
$sluice$`;
}

/**
 * Whether all of it is there: then nothing is made, because that takes rights which a writer need not have, and a lock on the view that waits
 * for everybody who reads it, such as a dump.
 */
export function hasSchemaStatement({ ranges, heads, view, settle }: LedgerTables): string {
  const tables = [ranges, heads, view].map((name) => `to_regclass('${name}') IS NOT NULL`).join(' AND ');
  return `SELECT ${tables} AND to_regprocedure('${settle}(int, bigint, bigint[], bigint[])') IS NOT NULL AS complete`;
}

/** Finds or makes a head. Parameters: source, group, stream, partition. */
export function headStatements({ heads }: LedgerTables): { readonly make: string; readonly find: string } {
  return {
    make: `INSERT INTO ${heads} (source, "group", stream, partition, epoch) VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING`,
    find: `SELECT id FROM ${heads} WHERE source = $1 AND "group" = $2 AND stream = $3 AND partition = $4`,
  };
}

/** Waits for the transactions that are writing ranges of a head, and holds off others. */
export function lockHead(head: number): string {
  return `SELECT pg_advisory_xact_lock(${lockClass}, ${head})`;
}

/** Takes a head over: the next epoch, or the one given; answers the one before too. Parameters: head, epoch or null. No row: a later epoch has it. */
export function takeOverStatement({ heads }: LedgerTables): string {
  return `UPDATE ${heads} h SET epoch = coalesce($2::bigint, h.epoch + 1)
    FROM (SELECT id, epoch FROM ${heads} WHERE id = $1 FOR UPDATE) was
    WHERE h.id = was.id AND ($2::bigint IS NULL OR h.epoch <= $2::bigint) RETURNING h.epoch::float8, was.epoch::float8 AS before`;
}

/** Forgets what a head has settled from an offset on, and its epoch: for people, once a log was restored from a backup. */
export function rewindText({ ranges, heads }: LedgerTables, head: number, end: number): string {
  const from = `(${head}::bigint << ${offsetBits}) + ${end}`;
  return `WITH gone AS (DELETE FROM ${ranges} WHERE span && int8range(${from}, ${head + 1}::bigint << ${offsetBits}) RETURNING *), kept AS (INSERT INTO ${ranges} SELECT head, epoch, span * int8multirange(int8range(NULL, ${from})) FROM gone WHERE lower(span) < ${from}) UPDATE ${heads} SET epoch = 0 WHERE id = ${head};`;
}

/** The settled ranges of a head that touch the given one, ascending. */
export function rangesStatement({ ranges }: LedgerTables, head: number, within?: SettledRange): string {
  const base = `(${head}::bigint << ${offsetBits})`;
  const wanted = within === undefined ? wholeSpan(head) : spanOf(head, within);
  return `SELECT (lower(s) - ${base})::float8 AS first, (upper(s) - 1 - ${base})::float8 AS last
    FROM ${ranges}, unnest(span) s WHERE span && ${wanted} AND s && ${wanted} ORDER BY s`;
}

/**
 * Settles ranges of a head in the transaction of their rows. Fails with {@link LedgerTables.fenced} where a later epoch has the head,
 * and with {@link LedgerTables.once} where one of the offsets is settled; it waits for a transaction that is about to settle one.
 *
 * A function, whose plans the session keeps: written out, the statements cost a fifth of a batch of 500 rows (measured).
 */
export function settleText({ settle }: LedgerTables, head: number, epoch: number, settled: readonly SettledRange[]): string {
  const list = (numbers: readonly number[]) => `'{${numbers.join()}}'`;
  return `SELECT ${settle}(${head}, ${epoch}, ${list(settled.map(({ first }) => first))}, ${list(settled.map(({ last }) => last))})`;
}

/**
 * Puts the ranges of a head together, with those offsets, which the log has settled: what of these is not there was refused, or filtered out. One
 * transaction, which leaves the work to another one that is at it.
 */
export function mergeText({ ranges }: LedgerTables, head: number, settled: SettledRange): string {
  const more = settled.last < settled.first ? '' : `UNION ALL SELECT ${spanOf(head, settled)}`;
  return `DO $sluice$ BEGIN
  IF NOT pg_try_advisory_xact_lock(${lockClass + 1}, ${head}) THEN RETURN; END IF;
  WITH gone AS (DELETE FROM ${ranges} WHERE span && ${wholeSpan(head)} RETURNING span, epoch),
  latest AS (SELECT max(epoch) AS epoch FROM gone HAVING count(*) > 0)
  INSERT INTO ${ranges} (head, epoch, span)
  SELECT ${head}, latest.epoch, int8multirange(s) FROM latest, (SELECT unnest(range_agg(r.s)) AS s FROM (SELECT unnest(span) AS s FROM gone ${more}) r) m;
END $sluice$`;
}

function spanOf(head: number, { first, last }: SettledRange): string {
  return `int8range((${head}::bigint << ${offsetBits}) + ${first}, (${head}::bigint << ${offsetBits}) + ${last + 1})`;
}

function wholeSpan(head: number): string {
  return `int8range(${head}::bigint << ${offsetBits}, ${head + 1}::bigint << ${offsetBits})`;
}
