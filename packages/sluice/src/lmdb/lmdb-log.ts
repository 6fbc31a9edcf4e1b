/** The durable log over LMDB: one embedded store for streams, ids, consumer groups and dead letters. */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { invalidOption, SluiceError, shorten } from '../core/errors.js';
import { checkNames } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import type { DeadLetterBounds } from '../log/dead-letter.js';
import { withHarmlessObserver } from '../log/harmless-observer.js';
import { createLetterGuard } from '../log/letter-bounds.js';
import { checkName } from '../log/limits.js';
import { createListeners } from '../log/listeners.js';
import type { Log, RetentionReport } from '../log/log.js';
import { createRetentionTimer } from '../log/retention.js';
import { partitionsFixed, type StreamOptions, type StreamSettings, streamSettings } from '../log/stream-options.js';
import { createAppends } from './appends.js';
import { createLetters } from './dead-letters.js';
import { freeDiskBytes } from './folder.js';
import { createGroups } from './groups.js';
import { createInFlightMarks } from './in-flight.js';
import { ensureStream, streamRow, streamRows, writeStreamRow } from './names.js';
import { makeStore } from './new-store.js';
import { createReads, listStreams, offsetAt, rowOf } from './reads.js';
import { maxRemovedChunks, type Removed, retainPartition } from './retention.js';
import { openStore, type Trees } from './store.js';
import { createTurns } from './turns.js';
import { verifyStore } from './verify.js';

/** Options of {@link openLmdbLog}. */
export interface LmdbLogOptions {
  /** Folder of the store; made when absent. One process at a time may have it open. */
  readonly path: string;
  /** Default: the system's. */
  readonly env?: Env;
  /** Most events held in memory until they are on disk. Default 100,000. More appends are refused with `OVERLOADED`, offers with `'full'`. */
  readonly maxHeldItems?: number;
  /** Most bytes held in memory until they are on disk. Default 64 MiB. One append may go beyond it when nothing else is held. */
  readonly maxHeldBytes?: number;
  /**
   * Bytes of disk that appends leave free, so that cursors and dead letters can still move. Default 64 MiB; 0 for none. Below, appends fail with
   * `LOG_FULL` and offers answer `'full'`. Looked at once a second, and as often as it takes where appends are quick and the disk is nearly full.
   */
  readonly reserveBytes?: number;
  /** Options of streams that are appended to before they are defined. Default: those of {@link StreamOptions}. */
  readonly streamDefaults?: StreamOptions;
  /** Bounds of the dead letters. Default: those of {@link DeadLetterBounds}. */
  readonly deadLetters?: DeadLetterBounds;
  /**
   * How long a commit may take, flush included, in milliseconds. Default 30,000. Then its appends fail with `LOG_STOPPED` (class unknown), and
   * the log accepts no more: a disk that hangs must not look like one that is slow.
   */
  readonly flushTimeoutMs?: number;
}

/**
 * Opens the durable log in a folder.
 *
 * An append resolves once its transaction is on disk (fdatasync). Opening takes the same time whatever the backlog.
 *
 * @throws SluiceError `LOG_IN_USE` (by another process), `LOG_UNWRITABLE` (the folder), `LOG_VERSION` (written by another version), `LOG_CORRUPT` (not a log), `INVALID_OPTION`.
 */
