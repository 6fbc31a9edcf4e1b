import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openLmdbLog } from './lmdb-log.js';

function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-new-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** More than any system gives. */
const noPid = 2 ** 30;

const nobody = 65_534;

describe('a new store', () => {
  it('begins anew where a process died before its store had a name', async () => {
    const path = newFolder();
    mkdirSync(join(path, `new-${noPid}-abc`));
    writeFileSync(join(path, `new-${noPid}-abc`, 'data.mdb'), 'half of it');
    await openLmdbLog({ path }).close();
    expect(readdirSync(path).filter((name) => name.startsWith('new-'))).toEqual([]);
    expect(existsSync(join(path, 'data.mdb'))).toBe(true);
  });

  it('leaves alone what another process is making, and what is not its own', async () => {
    const path = newFolder();
    for (const name of [`new-${process.ppid}-abc`, 'new-things']) mkdirSync(join(path, name));
    await openLmdbLog({ path }).close();
    expect(readdirSync(path)).toEqual(expect.arrayContaining([`new-${process.ppid}-abc`, 'new-things']));
  });

  it('opens below a folder that may be passed through and not be read', async () => {
    const parent = newFolder();
    mkdirSync(join(parent, 'store'));
    const setUser = process.getuid?.() === 0 ? process.seteuid : undefined;
    if (setUser !== undefined) chownSync(join(parent, 'store'), nobody, nobody);
    chmodSync(parent, 0o311);
    setUser?.(nobody);
    try {
      for (let start = 0; start < 2; start++) await openLmdbLog({ path: join(parent, 'store') }).close();
    } finally {
      setUser?.(0);
      chmodSync(parent, 0o700);
    }
  });

  it('is never begun in place of one that has become empty: that is refused', () => {
    const path = newFolder();
    writeFileSync(join(path, 'data.mdb'), '');
    expect(() => openLmdbLog({ path })).toThrowError(
      expect.objectContaining({ code: 'LOG_CORRUPT', message: expect.stringContaining('is empty') }),
    );
  });
});
