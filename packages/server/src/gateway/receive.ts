/** Receive: the events of one request into the log. */

import type { Appended, Log } from 'sluice/log';
import type { EventOptions } from './event.js';
import { HttpError, overloaded } from './http-error.js';
import { type Reading, readSome, startReading } from './reading.js';
import type { AckLevel, ItemError, Receipt } from './receipt.js';

/** Where and how the items of a request are stored. */
export interface StoreOptions {
  readonly log: Log;
  readonly stream: string;
  /** In memory alone, or on disk. */
  readonly level: 'accepted' | 'durable';
  readonly event: EventOptions;
}

/** What became of the items of a request. */
export interface Stored {
  readonly receipt: Receipt;
  /** The events that were appended, in order; empty for what only memory holds. */
  readonly appended: readonly Appended[];
  /** The index of each event among the items; `undefined` when no item was refused, so that it is the same. */
  readonly indexes: readonly number[] | undefined;
}

/** Who is told what became of the items, once: an object rather than functions, because there is one for each of many small requests. */
export interface StoreListener {
  onStored(stored: Stored): void;
  onNotStored(error: unknown): void;
}

/**
 * Stores the items of a request: refuses the bad ones by index, appends the others together.
 *
 * The listener is told of an HttpError 503 when too many events wait for the disk, the disk is full, or the log is closed or stopped;
 * nothing of the request was stored then.
 *
 * @param body what the items are slices of.
 */
export function store(items: readonly Buffer[], body: Buffer, options: StoreOptions, listener: StoreListener): void {
  advance(startReading(items, body, options.event), options, listener);
}

function advance(reading: Reading, options: StoreOptions, listener: StoreListener): void {
  try {
    if (readSome(reading)) put(reading, options, listener);
    else setImmediate(advance, reading, options, listener);
  } catch (error) {
    // A schema is the user's code.
    listener.onNotStored(error);
  }
}

const nothingAppended: readonly Appended[] = [];

/** Puts what was read into the log. What waits for the log holds on to nothing that was read: the log has a copy of it. */
function put(reading: Reading, { log, stream, level }: StoreOptions, listener: StoreListener): void {
  const { events, indexes, errors = noErrors } = reading;
  if (events.length === 0) {
    listener.onStored({ receipt: allRefused(level, errors), appended: nothingAppended, indexes });
    return;
  }
  const ids = reading.generated ? idsOf(reading) : undefined;
  if (level === 'accepted') {
    const answer = log.offer(stream, events);
    if (answer === 'accepted')
      listener.onStored({ receipt: receiptOf(level, events.length, 0, errors, ids), appended: nothingAppended, indexes });
    else listener.onNotStored(answer === 'full' ? noRoom('too many events wait for the disk, or the disk is full') : logClosed());
    return;
  }
  log.append(stream, events).then(
    ({ appended }) => {
      let duplicates = 0;
      for (const { duplicate } of appended) if (duplicate) duplicates++;
      const receipt = receiptOf(level, appended.length - duplicates, duplicates, errors, ids);
      listener.onStored({ receipt, appended, indexes });
    },
    (error: unknown) => listener.onNotStored(asHttpError(error)),
  );
}

const noErrors: readonly ItemError[] = [];

function allRefused(ack: AckLevel, errors: readonly ItemError[]): Receipt {
  const message = `all items were refused; the first because: ${errors[0]?.message ?? ''}`;
  return { ...receiptOf(ack, 0, 0, errors, undefined), error: { code: 'ALL_REFUSED', message } };
}

function receiptOf(
  ack: AckLevel,
  accepted: number,
  duplicates: number,
  errors: readonly ItemError[],
  ids: readonly (string | null)[] | undefined,
): Receipt {
  const rejected = errors.length;
  if (ids === undefined) return { ack, accepted, duplicates, rejected, errors };
  return { ack, accepted, duplicates, rejected, errors, ids };
}

/** In input order, `null` for what was refused. */
function idsOf({ items, events, indexes }: Reading): (string | null)[] {
  if (indexes === undefined) return events.map(({ id }) => id);
  const ids = new Array<string | null>(items.length).fill(null);
  for (const [at, { id }] of events.entries()) ids[indexes[at]!] = id;
  return ids;
}

/** What the log refuses an append with, as it is answered; anything else stays what it is. */
function asHttpError(error: unknown): unknown {
  const { code, retryAfterMs } = error as { code?: unknown; retryAfterMs?: number };
  if (code === 'OVERLOADED') return noRoom('too many events wait for the disk', retryAfterMs);
  if (code === 'LOG_FULL') return diskFull();
  if (code === 'CLOSED') return logClosed();
  if (code === 'ITEM_TOO_LARGE') return new HttpError(413, 'TOO_MANY_ITEMS', (error as Error).message);
  if (code === 'LOG_STOPPED')
    return overloaded('LOG_STOPPED', `the log takes no more events: ${(error as Error).message}`, 30_000);
  return error;
}

function noRoom(why: string, retryAfterMs?: number): HttpError {
  return overloaded('OVERLOADED', `${why}; nothing of this request was stored; send it again after Retry-After`, retryAfterMs);
}

function diskFull(): HttpError {
  return overloaded(
    'LOG_FULL',
    'the disk of the log is full; nothing of this request was stored; free some space there, and send it again after Retry-After',
    10_000,
  );
}

function logClosed(): HttpError {
  return overloaded(
    'SHUTTING_DOWN',
    'the service is shutting down; nothing of this request was stored; send it again later',
    5_000,
  );
}
