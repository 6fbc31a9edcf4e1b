/** The durable log over LMDB: one embedded store for streams, ids, consumer groups and dead letters. */

import { asFailure, invalidOption, shorten } from '../core/errors.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import { checkName } from '../log/limits.js';
import type { Log, StreamInfo } from '../log/log.js';
import { createAppends } from './appends.js';
import { letterCount, readLetter, readLetters } from './dead-letters.js';
import { freeDiskBytes } from './folder.js';
import { readPosition, registerGroup, settleGroup } from './groups.js';
import { partitionKey, readPartitionKey, readPartitionRow } from './keys.js';
import { createReads } from './reads.js';
import { openStore, type Trees } from './store.js';

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
   * `LOG_FULL` and offers answer `'full'`. Looked at once a second.
   */
  readonly reserveBytes?: number;
  /** How many ids are remembered for each stream and tenant, to know duplicates. Default 1,000,000 (about 100 MB of disk). */
  readonly idWindowItems?: number;
  /** How long an id is remembered, in milliseconds of the wall clock. Default 7 days. */
  readonly idWindowMs?: number;
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
 * @throws SluiceError `LOG_UNWRITABLE` (the folder), `LOG_VERSION` (written by another version), `LOG_CORRUPT` (not a log), `INVALID_OPTION`.
 */
export function openLmdbLog(options: LmdbLogOptions): Log {
  const env = options.env ?? systemEnv();
  const appendBounds = {
    maxHeldItems: atLeast(1, 'maxHeldItems', options.maxHeldItems ?? 100_000),
    maxHeldBytes: atLeast(1, 'maxHeldBytes', options.maxHeldBytes ?? 64 << 20),
    reserveBytes: atLeast(0, 'reserveBytes', options.reserveBytes ?? 64 << 20),
    freeDiskBytes: () => freeDiskBytes(options.path),
    idWindow: {
      items: atLeast(1, 'idWindowItems', options.idWindowItems ?? 1_000_000),
      ageMs: atLeast(1, 'idWindowMs', options.idWindowMs ?? 7 * 24 * 3_600_000),
    },
  };
  const store = openStore(options.path, env.clock, atLeast(1, 'flushTimeoutMs', options.flushTimeoutMs ?? 30_000));
  const { trees } = store;
  const listeners = new Map<string, Set<() => void>>();
  const appends = createAppends(store, env, appendBounds, tellListeners);
  const reads = createReads(trees);
  let letters = letterCount(trees);
  let closed: Promise<void> | undefined;

  return {
    offer: appends.offer,
    append: appends.append,
    read: async (stream, partition, from, bounds) => reads.read(stream, partition, from, bounds),
    onAppended(stream, fn) {
      const listener = () => fn();
      const known = listeners.get(stream) ?? new Set();
      listeners.set(stream, known.add(listener));
      return () => {
        known.delete(listener);
        if (known.size === 0 && listeners.get(stream) === known) listeners.delete(stream);
      };
    },
    async position(group, stream, partition) {
      checkName('group', group);
      checkName('stream', stream);
      return readPosition(trees, group, stream, partition) ?? store.write(() => registerGroup(trees, group, stream, partition));
    },
    async settle(group, stream, partition, position, settlements) {
      checkName('group', group);
      checkName('stream', stream);
      letters = await store.write(() => {
        settleGroup(trees, group, stream, partition, position, settlements);
        return letterCount(trees);
      });
    },
    async flushed() {
      await appends.flushed();
      await store.idle();
      if (store.stoppedBy !== undefined) throw store.stoppedBy;
    },
    streams: async () => readStreams(trees),
    get memoryOnly() {
      return appends.memoryOnly;
    },
    deadLetters: async (filter) => readLetters(trees, filter),
    deadLetter: async (group, stream, partition, offset) => readLetter(trees, group, stream, partition, offset),
    deadLetterCount: () => letters,
    stopped: store.stopped,
    close() {
      closed ??= appends.close().then(() => store.close());
      return closed;
    },
  };

  function tellListeners(streams: Iterable<string>): void {
    for (const stream of streams) {
      for (const listener of [...(listeners.get(stream) ?? [])]) {
        try {
          listener();
        } catch (error) {
          // One listener's mistake is not the business of the others, nor of who appended.
          env.observe({ type: 'callbackError', name: 'log', error: asFailure(error, 'permanent') });
        }
      }
    }
  }
}

function readStreams(trees: Trees): StreamInfo[] {
  const infos: StreamInfo[] = [];
  for (const { key, value } of trees.streams.getRange({})) {
    const number = value.readUInt32BE(0);
    const prefix = partitionKey(number, 0).subarray(0, 4);
    const end = partitionKey(number, 0xffff);
    for (const row of trees.partitions.getRange({ start: prefix, end, inclusiveEnd: true })) {
      infos.push({
        stream: key.toString('utf8'),
        partition: readPartitionKey(row.key).partition,
        ...readPartitionRow(row.value),
      });
    }
  }
  return infos;
}

function atLeast(least: number, name: string, value: number): number {
  if (!(value >= least)) throw invalidOption(`${name} must be a number of at least ${least}, got ${shorten(value)}`);
  return value;
}
