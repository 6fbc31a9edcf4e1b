/** relay-pages: reads the next events of the shards of a relay, in order, and writes down how far they are delivered. */

import { milliseconds, type OutboxLetter } from './outbox-letters.js';
import { type OutboxTables, undelivered } from './outbox-tables.js';
import { cursorRows, cursorValues, type ShardCursor } from './relay-shards.js';

/** An event of an outbox on its way. */
export interface OutboxRecord {
  /** Where it stood in the order of enqueueing, as decimal text. */
  readonly seq: string;
  readonly shard: number;
  readonly id: string;
  readonly stream: string;
  readonly tenant: string;
  readonly key: string | undefined;
  readonly time: string | undefined;
  /** When it was enqueued, in epoch milliseconds of the server's clock. */
  readonly createdAt: number;
  readonly payload: Uint8Array;
}

/** Events that are delivered together, and where the cursors stand once they are. */
export interface OutboxPage {
  readonly records: readonly OutboxRecord[];
  readonly cursors: readonly ShardCursor[];
  /** All that was committed when it was read is in it. */
  readonly exhausted: boolean;
}

/** How much a page may hold. */
export interface PageBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
}

type Run = (text: string, values?: unknown[]) => Promise<readonly object[]>;

/** Reads pages. */
export interface PageReader {
  read(cursors: readonly ShardCursor[], bounds: PageBounds): Promise<OutboxPage>;
}

/** A reader that shares a page among the shards that have more than fits. */
export function pageReader(run: Run, tables: OutboxTables): PageReader {
  const first = pageStatement(firstPage(tables));
  const next = pageStatement(nextPage(tables));
  /** Shards that filled their part of the last page: those share the next one. */
  let full = Number.POSITIVE_INFINITY;

  async function readSome(text: string, cursors: readonly ShardCursor[], { maxItems, maxBytes }: PageBounds) {
    if (cursors.length === 0) return [];
    const limit = Math.max(1, Math.ceil(maxItems / Math.max(1, Math.min(full, cursors.length))));
    const rows = (await run(text, [...cursorValues(cursors), limit, maxItems, maxBytes])) as readonly PageRow[];
    return settlePages(cursors, rows, limit);
  }

  return {
    async read(cursors, bounds) {
      const under = await readSome(
        next,
        cursors.filter(({ upto }) => upto !== undefined),
        bounds,
      ); // prettier-ignore
      const fresh = await readSome(
        first,
        cursors.filter(({ upto }) => upto === undefined),
        bounds,
      ); // prettier-ignore
      const shards = [...under, ...fresh];
      full = shards.filter(({ cursor }) => cursor.upto !== undefined).length;
      return {
        records: shards.flatMap(({ records }) => records),
        cursors: shards.map(({ cursor }) => cursor),
        // The end of a round is not the end: others have committed since it began.
        exhausted: full === 0 && fresh.length === cursors.length,
      };
    },
  };
}

/**
 * The first page of a round: a round delivers what is visible in a snapshot taken now and was not in the one before, by number. Its
 * rows are found by their transactions, then sorted: one pass over the round. `OFFSET 0` keeps the planner from walking the whole table by number.
 */
function firstPage({ events }: OutboxTables): string {
  return `SELECT o.* FROM (
    SELECT * FROM (${undelivered(events, 'o.*', 'c')}) u
    WHERE pg_visible_in_snapshot(u.xact, now.snapshot) OFFSET 0
  ) o ORDER BY o.seq LIMIT $6`;
}

/** A further page of a round: on from the number where the last one ended. */
function nextPage({ events }: OutboxTables): string {
  return `SELECT o.* FROM ${events} o WHERE o.shard = c.shard AND o.seq > c.after
    AND NOT pg_visible_in_snapshot(o.xact, c.delivered) AND pg_visible_in_snapshot(o.xact, c.upto)
  ORDER BY o.seq LIMIT $6`;
}

