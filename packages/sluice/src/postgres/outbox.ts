/** Outbox: events that are written in the caller's own transaction, and so exist exactly if it commits. */

import { randomUUID } from 'node:crypto';
import { failure, invalidOption, type SluiceError, shorten } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { maxIdBytes, maxNameBytes, maxTimeBytes } from '../log/limits.js';
import { lagStatement, type OutboxLag } from './outbox-lag.js';
import { deadLettersStatement, type OutboxLetter, readLetter, redriveStatement } from './outbox-letters.js';
import { partitionsStatement } from './outbox-partitions.js';
import { emptySnapshot, type OutboxTables, outboxTables, restoredCondition, schemaStatements } from './outbox-tables.js';

/** Whatever runs a statement: a client or a pool's client of `pg`. */
export interface OutboxClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly object[]; readonly rowCount: number | null }>;
}

/** An event to enqueue. */
export interface OutboxEvent {
  /** Names the event for good, so that a second delivery is known as one: 1 to 512 bytes. Default a random UUID. */
  readonly id?: string;
  /** The stream that it is for. Default `'events'`. */
  readonly stream?: string;
  /** Default `'_'`, as without tenants. */
  readonly tenant?: string;
  /** What its order is kept by, such as the id of an account: 1 to 512 bytes. Default none: it has an order with no other event. */
  readonly key?: string;
  /** When it happened, as RFC 3339 text. Default none. */
  readonly time?: string;
  /** Bytes as they are, text as UTF-8, anything else as JSON. */
  readonly payload: unknown;
}

/** Options of {@link createOutbox}. */
export interface OutboxOptions {
  /** Its table, `outbox` or `schema.outbox`; four more are named after it. Lower-case letters, digits and `_`. Default `'outbox'`. */
  readonly table?: string;
  /** How many relays can share the work, 1 to 1,024, fixed when the table is made. Default 16. */
  readonly shards?: number;
  /** Length of a partition, in milliseconds, 1,000 or more. Short ones give disk space back sooner. Default 3,600,000 (an hour). */
  readonly partitionMs?: number;
  /** How long delivered events stay in the table after the time of their partition, in milliseconds. Default 0. */
  readonly keepMs?: number;
  /**
   * Wake the relays at commit. PostgreSQL lets only one transaction that notifies commit at a time: at thousands of them a second, say
   * false and let the relays poll. Default true.
   */
  readonly notify?: boolean;
}

/** Which dead letters; all members that are given must fit. */
export interface OutboxLetterFilter {
  readonly ids?: readonly string[];
  readonly code?: string;
  /** At most so many, the oldest first. Default 100; for `redrive` and `purge`, all. */
  readonly limit?: number;
}

/** A transactional outbox in a PostgreSQL database (13 or later). It holds no connection. */
export interface Outbox {
  readonly tables: OutboxTables;
  /** How its partitions are kept. */
  readonly partitions: { readonly partitionMs: number; readonly keepMs: number };
  /**
   * Makes the tables, or does nothing where they exist; safe when several processes start at once. After a restore from a dump into another server it
   * has everything that is still in the table delivered again.
   *
   * @throws SluiceError `INVALID_OPTION` when the table was made with another number of shards; else what the server says.
   */
  migrate(client: OutboxClient): Promise<void>;
  /**
   * Writes events in the transaction that `client` is in; resolves with their ids, in order. What is rolled back has never been.
   *
   * One statement without any state of the session, so that it works through a pooler in transaction mode too. For the order of a key,
   * call it while the transaction holds the lock on what the key stands for: after the UPDATE or SELECT … FOR UPDATE, not before.
   *
   * @throws SluiceError `INVALID_VALUE` for an event that no relay could deliver (nothing is written), `INVALID_OPTION` for a
   * pool in place of a client; else what the server says.
   */
  enqueue(client: OutboxClient, events: OutboxEvent | readonly OutboxEvent[]): Promise<readonly string[]>;
  /**
   * How far all relays together are behind. It counts row by row, `maxItems` at most: 1 or more, default all, which takes its time where they are far
   * behind.
   *
   * @throws SluiceError `INVALID_OPTION`; else what the server says.
   */
  lag(client: OutboxClient, options?: { readonly maxItems?: number }): Promise<OutboxLag>;
  /** What the relays have given up on, oldest first. */
  deadLetters(client: OutboxClient, filter?: OutboxLetterFilter): Promise<readonly OutboxLetter[]>;
  /** Moves dead letters back into the outbox, as new events with their old ids; how many. One statement: none is lost or doubled. */
  redrive(client: OutboxClient, filter?: OutboxLetterFilter): Promise<number>;
  /** Removes dead letters for good; how many. */
  purge(client: OutboxClient, filter?: OutboxLetterFilter): Promise<number>;
}

