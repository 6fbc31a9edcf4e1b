/** The folder of the store, looked at before lmdb opens it: lmdb 3.5 crashes the process where it should say what is wrong. */

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { SluiceError } from '../core/errors.js';

/**
 * Makes the folder, and checks that it and the files in it can be written and that the data file is LMDB's.
 *
 * @throws SluiceError `LOG_UNWRITABLE`, `LOG_CORRUPT`.
 */
export function prepareFolder(path: string): void {
  const data = join(path, 'data.mdb');
  let why: string | undefined;
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    for (const file of [data, join(path, 'lock.mdb')]) if (existsSync(file)) accessSync(file, constants.R_OK | constants.W_OK);
    if (existsSync(data)) why = whatIsWrong(data);
    // LMDB writes to a new lock file through a map of it: where the disk has no room for that, the kernel ends the process.
    if (!existsSync(join(path, 'lock.mdb')) && freeDiskBytes(path) < newLockBytes)
      throw unwritable(path, 'no space is left on the disk');
  } catch (error) {
    throw error instanceof SluiceError ? error : unwritable(path, error);
  }
  if (why !== undefined) throw unreadable(path, why);
}

const newLockBytes = 64 << 10;

/**
 * Checks that there is a store that can be read.
 *
 * @throws SluiceError `LOG_CORRUPT`.
 */
export function checkReadable(path: string): void {
  const data = join(path, 'data.mdb');
  let why: string | undefined;
  try {
    why = whatIsWrong(data);
  } catch (error) {
    throw unreadable(path, error instanceof Error ? error.message : String(error), error);
  }
  if (why !== undefined) throw unreadable(path, why);
}

/** Puts the names of new files on disk: LMDB flushes what is in its files, and a power cut could take a file's name. Windows has no such call. */
export function flushFolder(path: string): void {
  if (process.platform === 'win32') return;
  flushPath(path, 'r');
  try {
    flushPath(dirname(path), 'r');
  } catch (error) {
    // A folder that this user may pass through and not read: somebody else has made the store's folder in it, before this start.
    if (!isDenied(error)) throw error;
  }
}

/** Puts what a file or a folder holds on disk. A folder can be opened as `r` alone; a file needs `r+`, for Windows flushes what may be written only. */
export function flushPath(path: string, flags: 'r' | 'r+'): void {
  const descriptor = openSync(path, flags);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** Free bytes of the disk that holds a folder, for this user; `Infinity` where the file system does not say. */
export function freeDiskBytes(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** The disk has no room for events. */
export function diskFull(path: string, cause?: unknown): SluiceError {
  return new SluiceError(`the disk of ${path} is full: free some space; nothing of this write was stored`, {
    code: 'LOG_FULL',
    class: 'rejected',
    cause,
  });
}

/** The folder cannot be written to. */
export function unwritable(path: string, cause: unknown): SluiceError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new SluiceError(
    `the log's folder ${path} is not writable (${why}): give this user write access to it, or name another folder`,
    {
      code: 'LOG_UNWRITABLE',
      class: 'blocked',
      cause,
    },
  );
}

/** What lies in the folder cannot be opened. */
export function unreadable(path: string, why: string, cause?: unknown): SluiceError {
  return new SluiceError(`the log in ${path} cannot be opened (${why}): restore it from a backup, or name another folder`, {
    code: 'LOG_CORRUPT',
    class: 'blocked',
    cause,
  });
}

const magic = 0xbeefc0de;

/** A store gets its name when it is whole, so one that is empty has lost what it held. */
function whatIsWrong(data: string): string | undefined {
  if (statSync(data).size === 0) return `${data} is empty`;
  return beginsLikeLmdb(data) ? undefined : `${data} is not a data file of LMDB`;
}

/** Behind the page header, of 24 bytes in lmdb 3 and 16 in older ones, in the byte order of the machine. */
function beginsLikeLmdb(file: string): boolean {
  const head = Buffer.alloc(32);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, head, 0, head.length, 0);
    return [16, 24].some((at) => head.readUInt32LE(at) === magic || head.readUInt32BE(at) === magic);
  } finally {
    closeSync(descriptor);
  }
}
