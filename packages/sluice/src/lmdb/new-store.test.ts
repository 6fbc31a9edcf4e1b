import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
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

  it('is never begun in place of one that has become empty: that is refused', () => {
    const path = newFolder();
    writeFileSync(join(path, 'data.mdb'), '');
    expect(() => openLmdbLog({ path })).toThrowError(
      expect.objectContaining({ code: 'LOG_CORRUPT', message: expect.stringContaining('is empty') }),
    );
  });
});
