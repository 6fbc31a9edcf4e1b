/** The data folder: made when absent, checked for writing, and held by one instance at a time. */

import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { failure, type SluiceError } from 'sluice';

/** A data folder that this process holds. */
export interface DataFolder {
  /** Absolute path. */
  readonly path: string;
  /** Lets another instance have it. Idempotent. */
  release(): void;
}

/**
 * Takes a data folder for this process.
 *
 * The lock is a file that names the process and when it started, so that after a crash, or a process id used again, the next start
 * takes it over at once.
 *
 * @throws SluiceError `DATA_FOLDER_UNWRITABLE`, `DATA_FOLDER_IN_USE`
 */
export function takeDataFolder(folder: string): DataFolder {
  const path = resolve(folder);
  const lockPath = join(path, 'sluice.lock');
  try {
    // It will hold payloads and a password: nobody else's to read.
    mkdirSync(path, { recursive: true, mode: 0o700 });
    for (let attempt = 0; attempt < 3; attempt++) {
      if (writeLock(lockPath)) return { path, release: () => rmSync(lockPath, { force: true }) };
      const holder = readHolder(lockPath);
      if (holder !== undefined && isRunning(holder)) throw inUse(path, holder.pid);
      // Renamed before it is removed: of two that find the same stale lock, one only removes it.
      const stale = `${lockPath}.${process.pid}.stale`;
      renameSync(lockPath, stale);
      rmSync(stale, { force: true });
    }
  } catch (error) {
    if ((error as { code?: string }).code === 'DATA_FOLDER_IN_USE') throw error;
    throw unwritable(path, error as NodeJS.ErrnoException);
  }
  throw inUse(path, undefined);
}

interface Holder {
  readonly pid: number;
  readonly startedAt: string;
}

function writeLock(lockPath: string): boolean {
  let file: number;
  try {
    file = openSync(lockPath, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  const holder: Holder = { pid: process.pid, startedAt: startOf(process.pid) ?? '' };
  writeSync(file, JSON.stringify(holder));
  closeSync(file);
  return true;
}

function readHolder(lockPath: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(lockPath, 'utf8')) as Holder;
  } catch {
    return undefined;
  }
}

function isRunning({ pid, startedAt }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const start = startOf(pid);
  return start === undefined || startedAt === '' || start === startedAt;
}

/** Field 22 of /proc/<pid>/stat: clock ticks after boot at which the process started. Absent outside Linux. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses, which may hold blanks.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function inUse(path: string, pid: number | undefined): SluiceError {
  const who = pid === undefined ? 'another instance' : `another instance (process ${pid})`;
  return failure(`the data folder ${path} is in use by ${who}: stop that, or choose another folder with --data DIR.`, {
    code: 'DATA_FOLDER_IN_USE',
    class: 'blocked',
  });
}

function unwritable(path: string, error: NodeJS.ErrnoException): SluiceError {
  const why =
    error.code === 'EACCES' || error.code === 'EPERM'
      ? 'this user may not write there'
      : error.code === 'EROFS'
        ? 'its file system is read-only'
        : error.code === 'ENOTDIR' || error.code === 'EEXIST'
          ? 'there is a file in its place'
          : error.message;
  return failure(`cannot use the data folder ${path}: ${why}; choose another with --data DIR, or change its permissions.`, {
    code: 'DATA_FOLDER_UNWRITABLE',
    class: 'blocked',
    cause: error,
  });
}
