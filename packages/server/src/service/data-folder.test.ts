/** Tests of who may hold a data folder. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { takeDataFolder } from './data-folder.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-folder-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('takeDataFolder', () => {
  it('makes the folder, for this user alone, and lets the next have it once it is released', async () => {
    const path = join(folder, 'a', 'b');
    const first = await takeDataFolder(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    first.release();
    (await takeDataFolder(path)).release();
  });

  it.runIf(process.platform === 'linux')(
    'says that no folder can be made where there is none to make, in place of trying for ever',
    async () => {
      await expect(takeDataFolder('/proc/sluice/data')).rejects.toMatchObject({
        code: 'DATA_FOLDER_UNWRITABLE',
        message: expect.stringContaining('no folder can be made there'),
      });
    },
  );

  it.runIf(process.platform === 'linux')(
    'gives it to one of many that ask at once, even over the lock of a process that is gone',
    async () => {
      const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
      await once(child, 'close');
      writeFileSync(join(folder, 'sluice.lock'), JSON.stringify({ pid: child.pid, startedAt: '1' }));
      const asked = await Promise.allSettled(Array.from({ length: 20 }, () => takeDataFolder(folder)));
      const given = asked.filter((one) => one.status === 'fulfilled');
      expect(given).toHaveLength(1);
      for (const one of asked) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
      given[0]!.value.release();
    },
  );

  it('is not held by a file that is empty, garbage, or names a process of another start', async () => {
    for (const text of ['', '{', '{"pid":-1}', JSON.stringify({ pid: process.ppid, startedAt: 'another' })]) {
      writeFileSync(join(folder, 'sluice.lock'), text);
      (await takeDataFolder(folder)).release();
    }
  });

  it('says in one sentence when it cannot be used', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(takeDataFolder(join(folder, 'file', 'data'))).rejects.toMatchObject({
      code: 'DATA_FOLDER_UNWRITABLE',
      message: expect.stringMatching(/there is a file in its place; choose another with --data DIR/),
    });
  });
});
