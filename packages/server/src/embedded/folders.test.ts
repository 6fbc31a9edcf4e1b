/** Folders that appear whole or not at all. */

import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { publishFolder, removeAbandoned, temporaryName } from './folders.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-folders-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('of many who make the same folder one wins, its folder is whole, and nothing else is left', async () => {
  const target = join(folder, 'made');
  const makers = ['a', 'b', 'c', 'd'].map(async (name) => {
    const mine = temporaryName(target);
    await mkdir(mine);
    for (const file of ['1', '2', '3']) await writeFile(join(mine, file), name);
    await publishFolder(mine, target);
  });
  await Promise.all(makers);
  expect(await readdir(folder)).toEqual(['made']);
  const contents = await Promise.all(['1', '2', '3'].map((file) => readFile(join(target, file), 'utf8')));
  expect(new Set(contents).size).toBe(1);
});

test('removes what a dead process left long ago, and nothing else', async () => {
  const target = join(folder, 'made');
  const dead = 2 ** 31 - 1;
  const names = [
    `made.making-${dead}-old`,
    `made.making-${dead}-new`,
    `made.making-${process.pid}-old`,
    `other.making-${dead}-old`,
    'made',
  ];
  for (const name of names) {
    await mkdir(join(folder, name));
    if (name.endsWith('old')) await utimes(join(folder, name), 0, 0);
  }
  await removeAbandoned(target);
  expect((await readdir(folder)).sort()).toEqual(names.slice(1).sort());
});
