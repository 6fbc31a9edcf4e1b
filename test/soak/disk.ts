/** Disk: a small one of its own for the data folder, so that it can be filled. Only root can make one, and only on Linux. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { reserveBytes } from './configuration.js';

/** A disk that can be filled. */
export interface SmallDisk {
  /** Leaves less than the log's reserve for a while. */
  fill(forMs: number): Promise<void>;
  remove(): void;
}

const size = 192 << 20;

/** Mounts one there; `undefined` where that is not possible. The folder is there either way. */
export function mountSmallDisk(folder: string): SmallDisk | undefined {
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'sluice-soak', folder], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  const ballast = join(folder, 'ballast');
  return {
    async fill(forMs) {
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - reserveBytes / 2)));
      await sleep(forMs);
      rmSync(ballast);
    },
    remove() {
      execFileSync('umount', [folder]);
    },
  };
}
