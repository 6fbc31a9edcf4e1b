/**
 * A new store gets its name when it is whole: it is made in a folder of its own, flushed, and linked into its place in one step. So what bears the name
 * was never half made, whenever the power fails; what does not bear it yet was never acknowledged to anybody, and is thrown away.
 */

import { existsSync, linkSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SluiceError } from '../core/errors.js';
import { flushFolder, flushPath, prepareFolder, unwritable } from './folder.js';
import { openTrees } from './trees.js';

/**
 * Makes a store in a folder that has none, removes what an earlier try has left there, and sees to it that its name is on disk.
 *
 * @throws SluiceError `LOG_UNWRITABLE`, `LOG_CORRUPT`.
 */
export function makeStore(path: string): void {
  prepareFolder(path);
  try {
    removeLeftOvers(path);
    const data = join(path, 'data.mdb');
    if (!existsSync(data)) makeAndName(mkdtempSync(join(path, `new-${process.pid}-`)), data);
    // At each start: whoever has named it may have been killed before it came to this.
    flushFolder(path);
  } catch (error) {
    throw error instanceof SluiceError ? error : unwritable(path, error);
  }
}

/** Of processes that run no more. Another one may be making a store here at this moment: one of the two will be first. */
function removeLeftOvers(path: string): void {
  for (const name of readdirSync(path)) {
    const pid = /^new-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && (Number(pid) === process.pid || !runs(Number(pid))))
      rmSync(join(path, name), { recursive: true, force: true });
  }
}

function makeAndName(folder: string, data: string): void {
  try {
    // Nothing runs in the background here, so lmdb closes it at once.
    void openTrees(folder).root.close();
    flushPath(join(folder, 'data.mdb'), 'r+');
    nameOnce(join(folder, 'data.mdb'), data);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A link never replaces what is there: of two that make the same store at once the first one wins, and the other opens that one. */
function nameOnce(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    // Some file systems have no links.
    if (!existsSync(to)) renameSync(from, to);
  }
}