export function openLmdbLog(options: LmdbLogOptions): Log {
  checkNames('openLmdbLog', options, optionNames);
  const { path } = options;
  const env = withHarmlessObserver(options.env ?? systemEnv());
  const defaults = streamSettings('openLmdbLog: streamDefaults', options.streamDefaults ?? {});
  const guard = createLetterGuard(env, options.deadLetters);
  const appendBounds = {
    maxHeldItems: atLeast(1, 'maxHeldItems', options.maxHeldItems ?? 100_000),
    maxHeldBytes: atLeast(1, 'maxHeldBytes', options.maxHeldBytes ?? 64 << 20),
    reserveBytes: atLeast(0, 'reserveBytes', options.reserveBytes ?? 64 << 20),
    freeDiskBytes: () => freeDiskBytes(path),
    streamDefaults: defaults,
  };
  makeStore(path);
  const store = openStore(path, env.clock, atLeast(1, 'flushTimeoutMs', options.flushTimeoutMs ?? 30_000));
  const { trees } = store;
  const listeners = createListeners(env);
  const letters = createLetters(store, env.clock, guard);
  const reads = createReads(trees);
  const turns = createTurns();
  const marks = createInFlightMarks(path);
  const groups = createGroups(store, { env, reads, marks, guard, defaults, removed: tellExpired, lettersMoved: letters.changed });
  const timer = createRetentionTimer(env.clock, async () => {
    await retain();
    return mayGrowOld(trees, letters.items > 0 && Number.isFinite(guard.maxAgeMs));
  });
  const appends = createAppends(store, env, appendBounds, (streams, removed) => {
    for (const each of removed) tellExpired(each.stream, each.partition, each);
    if (ages) timer.start();
    listeners.tell(streams);
  });
  let ages = hasAges();
  if (ages) timer.start();
  let closed: Promise<void> | undefined;

  return {
    id: store.id,
    facets: {
      disk: { path, fileBytes: () => statSync(join(path, 'data.mdb')).size, freeBytes: () => freeDiskBytes(path) },
      verify: () => verifyStore(trees, store.snapshot(), env.clock),
    },
    async defineStream(stream, wanted = {}) {
      checkName('stream', stream);
      const settings = await store.write(() => defineStream(trees, stream, wanted, defaults));
      ages = hasAges();
      if (ages) timer.start();
      return settings;
    },
    streamSettings: async (stream) => streamRow(trees, stream)?.settings ?? defaults,
    streams: async () => listStreams(trees),
    offer: appends.offer,
    append: appends.append,
    async read(stream, partition, from, bounds) {
      for (let others = turns.mine(); others !== undefined; others = turns.mine()) await others;
      if (closed !== undefined) throw new SluiceError('the log is closed', { code: 'CLOSED', class: 'rejected' });
      const records = reads.read(stream, partition, from, bounds);
      turns.took(records.length, bounds.isBackground);
      return records;
    },
    async offsetAt(stream, partition, time) {
      const row = streamRow(trees, stream);
      return row === undefined ? 0 : offsetAt(trees, row.number, partition, time);
    },
    onAppended: (stream, fn) => listeners.add(stream, fn),
    ...groups,
    async deleteGroup(group, stream) {
      const deleted = await groups.deleteGroup(group, stream);
      if (deleted) await retainStream(stream);
      return deleted;
    },
    letters,
    retain,
    async flushed() {
      await appends.flushed();
      await store.idle();
      if (store.stoppedBy !== undefined) throw store.stoppedBy;
    },
    get memoryOnly() {
      return appends.memoryOnly;
    },
    stopped: store.stopped,
    close() {
      timer.stop();
      closed ??= appends
        .close()
        .then(() => store.close())
        .finally(() => marks.close());
      return closed;
    },
  };

  async function retain(): Promise<RetentionReport> {
    const report = { records: 0, bytes: 0, expired: 0, letters: await expireLetters() };
    for (const { stream } of [...streamRows(trees)]) {
      const { records, bytes, expired } = await retainStream(stream);
      report.records += records;
      report.bytes += bytes;
      report.expired += expired;
    }
    return report;
  }

  /** A slice a transaction, so that appends come in between. */
  async function retainStream(stream: string): Promise<Omit<RetentionReport, 'letters'>> {
    const report = { records: 0, bytes: 0, expired: 0 };
    const row = streamRow(trees, stream)!;
    for (let partition = 0; partition < row.settings.partitions; partition++) {
      let removed: Removed;
      do {
        removed = await store.write(() => retainPartition(trees, row, partition, Math.floor(env.clock.wall())));
        tellExpired(stream, partition, removed);
        report.records += removed.records;
        report.bytes += removed.bytes;
        report.expired += removed.expired.reduce((sum, { items }) => sum + items, 0);
      } while (removed.chunks === maxRemovedChunks);
    }
    return report;
  }

  async function expireLetters(): Promise<number> {
    const items = await letters.expire(env.clock.wall());
    if (items > 0) env.observe({ type: 'lettersExpired', items });
    return items;
  }

  function tellExpired(stream: string, partition: number, removed: Removed): void {
    for (const { group, items } of removed.expired) env.observe({ type: 'expired', stream, partition, group, items });
  }

  function hasAges(): boolean {
    if (Number.isFinite(guard.maxAgeMs) || Number.isFinite(defaults.retention.maxAgeMs)) return true;
    return [...streamRows(trees)].some(({ settings }) => Number.isFinite(settings.retention.maxAgeMs));
  }
}

const optionNames = [
  ...['path', 'env', 'maxHeldItems', 'maxHeldBytes', 'reserveBytes', 'streamDefaults', 'deadLetters', 'flushTimeoutMs'],
];

function defineStream(trees: Trees, stream: string, wanted: StreamOptions, defaults: StreamSettings): StreamSettings {
  const known = streamRow(trees, stream);
  const settings = streamSettings(`stream ${stream}`, wanted, known?.settings ?? defaults);
  if (known === undefined) ensureStream(trees, stream, settings);
  else if (settings.partitions !== known.settings.partitions) throw partitionsFixed(stream, known.settings.partitions);
  else writeStreamRow(trees, stream, { number: known.number, settings });
  return settings;
}

function mayGrowOld(trees: Trees, letters: boolean): boolean {
  if (letters) return true;
  for (const { number, settings } of streamRows(trees)) {
    if (!Number.isFinite(settings.retention.maxAgeMs)) continue;
    for (let partition = 0; partition < settings.partitions; partition++) {
      const { firstOffset, nextOffset } = rowOf(trees, number, partition);
      if (nextOffset > firstOffset) return true;
    }
  }
  return false;
}

function atLeast(least: number, name: string, value: number): number {
  if (!(value >= least)) throw invalidOption(`${name} must be a number of at least ${least}, got ${shorten(value)}`);
  return value;
}
