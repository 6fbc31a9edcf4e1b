/** Receive: the events of one request into the log, and the wait for the level that was asked for. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Appended, Log, NewEvent, Position, SettledHow } from 'sluice/log';
import { type BodyText, bodyText } from './body-text.js';
import { type EventOptions, isRefusal, readEvent } from './event.js';
import { HttpError, overloaded } from './http-error.js';
import type { ItemError, Receipt } from './receipt.js';

/**
 * Waits until records are settled by the pipelines that read their stream, and tells of each how; of those that are not settled when
 * `signal` is aborted, `undefined`. Records settled long ago are answered too, so that a duplicate learns what became of its original.
 */
export type Settled = (records: readonly Position[], signal: AbortSignal) => Promise<readonly (SettledHow | undefined)[]>;

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
  /** The events that were appended, in order, and the index of each among the items; empty for what only memory holds. */
  readonly appended: readonly Appended[];
  readonly indexes: readonly number[];
}

/**
 * Stores the items of a request: refuses the bad ones by index, appends the others together.
 *
 * @param body what the items are slices of.
 * @throws HttpError 503 when too many events wait for the disk, the disk is full, or the log is closed or stopped; nothing of the
 * request was stored then.
 */
export async function store(items: readonly Buffer[], body: Buffer, options: StoreOptions): Promise<Stored> {
  const reading = startReading(items, body, options.event);
  while (!readSome(reading)) await nextTurn();
  const { events, indexes, ids, errors, generated } = reading;
  const { level } = options;
  const base = { rejected: errors.length, errors, ...(generated ? { ids } : {}) };
  if (events.length === 0) {
    const message = `all items were refused; the first because: ${errors[0]?.message ?? ''}`;
    const receipt = { ack: level, accepted: 0, duplicates: 0, ...base, error: { code: 'ALL_REFUSED', message } };
    return { receipt, appended: [], indexes };
  }
  if (level === 'accepted') {
    offer(options, events);
    return { receipt: { ack: level, accepted: events.length, duplicates: 0, ...base }, appended: [], indexes };
  }
  const appended = await append(options, events);
  let duplicates = 0;
  for (const { duplicate } of appended) if (duplicate) duplicates++;
  return { receipt: { ack: level, accepted: appended.length - duplicates, duplicates, ...base }, appended, indexes };
}

/** How long a request waits for its pipelines. */
export interface CommitOptions {
  readonly settled: Settled;
  readonly ackTimeoutMs: number;
  /** Calls that when the client leaves. What was appended stays; nobody waits for the pipeline any more. */
  readonly onGone: (fn: () => void) => void;
}

/** Waits until all that was stored is settled, the time is up, the client is gone or the pipeline stops; tells of the dead, where known. */
export async function whenCommitted({ receipt, appended, indexes }: Stored, options: CommitOptions): Promise<Receipt> {
  if (appended.length === 0) return { ...receipt, ack: 'committed' };
  const hows = await settledInTime(appended, options);
  const dead = appended.flatMap((one, at) => (hows[at] === 'dead' ? [deadLettered(indexes[at]!, one)] : []));
  const reached = hows.length > 0 && !hows.includes(undefined);
  const errors = dead.length === 0 ? receipt.errors : [...receipt.errors, ...dead].sort((a, b) => a.index - b.index);
  return { ...receipt, ack: reached ? 'committed' : 'durable', errors };
}

async function settledInTime(appended: readonly Appended[], { settled, ackTimeoutMs, onGone }: CommitOptions) {
  const waits = new AbortController();
  let over = false;
  const stop = (): void => {
    if (!over) waits.abort();
  };
  const timer = setTimeout(stop, ackTimeoutMs);
  onGone(stop);
  try {
    return await settled(appended, waits.signal);
  } catch {
    return [];
  } finally {
    over = true;
    clearTimeout(timer);
  }
}

/** The items of a request, on their way to events. */
interface Reading {
  readonly items: readonly Buffer[];
  readonly texts: BodyText;
  readonly options: EventOptions;
  next: number;
  readonly events: NewEvent[];
  /** Of each event, its index among the items. */
  readonly indexes: number[];
  readonly ids: (string | null)[];
  readonly errors: ItemError[];
  generated: boolean;
}

/** Bytes read in one turn: about two milliseconds, so that a large request does not hold up the small ones. */
const bytesPerTurn = 256 * 1024;

function startReading(items: readonly Buffer[], body: Buffer, options: EventOptions): Reading {
  return { items, texts: bodyText(body), options, next: 0, events: [], indexes: [], ids: [], errors: [], generated: false };
}

/** Reads what one turn may; true when nothing is left. */
function readSome(reading: Reading): boolean {
  const { items, texts, options, events, indexes, ids, errors } = reading;
  let bytes = 0;
  for (; reading.next < items.length; reading.next++) {
    const index = reading.next;
    const item = items[index]!;
    bytes += item.length;
    if (bytes > bytesPerTurn && bytes > item.length) return false;
    const read = readEvent(item, index, texts, options);
    if (isRefusal(read)) {
      ids.push(null);
      errors.push({ index, code: read.code, message: read.message });
    } else {
      ids.push(read.id);
      events.push(read);
      indexes.push(index);
      if (read.generated === true) reading.generated = true;
    }
  }
  return true;
}

function offer(options: StoreOptions, events: readonly NewEvent[]): void {
  const answer = options.log.offer(options.stream, events);
  if (answer === 'full') throw noRoom('too many events wait for the disk, or the disk is full');
  if (answer === 'closed') throw logClosed();
}

async function append(options: StoreOptions, events: readonly NewEvent[]): Promise<readonly Appended[]> {
  try {
    return (await options.log.append(options.stream, events)).appended;
  } catch (error) {
    throw asHttpError(error);
  }
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

function deadLettered(index: number, appended: Appended): ItemError {
  const which = appended.duplicate ? 'its original' : 'it';
  return {
    index,
    code: 'DEAD_LETTERED',
    message: `the event is in the log, but the pipeline could not write it: ${which} is parked at partition ${appended.partition}, offset ${appended.offset}`,
  };
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
