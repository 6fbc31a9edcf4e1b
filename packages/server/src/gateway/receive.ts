/** Receive: the events of one request into the log, and the wait for the level that was asked for. */

import { setMaxListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Appended, Log, NewEvent } from 'sluice/log';
import { type EventOptions, readEvent } from './event.js';
import { HttpError, overloaded } from './http-error.js';
import type { AckLevel, ItemError, Receipt } from './receipt.js';

/**
 * Waits until one record is settled by the pipeline that reads its stream; rejects when `signal` is aborted. A record settled
 * long ago is answered too, so that a duplicate learns what became of its original.
 */
export type Settled = (partition: number, offset: number, signal: AbortSignal) => Promise<'ok' | 'dead'>;

/** What a request asks for. */
export interface ReceiveOptions {
  readonly log: Log;
  readonly stream: string;
  readonly ack: AckLevel;
  /** Needed for `committed`. */
  readonly settled: Settled | undefined;
  readonly ackTimeoutMs: number;
  /** Called once the events are in the log, or in its memory. */
  readonly onStored: () => void;
  readonly event: EventOptions;
  /** Aborted when the client leaves. What was appended stays; nobody waits for the pipeline any more. */
  readonly signal: () => AbortSignal;
}

/**
 * Takes the items of a request: refuses the bad ones by index, appends the others together, waits for the ack level.
 *
 * @throws HttpError 503 when too many events wait for the disk, the disk is full, or the log is closed or stopped; nothing of the
 * request was stored then.
 */
export async function receive(items: readonly Buffer[], options: ReceiveOptions): Promise<Receipt> {
  const { events, indexes, ids, errors } = await readAll(items, options.event);
  const rejected = errors.length;
  const generated = events.some((event) => event.generated === true);
  const base = { rejected, errors, ...(generated ? { ids } : {}) };
  if (events.length === 0) {
    const message = `all items were refused; the first because: ${errors[0]?.message ?? ''}`;
    return { ack: options.ack, accepted: 0, duplicates: 0, ...base, error: { code: 'ALL_REFUSED', message } };
  }
  if (options.ack === 'accepted') {
    offer(options, events);
    options.onStored();
    return { ack: 'accepted', accepted: events.length, duplicates: 0, ...base };
  }
  const appended = await append(options, events);
  options.onStored();
  const duplicates = appended.reduce((count, each) => count + (each.duplicate ? 1 : 0), 0);
  const accepted = appended.length - duplicates;
  if (options.ack === 'durable') return { ack: 'durable', accepted, duplicates, ...base };
  const { reached, dead } = await committed(options, appended);
  const died = dead.map((at) => deadLettered(indexes[at]!, appended[at]!));
  return {
    ack: reached ? 'committed' : 'durable',
    accepted,
    duplicates,
    ...base,
    errors: [...errors, ...died].sort((a, b) => a.index - b.index),
  };
}

interface ReadItems {
  readonly events: NewEvent[];
  /** Of each event, its index among the items. */
  readonly indexes: number[];
  readonly ids: (string | null)[];
  readonly errors: ItemError[];
}

/** Bytes read in one turn: about two milliseconds, so that a large request does not hold up the small ones. */
const bytesPerTurn = 256 * 1024;

async function readAll(items: readonly Buffer[], options: EventOptions): Promise<ReadItems> {
  const read: ReadItems = { events: [], indexes: [], ids: [], errors: [] };
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    bytes += item.length;
    if (bytes > bytesPerTurn) {
      await nextTurn();
      bytes = item.length;
    }
    const { event, refusal } = readEvent(item, index, options);
    read.ids.push(event?.id ?? null);
    if (refusal !== undefined) {
      read.errors.push({ index, ...refusal });
    } else {
      read.events.push(event);
      read.indexes.push(index);
    }
  }
  return read;
}

function offer(options: ReceiveOptions, events: readonly NewEvent[]): void {
  const answer = options.log.offer(options.stream, events);
  if (answer === 'full') throw noRoom('too many events wait for the disk, or the disk is full');
  if (answer === 'closed') throw logClosed();
}

async function append(options: ReceiveOptions, events: readonly NewEvent[]): Promise<readonly Appended[]> {
  try {
    return (await options.log.append(options.stream, events)).appended;
  } catch (error) {
    const { code, retryAfterMs } = error as { code?: unknown; retryAfterMs?: number };
    if (code === 'OVERLOADED') throw noRoom('too many events wait for the disk', retryAfterMs);
    if (code === 'LOG_FULL') throw diskFull();
    if (code === 'CLOSED') throw logClosed();
    if (code === 'ITEM_TOO_LARGE') throw new HttpError(413, 'TOO_MANY_ITEMS', (error as Error).message);
    if (code === 'LOG_STOPPED')
      throw overloaded('LOG_STOPPED', `the log takes no more events: ${(error as Error).message}`, 30_000);
    throw error;
  }
}

/** Waits until all are settled, the time is up, the client is gone or the pipeline stops; `dead` holds positions in `appended`. */
async function committed(options: ReceiveOptions, appended: readonly Appended[]): Promise<{ reached: boolean; dead: number[] }> {
  const settled = options.settled;
  const gone = options.signal();
  const dead: number[] = [];
  if (settled === undefined) return { reached: false, dead };
  const waits = new AbortController();
  setMaxListeners(0, waits.signal);
  const stop = (): void => waits.abort();
  const gaveUp = new Promise<false>((resolve) => waits.signal.addEventListener('abort', () => resolve(false), { once: true }));
  gone.addEventListener('abort', stop, { once: true });
  const timer = setTimeout(stop, options.ackTimeoutMs);
  if (gone.aborted) stop();
  const each = appended.map(async ({ partition, offset }, at) => {
    if ((await settled(partition, offset, waits.signal)) === 'dead') dead.push(at);
  });
  const all = Promise.all(each).then(
    () => true,
    () => false,
  );
  try {
    const reached = await Promise.race([all, gaveUp]);
    return { reached, dead: dead.slice() };
  } finally {
    clearTimeout(timer);
    gone.removeEventListener('abort', stop);
    // Releases the waits that are left when one of them failed.
    stop();
  }
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
