import { mkdtemp, rm, writeFile } from 'node:fs/promises';
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

  test.skipIf(process.getuid?.() !== 0)('root has a folder for each data folder, always the same', async () => {
    const [one, again, other] = [
      await choosePlace('/data', folder),
      await choosePlace('/data', folder),
      await choosePlace('/other', folder),
    ];
    expect(one).toEqual(again);
    expect(one.home).not.toBe(other.home);
    expect(one.home.startsWith(folder)).toBe(true);
    expect(one.account?.uid).toBeGreaterThan(0);
  });

  test.skipIf(process.getuid?.() !== 0)('where the system folder cannot be made, it says why it is needed', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await expect(choosePlace('/data', file)).rejects.toThrow(
      expect.objectContaining({
        code: 'POSTGRES_FILES',
        message: expect.stringMatching(/refuses to run as root; run as an ordinary user, or set DATABASE_URL/),
      }),
    );
  });
});