/** Parameters: the cursors, rows a shard, rows in all, bytes in all. At least one row, where there is any. */
function pageStatement(page: string): string {
  return `WITH now AS MATERIALIZED (SELECT pg_current_snapshot() AS snapshot),
  found AS (
    SELECT c.shard AS for_shard, coalesce(c.upto, now.snapshot)::text AS upto, p.*
    FROM now, ${cursorRows(1)} LEFT JOIN LATERAL (${page}) p ON true
  ),
  measured AS (
    SELECT *, count(seq) OVER (PARTITION BY for_shard)::int AS here, row_number() OVER w AS n,
      sum(octet_length(payload)) OVER w - octet_length(payload) AS before
    FROM found WINDOW w AS (ORDER BY seq)
  )
  SELECT for_shard AS shard, upto, here, seq::text, id, stream, tenant, key, time, payload, ${milliseconds('created_at')} AS "createdAt"
  FROM measured WHERE seq IS NULL OR (n <= $7::int AND before < $8::float8) ORDER BY measured.seq`;
}

interface PageRow extends Omit<OutboxRecord, 'key' | 'time' | 'seq'> {
  readonly seq: string | null;
  readonly key: string | null;
  readonly time: string | null;
  readonly upto: string;
  readonly here: number;
}

interface ShardPage {
  readonly cursor: ShardCursor;
  readonly records: readonly OutboxRecord[];
}

/** What belongs to each shard, and where its cursor stands behind it. A shard of which every row was cut off for want of room stays. */
function settlePages(cursors: readonly ShardCursor[], rows: readonly PageRow[], limit: number): ShardPage[] {
  const byShard = new Map<number, PageRow[]>(cursors.map(({ shard }) => [shard, []]));
  for (const row of rows) byShard.get(row.shard)!.push(row);
  return cursors.flatMap((cursor): ShardPage[] => {
    const found = byShard.get(cursor.shard)!;
    const [one] = found;
    if (one === undefined) return [];
    const records = found.filter(({ seq }) => seq !== null).map(readRecord);
    const done = one.here < limit && records.length === one.here;
    const { shard, epoch, delivered } = cursor;
    return [
      {
        cursor: done
          ? { shard, epoch, delivered: one.upto, upto: undefined, after: undefined }
          : { shard, epoch, delivered, upto: one.upto, after: records.at(-1)!.seq },
        records,
      },
    ];
  });
}

function readRecord({ upto: _upto, here: _here, key, time, seq, ...row }: PageRow): OutboxRecord {
  return { ...row, seq: seq!, key: key ?? undefined, time: time ?? undefined };
}

/** A dead letter to be, with the number and the shard of its event. */
export type NewOutboxLetter = OutboxLetter & Pick<OutboxRecord, 'seq' | 'shard'>;

/**
 * One statement: moves the cursors that are still this relay's, and parks what it gave up on; answers the shards that moved. Parameters: id, the
 * cursors, the letters as JSON, and their payloads.
 */
export function advanceStatement({ shards, dead }: OutboxTables): string {
  return `WITH moved AS (
    UPDATE ${shards} s SET delivered = c.delivered, upto = c.upto, after_seq = c.after
    FROM ${cursorRows(2)} WHERE s.shard = c.shard AND s.epoch = c.epoch AND s.owner = $1::uuid RETURNING s.shard
  ), parked AS (
    INSERT INTO ${dead} (seq, created_at, id, stream, tenant, key, time, payload, code, class, message, attempts, first_failed_at, last_failed_at)
    SELECT l.seq, to_timestamp(l."createdAt" / 1000), l.id, l.stream, l.tenant, l.key, l.time, b.payload, l.code, l.class, l.message,
      l.attempts, to_timestamp(l."firstFailedAt" / 1000), to_timestamp(l."lastFailedAt" / 1000)
    FROM jsonb_to_recordset($7::jsonb) AS l(seq bigint, shard int, id text, stream text, tenant text, key text, time text, code text,
      class text, message text, attempts int, "createdAt" float8, "firstFailedAt" float8, "lastFailedAt" float8)
    JOIN unnest($8::bigint[], $9::bytea[]) AS b(seq, payload) USING (seq) JOIN moved USING (shard)
    ON CONFLICT (seq) DO NOTHING
  ) SELECT shard::int FROM moved`;
}

/** The values of {@link advanceStatement}. */
export function advanceValues(owner: string, cursors: readonly ShardCursor[], letters: readonly NewOutboxLetter[]): unknown[] {
  return [
    owner,
    ...cursorValues(cursors),
    JSON.stringify(
      letters.map(({ payload: _payload, message, ...letter }) => ({ ...letter, message: message.replaceAll('\0', '') })),
    ),
    letters.map(({ seq }) => seq),
    letters.map(({ payload }) => Buffer.from(payload)),
  ];
}
