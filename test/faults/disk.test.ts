import { chmodSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openLmdbLog } from '../../packages/sluice/src/lmdb/lmdb-log.js';
import { openLmdbReader } from '../../packages/sluice/src/lmdb/reader.js';
import type { Log } from '../../packages/sluice/src/log/log.js';
import { maxInFlightRanges } from '../../packages/sluice/src/log/position.js';
import { canMount, mountSmallDisk } from './small-disk.js';

const skip = !canMount && process.env.SLUICE_REQUIRE_TOOLS !== '1';
const all = { maxItems: 1_000_000, maxBytes: 1 << 30 };
const event = (id: string, bytes = 20_000) => ({ id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(bytes, id) });

function disk(megabytes: number) {
  const mounted = mountSmallDisk(megabytes);
  onTestFinished(() => mounted.remove());
  return mounted;
}

/** Writes until the disk takes nothing more. */
function fillUp(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (;;) writeSync(file, Buffer.alloc(4_096));
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  } finally {
    closeSync(file);
  }
}

/** Appends until it is refused; resolves with how many were durable and what the last one failed with. */
async function fill(log: Log): Promise<{ durable: number; refusal: { code: string; class: string } }> {
  for (let durable = 0; ; durable++) {
    try {
      await log.append('s', [event(`e${durable}`)]);
    } catch (error) {
      return { durable, refusal: error as { code: string; class: string } };
    }
  }
}

