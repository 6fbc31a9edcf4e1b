/** The reader of a store: looks into it and checks it, while another process may be writing to it. */

import { SluiceError } from '../core/errors.js';
import { checkNames } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import type { DeadLetters } from '../log/dead-letter.js';
import { createLetterGuard } from '../log/letter-bounds.js';
import type { Log, VerifyReport } from '../log/log.js';
import { defaultStreamSettings } from '../log/stream-options.js';
import { createLetters } from './dead-letters.js';
import { createGroups } from './groups.js';
import { createInFlightMarks } from './in-flight.js';
import { readTotals } from './letter-rows.js';
import { streamRow } from './names.js';
import { createReads, listStreams, offsetAt } from './reads.js';
import type { Store } from './store.js';
import { openTrees } from './trees.js';
import { verifyStore } from './verify.js';

/** Options of {@link openLmdbReader}. */
export interface LmdbReaderOptions {
  /** Folder of the store. */
  readonly path: string;
  /** Default: the system's. */
  readonly env?: Env;
}

/** A store opened for reading: those members of {@link Log} that only look. What another process appends is seen from the next turn on. */
export interface LogReader extends Pick<Log, 'streams' | 'streamSettings' | 'read' | 'offsetAt' | 'groups' | 'position' | 'lag'> {
  readonly letters: Pick<DeadLetters, 'items' | 'bytes' | 'page' | 'groups' | 'get'>;
  /**
   * Reads everything in the store once, in one snapshot, and says what does not fit together. It works in slices of a few milliseconds.
   *
   * Damage to pages, rather than to what lies in them, can end the process that reads it (`SIGBUS`, `SIGSEGV`): run this where that does no harm,
   * as `sluice log verify` does.
   */
  verify(): Promise<VerifyReport>;
  close(): Promise<void>;
}

/**
 * Opens a store for reading, while a service may have it open; on a read-only file system too. It takes no lock that anybody waits for. While
 * {@link LogReader.verify} runs, the writer cannot use again the space that it frees.
 *
 * @throws SluiceError `LOG_CORRUPT` (there is no store, or it cannot be read), `LOG_VERSION`, `INVALID_OPTION`.
 */
export function openLmdbReader(options: LmdbReaderOptions): LogReader {
  checkNames('openLmdbReader', options, ['path', 'env']);
  const { path, env = systemEnv() } = options;
  const { root, trees, id } = openTrees(path, 'read');
  const store: Store = {
    id,
    trees,
    write: () =>
      Promise.reject(new SluiceError(`${path} is open for reading only`, { code: 'LOG_UNWRITABLE', class: 'blocked' })),
    idle: async () => {},
    snapshot: () => root.useReadTransaction(),
    stoppedBy: undefined,
    stopped: new Promise(() => {}),
    close: () => root.close(),
  };
  const guard = createLetterGuard(env);
  const reads = createReads(trees);
  const { page, groups: letterGroups, get } = createLetters(store, env.clock, guard);
  const parts = { env, reads, marks: createInFlightMarks(path), guard, defaults: defaultStreamSettings };
  const { groups, position, lag } = createGroups(store, { ...parts, removed: () => {}, lettersMoved: () => {} });

  return {
    streams: async () => listStreams(trees),
    streamSettings: async (stream) => streamRow(trees, stream)?.settings ?? defaultStreamSettings,
    read: async (stream, partition, from, bounds) => reads.read(stream, partition, from, bounds),
    async offsetAt(stream, partition, time) {
      const row = streamRow(trees, stream);
      return row === undefined ? 0 : offsetAt(trees, row.number, partition, time);
    },
    groups,
    position,
    lag,
    letters: {
      get items() {
        return readTotals(trees).items;
      },
      get bytes() {
        return readTotals(trees).bytes;
      },
      page,
      groups: letterGroups,
      get,
    },
    verify: () => verifyStore(trees, store.snapshot(), env.clock),
    close: () => root.close(),
  };
}