/**
 * An outbox: `enqueue` writes events into a table in your own transaction, and a relay ({@link createRelay}) hands them on.
 *
 * Use it where an event belongs to a change of the database: both happen, or neither does. Where events can be sent again from their
 * source, or none belongs to a transaction, a batcher is simpler and an order of magnitude cheaper.
 *
 * @throws SluiceError `INVALID_OPTION`
 *
 * @example
 * const outbox = createOutbox();
 * await outbox.migrate(pool);
 * await client.query('BEGIN');
 * await client.query('UPDATE accounts SET balance = balance - 10 WHERE id = 7');
 * await outbox.enqueue(client, { stream: 'payments', key: '7', payload: { amount: 10 } });
 * await client.query('COMMIT');
 */
export function createOutbox(options: OutboxOptions = {}): Outbox {
  checkNames('createOutbox', options, ['table', 'shards', 'partitionMs', 'keepMs', 'notify']);
  const tables = outboxTables(options.table ?? 'outbox');
  const shards = numberOption('createOutbox.shards', options.shards, 16, { least: 1, whole: true });
  if (shards > 1024) throw invalidOption(`createOutbox.shards must be 1,024 at most; got ${shards}`);
  const partitions = {
    partitionMs: numberOption('createOutbox.partitionMs', options.partitionMs, 3_600_000, { least: 1_000, whole: true }),
    keepMs: numberOption('createOutbox.keepMs', options.keepMs, 0, { least: 0 }),
  };
  const { notify = true } = options;
  if (typeof notify !== 'boolean') throw invalidOption(`createOutbox.notify must be true or false; got ${shorten(notify)}`);
  const insert = insertStatement(tables, notify);
  const countLag = lagStatement(tables);
  return {
    tables,
    partitions,
    migrate: (client) => migrate(client, tables, shards, partitionsStatement(tables, partitions)),
    async enqueue(client, events) {
      if ('totalCount' in client)
        throw invalidOption(
          'enqueue needs the client that your transaction runs on, not a pool: const client = await pool.connect()',
        );
      const rows = (Array.isArray(events) ? (events as readonly OutboxEvent[]) : [events as OutboxEvent]).map(rowOf);
      if (rows.length > 0) await client.query(insert, columnsOf(rows));
      return rows.map(([id]) => id);
    },
    lag: (client, { maxItems = Number.POSITIVE_INFINITY } = {}) => lagOf(client, countLag, maxItems),
    async deadLetters(client, filter = {}) {
      const { rows } = await client.query(deadLettersStatement(tables), filterValues('deadLetters', filter, 100));
      return rows.map(readLetter);
    },
    async redrive(client, filter = {}) {
      const { rows } = await client.query(redriveStatement(tables, notify), filterValues('redrive', filter, null));
      return (rows[0] as { moved: number }).moved;
    },
    async purge(client, filter = {}) {
      const { rowCount } = await client.query(
        `DELETE FROM ${tables.dead} WHERE seq IN (SELECT seq FROM (${deadLettersStatement(tables)}) l)`,
        filterValues('purge', filter, null),
      );
      return rowCount ?? 0;
    },
  };
}

