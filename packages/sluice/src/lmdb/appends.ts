/**
 * Group commit: what is appended while a transaction commits is written by the next one, with one flush for all of it.
 *
 * A transaction is asked for as soon as anything is held, and cuts its group only when it begins: so a group holds everything that came
 * while the one before was committing.
 */

import { SluiceError } from '../core/errors.js';
import type { Env } from '../env/env.js';
import { checkEvents, checkName } from '../log/limits.js';
import { type Appended, type NewEvent, onlyPartition } from '../log/log.js';
import { createChunkWriter } from './chunks.js';
import { type IdWindowBounds, idWindows } from './id-window.js';
import { offsetKey, partitionKey, readPartitionRow, writePartitionRow } from './keys.js';
import { nextNumber, numberStream } from './names.js';
import { type EncodedEvents, encodeEvents } from './records.js';
import type { Store, Trees } from './store.js';

/** Bounds of what is held and of the windows of ids. */
export interface AppendBounds {
  readonly maxHeldItems: number;
  readonly maxHeldBytes: number;
  /** What must stay free on the disk, and how much is. */
  readonly reserveBytes: number;
  freeDiskBytes(): number;
  readonly idWindow: IdWindowBounds;
}

/** The appending half of the log. */
export interface Appends {
  offer(stream: string, events: readonly NewEvent[]): 'accepted' | 'full' | 'closed';
  append(stream: string, events: readonly NewEvent[]): Promise<readonly Appended[]>;
  /** Resolves once all that is held now is on disk. */
  flushed(): Promise<void>;
  readonly memoryOnly: number;
  /** Accepts no more, and resolves once everything is on disk or has failed. */
  close(): Promise<void>;
}

/** One call of append or offer. */
interface HeldAppend {
  readonly stream: string;
  readonly encoded: EncodedEvents;
  readonly items: number;
  /** Ids that must be looked up; undefined for an event whose id was generated. */
  readonly ids: readonly (string | undefined)[];
  readonly tenants: readonly string[];
  /** Nobody waits for an offer. */
  readonly waiter: { resolve(appended: readonly Appended[]): void; reject(error: SluiceError): void } | undefined;
}

// A transaction's function runs on the JavaScript thread: so many items with ids of their own take about 50 ms of it.
const maxGroupItems = 10_000;
const retryMs = 1_000;
const askDiskMs = 1_000;

/**
 * The appending half over a store.
 *
 * @param appended told the streams that have new records, after each commit.
 */
export function createAppends(
  store: Store,
  env: Env,
  bounds: AppendBounds,
  appended: (streams: Iterable<string>) => void,
): Appends {
  let held: HeldAppend[] = [];
  let heldItems = 0;
  let heldBytes = 0;
  let state: 'open' | 'closing' = 'open';
  // 'asked': a transaction was asked for and has not begun; what comes now joins it.
  let next: 'none' | 'asked' | 'waits for the disk' = 'none';
  let cancelRetry = () => {};
  let askDiskAt = Number.NEGATIVE_INFINITY;
  let diskIsLow = false;
  let committing: Promise<void> = Promise.resolve();

  return {
    offer(stream, events) {
      if (state !== 'open' || store.stoppedBy !== undefined) return 'closed';
      if (isDiskLow()) return 'full';
      const append = hold(stream, events, undefined);
      if (append === undefined) return 'full';
      enqueue(append);
      return 'accepted';
    },
    append(stream, events) {
      return new Promise((resolve, reject) => {
        if (state !== 'open') throw new SluiceError('the log is closed', { code: 'CLOSED', class: 'rejected' });
        if (store.stoppedBy !== undefined) throw stoppedBefore(store.stoppedBy);
        if (isDiskLow()) throw diskLow(bounds.reserveBytes);
        const append = hold(stream, events, { resolve, reject });
        if (append === undefined) throw overloaded(bounds, events.length);
        if (events.length === 0) resolve([]);
        else enqueue(append);
      });
    },
    flushed() {
      if (held.length === 0) return committing;
      return new Promise((resolve, reject) => enqueue({ ...nothing, waiter: { resolve: () => resolve(), reject } }));
    },
    get memoryOnly() {
      return heldItems;
    },
    async close() {
      state = 'closing';
      if (next === 'waits for the disk') {
        cancelRetry();
        next = 'none';
      }
      ask();
      while (next === 'asked') await committing;
      await committing;
    },
  };

  /** Cursors and dead letters need room too: they are how a full disk gets empty again. */
  function isDiskLow(): boolean {
    const now = env.clock.now();
    if (now >= askDiskAt) {
      askDiskAt = now + askDiskMs;
      diskIsLow = bounds.freeDiskBytes() < bounds.reserveBytes;
    }
    return diskIsLow;
  }

  function hold(stream: string, events: readonly NewEvent[], waiter: HeldAppend['waiter']): HeldAppend | undefined {
    checkName('stream', stream);
    checkEvents(events);
    if (heldItems + events.length > bounds.maxHeldItems || heldBytes >= bounds.maxHeldBytes) return undefined;
    const encoded = encodeEvents(events);
    if (heldBytes > 0 && heldBytes + encoded.bytes.length > bounds.maxHeldBytes) return undefined;
    const ids = events.map((event) => (event.generated === true ? undefined : event.id));
    return { stream, encoded, items: events.length, ids, tenants: events.map((event) => event.tenant), waiter };
  }

  function enqueue(append: HeldAppend): void {
    held.push(append);
    heldItems += append.items;
    heldBytes += append.encoded.bytes.length;
    ask();
  }

  function ask(): void {
    if (next !== 'none' || held.length === 0) return;
    next = 'asked';
    const before = committing;
    const commit = commitGroup();
    committing = before.then(() => commit);
  }

  async function commitGroup(): Promise<void> {
    let group: HeldAppend[] | undefined;
    try {
      const results = await store.write(() => {
        group = cutGroup();
        return writeGroup(store.trees, group, bounds.idWindow, Math.floor(env.clock.wall()));
      });
      settle(group!, results);
    } catch (error) {
      // The store stopped before the transaction began.
      if (group === undefined) group = cutAll();
      failGroup(group, error as SluiceError);
    }
  }

  function cutGroup(): HeldAppend[] {
    let items = 0;
    let count = 0;
    while (count < held.length && (count === 0 || items + held[count]!.items <= maxGroupItems)) items += held[count++]!.items;
    const group = held.splice(0, count);
    next = 'none';
    // Asked for within this transaction, the next one would be the same one.
    if (held.length > 0) env.clock.afterTurn(ask);
    return group;
  }

  function cutAll(): HeldAppend[] {
    next = 'none';
    return held.splice(0);
  }

  function settle(group: readonly HeldAppend[], results: readonly (readonly Appended[])[]): void {
    release(group);
    for (let i = 0; i < group.length; i++) group[i]!.waiter?.resolve(results[i]!);
    appended(new Set(group.map((append) => append.stream).filter((stream) => stream !== '')));
  }

  /** Who waits is told. What was merely offered stays held, hence counted, and is tried again while that makes sense. */
  function failGroup(group: readonly HeldAppend[], error: SluiceError): void {
    const waited = group.filter((append) => append.waiter !== undefined);
    const offered = group.filter((append) => append.waiter === undefined);
    release(waited);
    for (const append of waited) append.waiter!.reject(error);
    held = [...offered, ...held];
    if (held.length === 0 || store.stoppedBy !== undefined || state === 'closing' || next !== 'none') return;
    next = 'waits for the disk';
    cancelRetry = env.clock.after(retryMs, () => {
      next = 'none';
      ask();
    });
  }

  function release(group: readonly HeldAppend[]): void {
    for (const append of group) {
      heldItems -= append.items;
      heldBytes -= append.encoded.bytes.length;
    }
  }
}

