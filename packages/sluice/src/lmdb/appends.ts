/**
 * Group commit: what is appended while a transaction commits is written by the next one, with one flush for all of it.
 *
 * A transaction is asked for as soon as anything is held, and cuts its group only when it begins: so a group holds everything that came
 * while the one before was committing.
 */

import { SluiceError } from '../core/errors.js';
import type { Env } from '../env/env.js';
import { checkEvents, checkName } from '../log/limits.js';
import type { Appended, NewEvent, Receipt } from '../log/record.js';
import type { StreamSettings } from '../log/stream-options.js';
import { createEventEncoder } from './event-encoder.js';
import { writeGroup } from './group-write.js';
import { barrier, createHeldAppend, type HeldAppend, outOfBlock } from './held-append.js';
import { createIdStore } from './id-window.js';
import type { Removed } from './retention.js';
import type { Store } from './store.js';

/** Bounds of what is held, and what new streams get. */
export interface AppendBounds {
  readonly maxHeldItems: number;
  readonly maxHeldBytes: number;
  /** What must stay free on the disk, and how much is. */
  readonly reserveBytes: number;
  freeDiskBytes(): number;
  readonly streamDefaults: StreamSettings;
}

/** What retention has removed from a partition. */
export interface RemovedFrom extends Removed {
  readonly stream: string;
  readonly partition: number;
}

/** The appending half of the log. */
export interface Appends {
  offer(stream: string, events: readonly NewEvent[]): 'accepted' | 'full' | 'closed';
  append(stream: string, events: readonly NewEvent[]): Promise<Receipt>;
  /** Resolves once all that is held now is on disk. */
  flushed(): Promise<void>;
  readonly memoryOnly: number;
  /** Accepts no more, and resolves once everything is on disk or has failed. */
  close(): Promise<void>;
}

// A transaction's function runs on the JavaScript thread: so many items with ids of their own take about 50 ms of it.
const maxGroupItems = 10_000;
const retryMs = 1_000;
const askDiskMs = 1_000;
// Half-filled pages, ids and the pages that a transaction copies.
const diskBytesPerByte = 2;

/**
 * The appending half over a store.
 *
 * @param committed told the streams that have new records, and what retention has removed for them, after each commit.
 */
export function createAppends(
  store: Store,
  env: Env,
  bounds: AppendBounds,
  committed: (streams: ReadonlySet<string>, removed: readonly RemovedFrom[]) => void,
): Appends {
  // In memory alone: where a turn begins after a restart does not matter.
  const parts = { ids: createIdStore(store.trees), defaults: bounds.streamDefaults, turns: 0 };
  const encode = createEventEncoder();
  let checkedName: string | undefined;
  let held: HeldAppend[] = [];
  let heldItems = 0;
  let heldBytes = 0;
  let state: 'open' | 'closing' = 'open';
  // 'asked': a transaction was asked for and has not begun; what comes now joins it.
  let next: 'none' | 'asked' | 'waits for the disk' = 'none';
  let cancelRetry = () => {};
  let askDiskAt = Number.NEGATIVE_INFINITY;
  let diskIsLow = false;
  /** How much more may be taken before the disk is asked again. */
  let roomBytes = 0;
  let committing: Promise<void> = Promise.resolve();
  /** How often a commit has failed with what was merely offered. */
  let timesHeldAgain = 0;

  return {
    offer(stream, events) {
      if (state !== 'open' || store.stoppedBy !== undefined) return 'closed';
      if (isDiskLow()) return 'full';
      const append = hold(stream, events, undefined, undefined);
      if (append === undefined) return 'full';
      enqueue(append);
      return 'accepted';
    },
    append(stream, events) {
      return new Promise((resolve, reject) => {
        if (state !== 'open') throw new SluiceError('the log is closed', { code: 'CLOSED', class: 'rejected' });
        if (store.stoppedBy !== undefined) throw stoppedBefore(store.stoppedBy);
        if (isDiskLow()) throw diskLow(bounds.reserveBytes);
        const append = hold(stream, events, resolve, reject);
        if (append === undefined) throw overloaded(bounds, events.length);
        if (events.length === 0) resolve({ level: 'durable', appended: [] });
        else enqueue(append);
      });
    },
    async flushed() {
      let before: number;
      do {
        before = timesHeldAgain;
        const earlier = committing;
        if (heldItems > 0) await new Promise<Receipt>((resolve, reject) => enqueue(barrier(resolve, reject)));
        // A group that fails is told so later than the one behind it that had nothing to write.
        await earlier;
        // A commit that failed meanwhile has put behind this what came before it.
      } while (timesHeldAgain !== before);
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
    // Whoever asked for the next transaction has looked; reading the clock for each that joins it would cost as much as encoding it.
    if (next === 'asked' && !diskIsLow && roomBytes > 0) return false;
    const now = env.clock.now();
    // The time alone would not do: a second of appends can be more than the reserve. What is held is not on the disk yet.
    if (now >= askDiskAt || roomBytes <= 0) {
      askDiskAt = now + askDiskMs;
      roomBytes = (bounds.freeDiskBytes() - bounds.reserveBytes) / diskBytesPerByte - heldBytes;
      diskIsLow = roomBytes <= 0;
    }
    return diskIsLow;
  }

  function hold(
    stream: string,
    events: readonly NewEvent[],
    resolve: HeldAppend['resolve'],
    reject: HeldAppend['reject'],
  ): HeldAppend | undefined {
    if (stream !== checkedName) {
      checkName('stream', stream);
      checkedName = stream;
    }
    checkEvents(events);
    if (heldItems + events.length > bounds.maxHeldItems || heldBytes >= bounds.maxHeldBytes) return undefined;
    const append = createHeldAppend(encode, stream, events, resolve, reject);
    if (heldBytes > 0 && heldBytes + append.bytes > bounds.maxHeldBytes) return undefined;
    return append;
  }

  function enqueue(append: HeldAppend): void {
    held.push(append);
    heldItems += append.items;
    heldBytes += append.bytes;
    roomBytes -= append.bytes;
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
    let writtenAt = 0;
    try {
      const written = await store.write(() => {
        group = cutGroup();
        const result = writeGroup(store.trees, group, parts, Math.floor(env.clock.wall()));
        writtenAt = env.clock.now();
        return result;
      });
      env.observe({ type: 'flushed', items: itemsOf(group!), durationMs: env.clock.now() - writtenAt });
      settle(group!, written.results, written.removed);
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

  function settle(
    group: readonly HeldAppend[],
    results: readonly (readonly Appended[])[],
    removed: readonly RemovedFrom[],
  ): void {
    release(group);
    const streams = new Set<string>();
    for (let i = 0; i < group.length; i++) {
      const { stream, items, resolve } = group[i]!;
      resolve?.({ level: 'durable', appended: results[i]! });
      if (items > 0) streams.add(stream);
    }
    committed(streams, removed);
  }

  /** Who waits is told. What was merely offered stays held, hence counted, and is tried again while that makes sense. */
  function failGroup(group: readonly HeldAppend[], error: SluiceError): void {
    const waited = group.filter((append) => append.reject !== undefined);
    const offered = group.filter((append) => append.reject === undefined);
    release(waited);
    for (const append of waited) append.reject!(error);
    if (offered.length > 0) timesHeldAgain++;
    held = [...offered.map(outOfBlock), ...held];
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
      heldBytes -= append.bytes;
    }
  }
}

function itemsOf(group: readonly HeldAppend[]): number {
  return group.reduce((sum, { items }) => sum + items, 0);
}

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
