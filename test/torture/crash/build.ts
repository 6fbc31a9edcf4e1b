/** Builds what crashes: the program, with or without a planted bug, and the library that stands for a disk without power. */

import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { bundle } from '../../bundle.js';

/** Bugs that can be planted in the program: a file of `canaries/` stands in for what it imports. */
export type Canary = keyof typeof places;

const places = {
  'before-commit': 'lmdb',
  'before-flush': 'lmdb',
  'lost-lanes': '../core/shard-of.js',
} as const;

/** A place for programs and stores. */
export interface Workshop {
  /** A built program of a test, from its source. */
  programOf(source: string): Promise<string>;
  /** The built program that crashes. */
  program(canary?: Canary): Promise<string>;
  /** The built library. */
  powercut(): Promise<string>;
  /** An empty folder on the disk of the repository. */
  newFolder(): string;
  /** An empty folder in memory, where there is such a place: a kill leaves its pages with the kernel whatever the disk, and syncs cost nothing. */
  newFastFolder(): string;
  /** Removes it all. */
  remove(): void;
}

/** Whether power can be cut here: with a C compiler, and where libraries can be preloaded. */
export function canCutPower(): boolean {
  return process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0;
}

const memory = '/dev/shm';

/** Opens a workshop below the `node_modules` of the repository, where programs find `lmdb`. */
export function openWorkshop(root: string): Workshop {
  const cache = join(root, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'sluice-crash-'));
  const sources = join(root, 'test/torture');
  const folders = [folder];
  const newFolder = (below: string) => {
    const made = mkdtempSync(join(below, 'sluice-crash-'));
    folders.push(made);
    return made;
  };
  return {
    async programOf(source) {
      const path = join(folder, basename(source).replace(/\.ts$/, '.mjs'));
      writeFileSync(path, await bundle(source));
      return path;
    },
    async program(canary) {
      const path = join(folder, `program${canary === undefined ? '' : `-${canary}`}.mjs`);
      const standIn = canary === undefined ? {} : { [places[canary]]: join(sources, 'canaries', `${canary}.ts`) };
      writeFileSync(path, await bundle(join(sources, 'crash/program.ts'), { standIn }));
      return path;
    },
    async powercut() {
      const path = join(folder, 'powercut.so');
      const args = ['-shared', '-fPIC', '-O2', '-Wall', '-Wextra', '-Werror'];
      await promisify(execFile)('cc', [...args, '-o', path, join(sources, 'crash/powercut.c'), '-ldl', '-lpthread']);
      return path;
    },
    newFolder: () => newFolder(folder),
    newFastFolder: () => newFolder(existsSync(memory) ? memory : folder),
    remove() {
      for (const made of folders) rmSync(made, { recursive: true, force: true });
    },
  };
}
