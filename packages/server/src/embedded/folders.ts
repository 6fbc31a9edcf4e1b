/** folders: a folder that appears whole or not at all, whoever crashes or races. */

import { randomBytes } from 'node:crypto';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isAlive } from './program.js';

/** A name beside `target` for what is to become it. */
export function temporaryName(target: string): string {
  return `${target}.making-${process.pid}-${randomBytes(4).toString('hex')}`;
}

/**
 * Gives `made` the name `target`, then removes `rest`. Where another process was faster, its folder stays and ours is removed.
 */
export async function publishFolder(made: string, target: string, rest = made): Promise<void> {
  try {
    await rename(made, target);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw thrown;
  } finally {
    await rm(rest, { recursive: true, force: true });
  }
}

/** Removes what crashed processes left half made of `target`: folders, and files named after them. What cannot be removed stays. */
export async function removeAbandoned(target: string): Promise<void> {
  const folder = dirname(target);
  for (const name of await readdir(folder).catch(() => [])) {
    const made = new RegExp(`^${escaped(basename(target))}\\.making-(\\d+)-`).exec(name);
    if (made === null || isAlive(Number(made[1]))) continue;
    // Its maker may live in another container, where our view of process ids says nothing: young ones stay.
    const { mtimeMs } = await stat(join(folder, name)).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > abandonedAfterMs) await rm(join(folder, name), { recursive: true, force: true }).catch(() => {});
  }
}

const abandonedAfterMs = 10 * 60_000;

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