async function migrate(client: OutboxClient, tables: OutboxTables, shards: number, partitions: string): Promise<void> {
  const { events } = tables;
  // One implicit transaction: two that migrate at once do so one after the other.
  await client.query(
    [`SELECT pg_advisory_xact_lock(hashtextextended('sluice outbox ${events}', 0))`, ...schemaStatements(tables, shards)].join(
      ';\n',
    ),
  );
  const { rows } = await client.query(`SELECT count(*)::int AS made FROM ${tables.shards}`);
  const { made } = rows[0] as { made: number };
  if (made !== shards) {
    throw invalidOption(`the outbox ${events} was made with ${made} shards, which cannot change; create it with shards: ${made}`);
  }
  await client.query(
    `WITH restored AS (SELECT WHERE ${restoredCondition(tables)}),
    again AS (UPDATE ${events} SET xact = pg_current_xact_id() FROM restored)
    UPDATE ${tables.shards} SET delivered = '${emptySnapshot}', upto = NULL, after_seq = NULL, epoch = epoch + 1, owner = NULL FROM restored`,
  );
  await client.query(partitions);
}

type Row = readonly [id: string, stream: string, tenant: string, key: string | null, time: string | null, payload: Buffer];

function insertStatement({ events, channel }: OutboxTables, notify: boolean): string {
  const insert = `INSERT INTO ${events} (id, stream, tenant, key, time, payload)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])`;
  return notify ? `WITH enqueued AS (${insert}) SELECT pg_notify('${channel}', '')` : insert;
}

function columnsOf(rows: readonly Row[]): unknown[] {
  return [0, 1, 2, 3, 4, 5].map((column) => rows.map((row) => row[column]));
}

function rowOf(event: OutboxEvent): Row {
  checkNames('enqueue', event, ['id', 'stream', 'tenant', 'key', 'time', 'payload']);
  const id = textOf('id', event.id ?? randomUUID(), maxIdBytes);
  return [
    id,
    textOf('stream', event.stream ?? 'events', maxNameBytes),
    textOf('tenant', event.tenant ?? '_', maxNameBytes),
    event.key === undefined ? null : textOf('key', event.key, maxIdBytes),
    event.time === undefined ? null : textOf('time', event.time, maxTimeBytes),
    payloadOf(event.payload),
  ];
}

function textOf(name: string, value: unknown, maxBytes: number): string {
  if (typeof value !== 'string' || value === '') throw refused(`${name} must be text that is not empty; got ${shorten(value)}`);
  const bytes = Buffer.byteLength(value);
  if (bytes > maxBytes) throw refused(`${name} must be ${maxBytes} bytes at most; got ${bytes}`);
  if (value.includes('\0') || !wellFormed(value))
    throw refused(`${name} must be text that PostgreSQL can hold, without NUL and lone surrogates`);
  return value;
}

function wellFormed(text: string): boolean {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}

function payloadOf(payload: unknown): Buffer {
  if (payload instanceof Uint8Array) return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (typeof payload === 'string') return Buffer.from(payload);
  let text: string | undefined;
  try {
    text = JSON.stringify(payload);
  } catch (cause) {
    throw refused('payload must be bytes, text or what JSON can write', cause);
  }
  if (text === undefined) throw refused(`payload must be bytes, text or what JSON can write; got ${shorten(payload)}`);
  return Buffer.from(text);
}

function refused(problem: string, cause?: unknown): SluiceError {
  return failure(`enqueue: ${problem}; nothing was written.`, { code: 'INVALID_VALUE', class: 'rejected', cause });
}

async function lagOf(client: OutboxClient, statement: string, maxItems: number): Promise<OutboxLag> {
  const most = numberOption('lag.maxItems', maxItems, maxItems, { least: 1, whole: true, infinite: true });
  const { rows } = await client.query(statement, [most === Number.POSITIVE_INFINITY ? null : most]);
  return rows[0] as OutboxLag;
}

function filterValues(where: string, filter: OutboxLetterFilter, limit: number | null): unknown[] {
  checkNames(where, filter, ['ids', 'code', 'limit']);
  return [filter.ids ?? null, filter.code ?? null, filter.limit ?? limit];
}
