/** outbox-lag: how far the relays of an outbox are behind, counted as far as the caller wants it. Pure. */

import { type OutboxTables, outsideOf } from './outbox-tables.js';

/** How far the relays are behind. */
export interface OutboxLag {
  /** Committed events that no relay has delivered yet; with `hasMore`, at least so many, and 0 only when there is none. */
  readonly items: number;
  /** It was counted no further: there may be more. */
  readonly hasMore: boolean;
  /**
   * Age of the oldest of them in milliseconds, by the server's clock; 0 when there is none. With `hasMore` that of the oldest among the first of each
   * shard: an older one may be behind these where transactions overlap.
   */
  readonly oldestMs: number;
}

/** Rows left in each part of a shard among which the oldest one is sought, where not all are. */
const firstRows = 10;

/** A part of what is left of a shard, `s`; in part of its rows, which are looked at too, only those are that fit `isLeft`. */
interface Part {
  readonly rows: string;
  readonly isLeft: string;
  /** For the oldest, rows that are not left are passed over, however many they are. */
  readonly passes?: boolean;
  /** What its index orders it by. */
  readonly by: string;
}

/**
 * The statement of a lag. Its one parameter is how many rows it may look at to count them; null: all.
 *
 * Left of a shard is what is not in its snapshot. In the middle of a round it is what has a higher number than the last page, and what the round will not
 * have: rows that a page has delivered would be looked at, and again each time, if they were sought by their transactions. What earlier rounds have
 * delivered may come first there. It is passed over, however much it is, for the oldest that is left: a lag of 0 would say that there is none.
 */
export function lagStatement(tables: OutboxTables): string {
  const parts = partsOf(tables);
  const all = parts.map(({ rows, isLeft }) => `SELECT o.created_at, ${isLeft} AS is_left ${rows}`);
  const first = parts.map(
    ({ rows, isLeft, passes, by }) =>
      `(SELECT o.created_at, ${isLeft} AS is_left ${rows}${passes ? ` AND ${isLeft}` : ''} ORDER BY ${by} LIMIT ${firstRows})`,
  );
  const ofShards = (queries: readonly string[]) => `FROM ${tables.shards} s, LATERAL (${queries.join(' UNION ALL ')}) r`;
  return `WITH counted AS (
    SELECT count(*) FILTER (WHERE is_left) AS items, min(created_at) FILTER (WHERE is_left) AS oldest,
      coalesce(count(*) > $1::bigint, false) AS has_more
    FROM (SELECT r.* ${ofShards(all)} LIMIT $1::bigint + 1) looked
  ), oldest AS (
    SELECT least(oldest, CASE WHEN has_more THEN (SELECT min(r.created_at) ${ofShards(first)} WHERE r.is_left) END) AS at FROM counted
  )
  SELECT least(greatest(items, (at IS NOT NULL)::int), $1::bigint)::float8 AS items, has_more AS "hasMore",
    coalesce(greatest(0, extract(epoch FROM clock_timestamp() - at) * 1000), 0)::float8 AS "oldestMs"
  FROM counted, oldest`;
}

function partsOf({ events }: OutboxTables): readonly Part[] {
  const [later, running] = outsideOf(events, 's.delivered', 's');
  const [laterThanRound, runningInRound] = outsideOf(events, 's.upto', 's');
  const numbered = `FROM ${events} o WHERE o.shard = s.shard AND o.seq > s.after_seq`;
  const between = (rows: string) => `${rows} AND s.upto IS NULL`;
  const within = (rows: string) => `${rows} AND s.upto IS NOT NULL`;
  return [
    { rows: between(later), isLeft: 'true', by: 'o.xact' },
    { rows: between(running), isLeft: 'true', by: 'o.xact' },
    { rows: within(numbered), isLeft: 'NOT pg_visible_in_snapshot(o.xact, s.delivered)', passes: true, by: 'o.seq' },
    { rows: within(laterThanRound), isLeft: 'o.seq <= s.after_seq', by: 'o.xact' },
    { rows: within(runningInRound), isLeft: 'o.seq <= s.after_seq', by: 'o.xact' },
  ];
}
