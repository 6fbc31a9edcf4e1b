/** postmaster: what the server's own lock file says, and whether that is still true. */

import { execFileSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive } from './program.js';

/** The first process of a server, as `postmaster.pid` names it. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  /** It says that it accepts connections; else it is starting or stopping. */
  readonly ready: boolean;
}

/** The server that the lock file of this data folder names; `undefined` when there is no lock file, or half of one. */
export async function readPostmaster(cluster: string): Promise<Postmaster | undefined> {
  const lines = (await readFile(lockFile(cluster), 'utf8').catch(() => '')).split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  return pid > 0 && port > 0 ? { pid, port, ready: lines[7]?.trim() === 'ready' } : undefined;
}

/** Whether this process is alive and the server of this data folder: ids are used again, by anything, another server too. */
export function isPostmasterOf(cluster: string, { pid, port }: Postmaster): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform === 'win32') return true;
  try {
    // A server works in its data folder. One whose folder we may not ask for is another user's.
    if (process.platform === 'linux') return realpathSync(`/proc/${pid}/cwd`) === realpathSync(cluster);
    return new RegExp(`postgres.* -p ${port}\\b`).test(
      execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }),
    );
  } catch {
    return false;
  }
}

/**
 * Makes PostgreSQL see that its lock file is stale although another process has the id in it by now.
 *
 * The file is kept: by its shared-memory line PostgreSQL finds server processes of the old generation that are still at work, with
 * which a new one would destroy the data.
 */
export async function disownLock(cluster: string): Promise<void> {
  const lines = (await readFile(lockFile(cluster), 'utf8')).split('\n');
  lines[0] = String(neverAProcess);
  await writeFile(lockFile(cluster), lines.join('\n'));
}

/** Larger than any process id that a kernel gives. */
const neverAProcess = 2 ** 31 - 1;

function lockFile(cluster: string): string {
  return join(cluster, 'postmaster.pid');
}
