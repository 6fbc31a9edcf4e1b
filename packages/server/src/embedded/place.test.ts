/** Where the embedded PostgreSQL lives and as whom it runs. */

import { cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { choosePlace, unprivilegedAccount } from './place.js';

const root = 'root:x:0:0:root:/root:/bin/bash';
const nobody = 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin';
const postgres = 'postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash';

describe('unprivilegedAccount', () => {
  test('is postgres where that user exists, else nobody', () => {
    expect(unprivilegedAccount([root, nobody, postgres].join('\n'))).toEqual({ name: 'postgres', uid: 101, gid: 104 });
    expect(unprivilegedAccount([root, nobody].join('\n'))).toEqual({ name: 'nobody', uid: 65534, gid: 65534 });
  });

  test('says what to do where there is neither, or only with the rights of root', () => {
    for (const passwd of ['', root, `${root}\npostgres:x:0:0::/:/bin/sh`]) {
      expect(() => unprivilegedAccount(passwd)).toThrow(expect.objectContaining({ code: 'POSTGRES_UNSUPPORTED' }));
    }
  });
});

describe('choosePlace', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-place-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test.skipIf(process.getuid?.() === 0)('an ordinary user has everything in the data folder', async () => {
    const place = await choosePlace('/data', folder);
    expect(place).toMatchObject({ account: undefined, home: '/data', programsHome: '/data', cluster: '/data/postgres' });
  });

  test.skipIf(process.getuid?.() !== 0)(
    'root has a folder for each data folder, which follows it when it is moved, and is a new one when it was removed',
    async () => {
      const [data, other, moved, system] = ['data', 'other', 'moved', 'system'].map((name) => join(folder, name)) as [
        string,
        string,
        string,
        string,
      ];
      await mkdir(data);
      await mkdir(other);
      const one = await choosePlace(data, system);
      expect(await choosePlace(data, system)).toEqual(one);
      expect(one.account?.uid).toBeGreaterThan(0);
      expect(one.home.startsWith(system)).toBe(true);
      expect((await choosePlace(other, system)).home).not.toBe(one.home);
      await rename(data, moved);
      expect((await choosePlace(moved, system)).home).toBe(one.home);
      await mkdir(data);
      expect((await choosePlace(data, system)).home).not.toBe(one.home);
    },
  );

  test.skipIf(process.getuid?.() !== 0)(
    'a copy of a data folder does not get the database of the original, and is told how to get its own',
    async () => {
      const [data, copy, system] = ['data', 'copy', 'system'].map((name) => join(folder, name)) as [string, string, string];
      await mkdir(data);
      const one = await choosePlace(data, system);
      await cp(data, copy, { recursive: true });
      await expect(choosePlace(copy, system)).rejects.toThrow(
        expect.objectContaining({ code: 'POSTGRES_FILES', message: expect.stringContaining('is a copy of') }),
      );
      await rm(join(copy, 'postgres.id'));
      expect((await choosePlace(copy, system)).home).not.toBe(one.home);
    },
  );

  test.skipIf(process.getuid?.() !== 0)('where the system folder cannot be made, it says why it is needed', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await expect(choosePlace(folder, file)).rejects.toThrow(
      expect.objectContaining({
        code: 'POSTGRES_FILES',
        message: expect.stringMatching(/refuses to run as root; run as an ordinary user, or set DATABASE_URL/),
      }),
    );
  });
});
