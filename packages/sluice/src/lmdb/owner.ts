/**
 * The owner of a store: the one process that may write to it. LMDB would let several write, but what a log holds in memory is right for one only.
 *
 * A file beside the store says who it is. It is read and written while LMDB's lock for writers is held, so two that open at the same moment cannot
 * both get it; and it is overwritten in place, so that a full disk does not keep anybody from opening a store to empty it.
 */

import { closeSync, constants, openSync, readFileSync, readSync, realpathSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { SluiceError } from '../core/errors.js';
import { unwritable } from './folder.js';

/** The right to write to a store. */
export interface StoreOwner {
  /** Lets another process have it. */
  release(): void;
}

/**
 * Takes a store for this process. What a process that was killed has left behind counts for as long as that process runs.
 *
 * @throws SluiceError `LOG_IN_USE`, `LOG_UNWRITABLE`
 */
export function takeStore(root: RootDatabase<Buffer, Buffer>, path: string): StoreOwner {
  const place = realpathSync(path);
  if (taken.has(place)) throw inUse(path, process.pid);
  const self: Owner = { ...processNow(process.pid)!, file: fileOf(path) };
  const other = root.transactionSync(() => {
    let descriptor: number;
    try {
      descriptor = openSync(join(path, fileName), constants.O_RDWR | constants.O_CREAT, 0o600);
    } catch (error) {
      throw unwritable(path, error);
    }
    try {
      const owner = readOwner(descriptor);
      if (owner !== undefined && owner.file === self.file && runs(owner)) return owner.pid;
      writeOwner(descriptor, JSON.stringify(self));
      return undefined;
    } catch (error) {
      throw unwritable(path, error);
    } finally {
      closeSync(descriptor);
    }
  });
  if (other !== undefined) throw inUse(path, other);
  taken.add(place);
  return {
    release() {
      if (!taken.delete(place)) return;
      try {
        const descriptor = openSync(join(path, fileName), 'r+');
        writeOwner(descriptor, '');
        closeSync(descriptor);
      } catch {
        // The folder is gone, or cannot be written to any more: then this process has to end before another can have it.
      }
    },
  };
}

const fileName = 'owner';
const fileBytes = 256;
/** Stores that this process has open. */
const taken = new Set<string>();

interface Owner {
  readonly pid: number;
  /** When it started, in clock ticks after the boot, and which boot; empty where the system does not say. */
  readonly started: string;
  /** A copy of a store is another store: it has no owner yet. */
  readonly file: string;
}

function readOwner(descriptor: number): Owner | undefined {
  const text = Buffer.alloc(fileBytes);
  const bytes = readSync(descriptor, text, 0, fileBytes, 0);
  try {
    return JSON.parse(text.toString('utf8', 0, bytes)) as Owner;
  } catch {
    return undefined;
  }
}

/** Always the same length: what was longer before leaves nothing behind. */
function writeOwner(descriptor: number, text: string): void {
  writeSync(descriptor, text.padEnd(fileBytes), 0);
}

function runs({ pid, started }: Owner): boolean {
  const now = processNow(pid);
  return now !== undefined && now.started === started;
}

function processNow(pid: number): Pick<Owner, 'pid' | 'started'> | undefined {
  try {
    if (pid !== process.pid) process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process runs too.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return undefined;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses, which may hold blanks; then come the state, and as 20th the start.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return { pid, started: `${fields[19]} of ${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}` };
  } catch {
    return { pid, started: '' };
  }
}

function fileOf(path: string): string {
  const { dev, ino } = statSync(join(path, 'data.mdb'), { bigint: true });
  return `${dev}/${ino}`;
}

function inUse(path: string, pid: number): SluiceError {
  return new SluiceError(
    `the log in ${path} is in use by ${pid === process.pid ? 'this process' : `process ${pid}`}: close it there, or name another folder. To read it meanwhile, use openLmdbReader or \`sluice log\`.`,
    { code: 'LOG_IN_USE', class: 'blocked' },
  );
}
