/** The store: one LMDB environment, its trees, and the only way to write to it. */

import type { Database, RootDatabase, Transaction } from 'lmdb';
import { asFailure, SluiceError } from '../core/errors.js';
import type { Clock } from '../env/env.js';
import { diskFull, freeDiskBytes } from './folder.js';
import { type StoreOwner, takeStore } from './owner.js';
import { openTrees } from './trees.js';

/** A tree of the store: bytes to bytes, sorted by key. */
export type Tree = Database<Buffer, Buffer>;

/** The trees; `docs/internals/log.md` says what lies in each. */
export interface Trees {
  readonly meta: Tree;
  readonly streams: Tree;
  readonly partitions: Tree;
  readonly chunks: Tree;
  readonly scopes: Tree;
  readonly ids: Tree;
  readonly groups: Tree;
  readonly letters: Tree;
}

/** An open store. */
export interface Store {
  /** A UUID, made with the store. */
  readonly id: string;
  readonly trees: Trees;
  /**
   * Runs `fn` in a write transaction and resolves with its result once the transaction is on disk. When `fn` throws, nothing of it is kept.
   *
   * `fn` runs later, on this thread, and must not wait for anything.
   *
   * @throws SluiceError what `fn` threw; `LOG_FULL` (class rejected: the disk is full, nothing was stored); `LOG_STOPPED` (class unknown when
   *   this write may be on disk, class rejected when the log had stopped before).
   */
  write<T>(fn: () => T): Promise<T>;
  /** What is committed now, for reads over several turns. Whoever asks for it calls its `done`. */
  snapshot(): Transaction;
  /** Resolves once no write is in progress. Never rejects. */
  idle(): Promise<void>;
  /** Set once a write or flush has failed in a way that leaves its result unknown. */
  readonly stoppedBy: SluiceError | undefined;
  readonly stopped: Promise<Error>;
  close(): Promise<void>;
}

/**
 * Opens the store in a folder, which is made when absent.
 *
 * @throws SluiceError `LOG_IN_USE`, `LOG_UNWRITABLE`, `LOG_VERSION`, `LOG_CORRUPT`.
 */
export function openStore(path: string, clock: Clock, flushTimeoutMs: number): Store {
  const { root, trees, id } = openTrees(path);
  const owner = ownedBy(root, path);
  const running = new Map<Promise<unknown>, (error: SluiceError) => void>();
  let stoppedBy: SluiceError | undefined;
  let tellStopped: (error: Error) => void;
  const stopped = new Promise<Error>((resolve) => {
    tellStopped = resolve;
  });
  let hangs = false;
  let checkReadersAt = clock.now() + checkReadersMs;
  let closing: Promise<void> | undefined;

  return {
    id,
    trees,
    write,
    snapshot: () => root.useReadTransaction(),
    async idle() {
      while (running.size > 0) await Promise.allSettled(running.keys());
    },
    get stoppedBy() {
      return stoppedBy;
    },
    stopped,
    close() {
      closing ??= close();
      return closing;
    },
  };

  function write<T>(fn: () => T): Promise<T> {
    if (stoppedBy !== undefined) return Promise.reject(alreadyStopped(stoppedBy));
    forgetDeadReaders();
    let fail!: (error: SluiceError) => void;
    const result = new Promise<T>((resolve, reject) => {
      fail = reject;
      const cancel = clock.after(flushTimeoutMs, () => {
        hangs = true;
        stop(
          new SluiceError(
            `a write to ${path} was not on disk after ${flushTimeoutMs} ms: check the disk, then start again`,
            stoppedUnknown,
          ),
        );
      });
      // A child transaction is the kind that lmdb can roll back when `fn` throws.
      const commit = root.childTransaction(fn);
      commit
        .then(resolve, (error: unknown) => failed(error).then(reject))
        .finally(() => {
          cancel();
          running.delete(result);
        });
    });
    running.set(result, fail);
    return result;
  }

  /** A process that was killed while it read would keep the pages that it read for ever, and the file would grow. */
  function forgetDeadReaders(): void {
    const now = clock.now();
    if (now < checkReadersAt) return;
    checkReadersAt = now + checkReadersMs;
    root.readerCheck();
  }

  /** What a failed transaction means: its own fault, a full disk, or a store that can no longer be trusted. */
  async function failed(thrown: unknown): Promise<SluiceError> {
    if (thrown instanceof SluiceError) return thrown;
    const cause = await rootCause(thrown);
    if (isDiskFull(cause, path)) return diskFull(path, cause);
    // A bug in `fn`: lmdb has rolled it back, and the store is as it was.
    if (cause === thrown && !isLmdbError(cause)) return asFailure(cause, 'permanent');
    // Kernels forget an fsync's error once they have told it: a second try could succeed with the bytes lost. So there is none.
    stop(
      new SluiceError(`writing to ${path} failed (${messageOf(cause)}): check the disk, then start again`, {
        ...stoppedUnknown,
        cause,
      }),
    );
    return stoppedBy!;
  }

  function stop(error: SluiceError): void {
    if (stoppedBy !== undefined) return;
    stoppedBy = error;
    for (const fail of running.values()) fail(error);
    running.clear();
    tellStopped(error);
  }

  async function close(): Promise<void> {
    while (running.size > 0) await Promise.allSettled(running.keys());
    // lmdb's close waits for its transactions, and one of them never ends.
    if (hangs) return;
    await root.close();
    owner.release();
  }
}

function ownedBy(root: RootDatabase<Buffer, Buffer>, path: string): StoreOwner {
  try {
    return takeStore(root, path);
  } catch (error) {
    void root.close();
    throw error;
  }
}

const checkReadersMs = 10_000;

const stoppedUnknown = { code: 'LOG_STOPPED', class: 'unknown' } as const;

function alreadyStopped(by: SluiceError): SluiceError {
  return new SluiceError(`the log has stopped: ${by.message}`, { code: 'LOG_STOPPED', class: 'rejected', cause: by });
}

/** lmdb rejects a failed commit with an error that promises the real one. */
async function rootCause(thrown: unknown): Promise<unknown> {
  const promised = (thrown as { commitError?: Promise<unknown> } | null)?.commitError;
  if (promised === undefined) return thrown;
  return promised.then(
    () => thrown,
    (error: unknown) => error ?? thrown,
  );
}

/**
 * ENOSPC, EDQUOT, EFBIG and MDB_MAP_FULL. A disk that takes only the beginning of a page looks like EIO, and is told by its free space. To go
 * on is safe: the failed transaction is the only one that knows the pages it wrote, and the next writes its own anew.
 */
function isDiskFull(error: unknown, path: string): boolean {
  const message = messageOf(error);
  if (/MDB_MAP_FULL|no space left|quota exceeded|file too large/i.test(message)) return true;
  return /input\/output error/i.test(message) && freeDiskBytes(path) < nearlyFullBytes;
}

const nearlyFullBytes = 1 << 20;

function isLmdbError(error: unknown): boolean {
  return (
    typeof (error as { code?: unknown } | null)?.code === 'number' ||
    /^MDB_|input\/output error|commit failed/i.test(messageOf(error))
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