describe.skipIf(skip)('a full disk: needs root, to mount a small one', () => {
  it('refuses appends, can still be read, keeps what was durable, and goes on when there is room again', async () => {
    const { path } = disk(8);
    // Something else that can be removed later.
    writeFileSync(join(path, 'other'), Buffer.alloc(3 << 20));
    const log = openLmdbLog({ path: join(path, 'log'), reserveBytes: 0 });
    const { durable, refusal } = await fill(log);
    expect(durable).toBeGreaterThan(20);
    expect(refusal).toMatchObject({ code: 'LOG_FULL', class: 'rejected' });
    expect((await log.read('s', 0, 0, all)).length).toBe(durable);
    rmSync(join(path, 'other'));
    await log.append('s', [event('after')]);
    expect((await log.read('s', 0, 0, all)).map(({ id }) => id).at(-1)).toBe('after');
    await log.close();
    const reader = openLmdbReader({ path: join(path, 'log') });
    expect((await reader.verify()).problems).toEqual([]);
    await reader.close();
  });

  it('keeps reserveBytes free, so that groups and dead letters still move, and frees its space with them', async () => {
    const { path } = disk(12);
    const log = openLmdbLog({ path, reserveBytes: 4 << 20 });
    await log.createGroup('g', 's');
    const { durable, refusal } = await fill(log);
    expect(refusal).toMatchObject({ code: 'LOG_FULL', class: 'rejected' });
    expect(log.offer('s', [event('offered')])).toBe('full');
    const owner = await log.claim('g', 's', 0);
    const [record] = await log.read('s', 0, 0, { maxItems: 1, maxBytes: 1 });
    const failure = { code: 'REFUSED', class: 'permanent', message: 'no' } as const;
    const letter = { ...failure, record: record!, attempts: 1, timeouts: 0, crashes: 0, firstFailedAt: 1, lastFailedAt: 1 };
    await log.settle(owner, { position: { cursor: 1, settledAbove: [] }, dead: [{ ...letter, tries: [{ ...failure, at: 1 }] }] });
    expect(log.letters.items).toBe(1);
    for (let cursor = 2; cursor <= durable; cursor += 50) {
      const delivered = [{ first: cursor - 1, last: Math.min(cursor + 49, durable) - 1 }];
      await log.settle(owner, { position: { cursor: delivered[0]!.last + 1, settledAbove: [] }, delivered });
    }
    expect((await log.streams())[0]).toMatchObject({ firstOffset: durable, nextOffset: durable });
    await log.close();
  });

  it('R-169: keeps room for the marks of what is in flight, by which a crash is counted', async () => {
    const { path } = disk(12);
    const log = openLmdbLog({ path, reserveBytes: 4 << 20 });
    await log.createGroup('g', 's');
    const { refusal } = await fill(log);
    expect(refusal).toMatchObject({ code: 'LOG_FULL' });
    // As many as there may be: two whole slots.
    const ranges = Array.from({ length: maxInFlightRanges }, (_, i) => ({ first: 2 * i, last: 2 * i }));
    const owner = await log.claim('g', 's', 0);
    await log.inFlight(owner, ranges);
    await log.inFlight(owner, [{ first: 2, last: 4 }]);
    await log.inFlight(owner, [{ first: 3, last: 5 }]);
    // Closed without a release, as by a crash.
    await log.close();
    const again = openLmdbLog({ path, reserveBytes: 4 << 20 });
    expect((await again.claim('g', 's', 0)).suspects).toEqual([{ first: 3, last: 5, crashes: 1 }]);
    await again.close();
  });

  it('a disk without a byte left: what is in flight goes on unmarked, and is marked again when there is room', async () => {
    const { path } = disk(8);
    const log = openLmdbLog({ path: join(path, 'log'), reserveBytes: 0 });
    await log.createGroup('g', 's');
    await log.append('s', [event('a', 100), event('b', 100)]);
    const owner = await log.claim('g', 's', 0);
    fillUp(join(path, 'other'));
    await log.inFlight(owner, [{ first: 0, last: 0 }]);
    rmSync(join(path, 'other'));
    await log.inFlight(owner, [{ first: 1, last: 1 }]);
    fillUp(join(path, 'other'));
    // The slot is there already, its place on the disk too.
    await log.inFlight(owner, [{ first: 0, last: 1 }]);
    rmSync(join(path, 'other'));
    await log.close();
    const again = openLmdbLog({ path: join(path, 'log'), reserveBytes: 0 });
    expect((await again.claim('g', 's', 0)).suspects).toEqual([{ first: 0, last: 1, crashes: 1 }]);
    await again.close();
  });

  it('flushed never resolves while what was offered before it is in memory alone', async () => {
    const { path } = disk(6);
    const log = openLmdbLog({ path: join(path, 'log'), reserveBytes: 0 });
    await log.append('s', [event('a', 100)]);
    writeFileSync(join(path, 'other'), Buffer.alloc((5 << 20) + (512 << 10)));
    expect(log.offer('s', [event('b', 800_000)])).toBe('accepted');
    const told: Promise<unknown>[] = [];
    // Before the group of the offer is cut, while it is committed, and after that has failed.
    for (let turn = 0; turn < 40; turn++) {
      const nextOffset = async () => (await log.streams())[0]!.nextOffset;
      told.push(log.flushed().then(nextOffset, (error) => error.code));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    // Room that comes while a write is under way makes a half-written page look like a broken disk.
    expect([...new Set(await Promise.all(told))]).toEqual(['LOG_FULL']);
    rmSync(join(path, 'other'));
    await log.flushed();
    expect((await log.streams())[0]!.nextOffset).toBe(2);
    await log.close();
  });

  it('R-190: writes what was offered beside a refused append byte for byte, and takes the refused id again as a new one', async () => {
    const { path } = disk(6);
    const log = openLmdbLog({ path: join(path, 'log'), reserveBytes: 0 });
    await log.append('s', [event('a', 100)]);
    writeFileSync(join(path, 'other'), Buffer.alloc((5 << 20) + (512 << 10)));
    const offered = Array.from({ length: 20 }, (_, i) => event(`offered-${i}`, 100 + i));
    const refused = offered.map((each, i) => {
      expect(log.offer('s', [each])).toBe('accepted');
      return log.append('s', [event(`beside-${i}`, 150)]).catch((error) => error.code);
    });
    refused.push(log.append('s', [event('large', 800_000)]).catch((error) => error.code));
    expect(await Promise.all(refused)).toEqual(refused.map(() => 'LOG_FULL'));
    expect(log.memoryOnly).toBe(20);
    rmSync(join(path, 'other'));
    const again = [event('large', 800_000), event('beside-3', 150)];
    const duplicates = async () => (await log.append('s', again)).appended.map(({ duplicate }) => duplicate);
    expect(await duplicates()).toEqual([false, false]);
    expect(await duplicates()).toEqual([true, true]);
    await log.flushed();
    expect(log.memoryOnly).toBe(0);
    const records = (await log.read('s', 0, 0, all)).filter(({ id }) => id.startsWith('offered'));
    const bytes = (events: readonly { id: string; payload: Uint8Array }[]) =>
      events.map((each) => [each.id, Buffer.from(each.payload).toString()]);
    expect(bytes(records)).toEqual(bytes(offered));
    await log.close();
  });

  it('says so when the disk is full before there is a store', async () => {
    const { path } = disk(1);
    writeFileSync(join(path, 'other'), Buffer.alloc((1 << 20) - 8_192));
    expect(() => openLmdbLog({ path: join(path, 'log') })).toThrowError(
      expect.objectContaining({ code: 'LOG_UNWRITABLE', message: expect.stringContaining(join(path, 'log')) }),
    );
  });
});

describe('a folder that cannot be written to', () => {
  it.skipIf(skip)(
    'on a read-only file system: refused for writing, readable all the same (needs root, to mount one)',
    async () => {
      const mounted = disk(8);
      const log = openLmdbLog({ path: mounted.path, reserveBytes: 0 });
      await log.append('s', [event('a')]);
      await log.close();
      mounted.makeReadOnly();
      expect(() => openLmdbLog({ path: mounted.path })).toThrowError(
        expect.objectContaining({ code: 'LOG_UNWRITABLE', class: 'blocked', message: expect.stringContaining(mounted.path) }),
      );
      const reader = openLmdbReader({ path: mounted.path });
      expect((await reader.read('s', 0, 0, all)).map(({ id }) => id)).toEqual(['a']);
      await reader.close();
    },
  );

  it.skipIf(process.getuid?.() === 0)('by its permissions (not as root, who may do all)', async () => {
    const path = mkdtempSync(join(tmpdir(), 'sluice-ro-'));
    onTestFinished(() => {
      chmodSync(path, 0o700);
      rmSync(path, { recursive: true });
    });
    chmodSync(path, 0o500);
    expect(() => openLmdbLog({ path })).toThrowError(expect.objectContaining({ code: 'LOG_UNWRITABLE', class: 'blocked' }));
  });

  it('says so where marks cannot be written: the call does not begin, and waits', async () => {
    const path = mkdtempSync(join(tmpdir(), 'sluice-marks-'));
    onTestFinished(() => rmSync(path, { recursive: true }));
    writeFileSync(join(path, 'in-flight'), 'not a folder');
    const log = openLmdbLog({ path, reserveBytes: 0 });
    await log.append('s', [event('a', 10)]);
    const owner = await log.claim('g', 's', 0);
    await expect(log.inFlight(owner, [{ first: 0, last: 0 }])).rejects.toMatchObject({
      code: 'LOG_UNWRITABLE',
      class: 'blocked',
    });
    await log.close();
  });

  it('leaves nothing behind where there was no store to read', () => {
    const path = mkdtempSync(join(tmpdir(), 'sluice-none-'));
    onTestFinished(() => rmSync(path, { recursive: true }));
    mkdirSync(join(path, 'log'));
    expect(() => openLmdbReader({ path: join(path, 'log') })).toThrowError(expect.objectContaining({ code: 'LOG_CORRUPT' }));
    expect(existsSync(join(path, 'log', 'data.mdb'))).toBe(false);
  });
});
