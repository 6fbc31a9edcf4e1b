/** The data folder: made when absent, checked for writing, and held by one instance at a time. */

import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname, join, resolve } from 'node:path';
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
 * On Linux the lock is a name in the kernel (an abstract socket, named by the folder's device and inode): two cannot have it, and it
 * is gone with the process, however that ends. The file `sluice.lock` says who holds it, and keeps out an instance in another
 * network namespace; elsewhere it is the lock.
 *
 * @throws SluiceError `DATA_FOLDER_UNWRITABLE`, `DATA_FOLDER_IN_USE`
 */
export async function takeDataFolder(folder: string): Promise<DataFolder> {
  const path = resolve(folder);
  const lockPath = join(path, 'sluice.lock');
  let name: Server | 'taken' | undefined;
  try {
    // It will hold payloads and a password: nobody else's to read.
    makeFolder(path);
    name = await takeName(path);
    const holder = readHolder(lockPath);
    const runs = holder !== undefined && isRunning(holder);
    if (name === 'taken' || runs) throw inUse(path, runs ? holder.pid : undefined);
    const self: Holder = { pid: process.pid, startedAt: startOf(process.pid)?.startedAt ?? '' };
    writeFileSync(lockPath, JSON.stringify(self), { mode: 0o600 });
  } catch (error) {
    if (typeof name === 'object') name.close();
    if ((error as { code?: string }).code === 'DATA_FOLDER_IN_USE') throw error;
    throw unwritable(path, error as NodeJS.ErrnoException);
  }
  let held = true;
  return {
    path,
    release() {
      if (!held) return;
      held = false;
      // The file before the name: whoever takes the name next writes a file of its own.
      rmSync(lockPath, { force: true });
      if (typeof name === 'object') name.close();
    },
  };
}

/** Not Node's `recursive`: that tries for ever where a folder is there and none can be made in it, as in /proc. */
function makeFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another instance may have made it meanwhile.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** The kernel's name for the folder; undefined where the platform has no such names. */
function takeName(path: string): Promise<Server | 'taken' | undefined> {
  if (process.platform !== 'linux') return Promise.resolve(undefined);
  const { dev, ino } = statSync(path, { bigint: true });
  const server = createServer((connection) => connection.destroy());
  server.unref();
  return new Promise((taken, failed) => {
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? taken('taken') : failed(error)));
    server.listen(`\0sluice-data-${dev}-${ino}`, () => taken(server));
  });
}

interface Holder {
  readonly pid: number;
  readonly startedAt: string;
}

function readHolder(lockPath: string): Holder | undefined {
  try {
    const { pid, startedAt } = JSON.parse(readFileSync(lockPath, 'utf8')) as Partial<Holder>;
    return Number.isSafeInteger(pid) && pid! > 0 ? { pid: pid!, startedAt: String(startedAt ?? '') } : undefined;
  } catch {
    return undefined;
  }
}

function isRunning({ pid, startedAt }: Holder): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const start = startOf(pid);
  if (start === undefined) return true;
  // A process that ended but was not waited for still has its id.
  return start.state !== 'Z' && start.state !== 'X' && (startedAt === '' || start.startedAt === startedAt);
}

/** Fields 3 and 22 of /proc/<pid>/stat: the state, and when it started in clock ticks after boot. Absent outside Linux. */
function startOf(pid: number): { readonly state: string | undefined; readonly startedAt: string | undefined } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses, which may hold blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], startedAt: fields[19] };
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

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'its file system is read-only',
  ENOENT: 'no folder can be made there',
  ENOTDIR: 'there is a file in its place',
  EEXIST: 'there is a file in its place',
  ENOSPC: 'the disk is full',
};

function unwritable(path: string, error: NodeJS.ErrnoException): SluiceError {
  const why = reasons[error.code ?? ''] ?? error.message;
  return failure(`cannot use the data folder ${path}: ${why}; choose another with --data DIR, or change its permissions.`, {
    code: 'DATA_FOLDER_UNWRITABLE',
    class: 'blocked',
    cause: error,
  });
}
