/** outbox-letters: the dead letters of an outbox, in a table beside it. Pure. */

import type { FailureClass } from '../core/errors.js';
import type { OutboxTables } from './outbox-tables.js';

/** An event that a relay has given up on: the original, and why. Times are epoch milliseconds. */
export interface OutboxLetter {
  readonly id: string;
  readonly stream: string;
  readonly tenant: string;
  readonly key: string | undefined;
  readonly time: string | undefined;
  readonly payload: Uint8Array;
  /** When it was enqueued, by the server's clock. */
  readonly createdAt: number;
  /** The last failure: its code, class and message. */
  readonly code: string;
  readonly class: FailureClass;
  readonly message: string;
  /** Calls of the sink that it was part of. */
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
}

/** Parameters: ids or null, code or null, limit or null. */
export function deadLettersStatement({ dead }: OutboxTables): string {
  return `SELECT seq, id, stream, tenant, key, time, payload, code, class, message, attempts,
    ${milliseconds('created_at')} AS "createdAt", ${milliseconds('first_failed_at')} AS "firstFailedAt",
    ${milliseconds('last_failed_at')} AS "lastFailedAt"
  FROM ${dead} WHERE ($1::text[] IS NULL OR id = ANY($1)) AND ($2::text IS NULL OR code = $2) ORDER BY seq LIMIT $3`;
}

/** The same parameters; answers `moved`. In the order of their first enqueueing, behind what is enqueued already. */
export function redriveStatement(tables: OutboxTables, notify: boolean): string {
  const { events, dead, channel } = tables;
  return `WITH chosen AS (
    DELETE FROM ${dead} WHERE seq IN (SELECT seq FROM (${deadLettersStatement(tables)}) l)
    RETURNING seq AS was, id, stream, tenant, key, time, payload
  ), moved AS (
    INSERT INTO ${events} (id, stream, tenant, key, time, payload)
    SELECT id, stream, tenant, key, time, payload FROM chosen ORDER BY was RETURNING 1
  ) SELECT count(*)::int AS moved${notify ? `, pg_notify('${channel}', '')` : ''} FROM moved`;
}

/** A row of {@link deadLettersStatement} as a letter. */
export function readLetter(row: object): OutboxLetter {
  const {
    seq: _seq,
    key,
    time,
    ...rest
  } = row as { readonly seq: unknown; readonly key: string | null; readonly time: string | null };
  return { ...(rest as OutboxLetter), key: key ?? undefined, time: time ?? undefined };
}

/** A time as epoch milliseconds, whole. */
export function milliseconds(column: string): string {
  return `floor(extract(epoch FROM ${column}) * 1000)::float8`;
}