const nothing: Omit<HeldAppend, 'waiter'> = { stream: '', encoded: encodeEvents([]), items: 0, ids: [], tenants: [] };

function stoppedBefore(by: SluiceError): SluiceError {
  return new SluiceError(`the log has stopped: ${by.message}`, { code: 'LOG_STOPPED', class: 'rejected', cause: by });
}

function diskLow(reserveBytes: number): SluiceError {
  return new SluiceError(
    `less than ${reserveBytes} bytes (reserveBytes) are free on the disk of the log: free some space; nothing was stored`,
    {
      code: 'LOG_FULL',
      class: 'rejected',
    },
  );
}

function overloaded(bounds: AppendBounds, items: number): SluiceError {
  if (items > bounds.maxHeldItems) {
    return new SluiceError(`an append of ${items} events, and maxHeldItems is ${bounds.maxHeldItems}: split it`, {
      code: 'ITEM_TOO_LARGE',
      class: 'rejected',
    });
  }
  return new SluiceError(
    `the log holds all it may before writing (maxHeldItems ${bounds.maxHeldItems}, maxHeldBytes ${bounds.maxHeldBytes}): append again a little later`,
    { code: 'OVERLOADED', class: 'rejected' },
  );
}

/** Writes a group, stream by stream, and says what became of each append. */
function writeGroup(trees: Trees, group: readonly HeldAppend[], window: IdWindowBounds, now: number): (readonly Appended[])[] {
  const results = new Array<readonly Appended[]>(group.length).fill([]);
  const byStream = new Map<string, number[]>();
  group.forEach((append, index) => {
    if (append.items === 0) return;
    const indexes = byStream.get(append.stream);
    if (indexes === undefined) byStream.set(append.stream, [index]);
    else indexes.push(index);
  });
  for (const [stream, indexes] of byStream) writeStream(trees, stream, group, indexes, results, window, now);
  return results;
}

function writeStream(
  trees: Trees,
  stream: string,
  group: readonly HeldAppend[],
  indexes: readonly number[],
  results: (readonly Appended[])[],
  window: IdWindowBounds,
  now: number,
): void {
  const number = numberStream(trees, stream);
  const rowKey = partitionKey(number, onlyPartition);
  const row = readPartitionRow(trees.partitions.getBinary(rowKey));
  const ids = idWindows(trees.scopes, trees.ids, number, () => nextNumber(trees, 'next scope'), window, now);
  const chunks = createChunkWriter(row.nextOffset, (base, chunk) => {
    trees.chunks.put(offsetKey(number, onlyPartition, base), chunk);
  });
  let offset = row.nextOffset;
  for (const index of indexes) {
    const append = group[index]!;
    const appended: Appended[] = [];
    let runFrom = 0;
    for (let i = 0; i < append.items; i++) {
      const id = append.ids[i];
      const original = id === undefined ? undefined : ids.claim(append.tenants[i]!, id, { partition: onlyPartition, offset });
      if (original === undefined) {
        appended.push({ partition: onlyPartition, offset, duplicate: false });
        offset++;
      } else {
        appended.push({ partition: original.partition, offset: original.offset, duplicate: true });
        chunks.add(append.encoded, runFrom, i);
        runFrom = i + 1;
      }
    }
    chunks.add(append.encoded, runFrom, append.items);
    results[index] = appended;
  }
  chunks.end();
  ids.end();
  trees.partitions.put(rowKey, writePartitionRow({ firstOffset: row.firstOffset, nextOffset: offset }));
}
