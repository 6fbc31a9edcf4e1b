import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SluiceEvent } from '../core/event.js';
import { systemEnv } from '../env/system.js';
import type { DamagedRecords } from '../log/damage.js';
import type { Log } from '../log/log.js';
import type { GroupPosition } from '../log/position.js';
import type { NewEvent } from '../log/record.js';
import { exerciseLog } from '../testing/exercise-log.js';
import { testEnv } from '../testing/test-env.js';
import { type LmdbLogOptions, openLmdbLog } from './lmdb-log.js';

exerciseLog(
  'the log over LMDB',
  async (options) => {
    const path = await mkdtemp(join(tmpdir(), 'sluice-log-'));
    let log = openLmdbLog({ path, ...options });
    return {
      log,
      async reopen() {
        await log.close();
        log = openLmdbLog({ path, ...options });
        return log;
      },
      async dispose() {
        await log.close();
        await rm(path, { recursive: true, force: true });
      },
    };
  },
  { describe, it, expect },
);

describe('the log over LMDB, on disk', () => {
  let path: string;
  const opened: { close(): Promise<void> }[] = [];

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'sluice-log-'));
  });

  afterEach(async () => {
    for (const log of opened.splice(0)) await log.close();
    await rm(path, { recursive: true, force: true });
  });

  function openLog(options: Partial<LmdbLogOptions> = {}) {
    const log = openLmdbLog({ path, ...options });
    opened.push(log);
    return log;
  }

  /** Looks into the trees, with the log closed. */
  async function inTree<T>(tree: string, look: (db: ReturnType<typeof treeOf>) => T): Promise<T> {
    const root = open({ path, noSubdir: false, encoding: 'binary', keyEncoding: 'binary', overlappingSync: false });
    const result = look(treeOf(root, tree));
    await root.close();
    return result;
  }

  function treeOf(root: ReturnType<typeof open>, name: string) {
    return root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' });
  }

  it('splits a large append into chunks and reads it back in pieces, across a restart', async () => {
    const events = many('e', 9_000, 200);
    const log = openLog();
    const { appended } = await log.append('s', events);
    expect(appended.map((a) => a.offset)).toEqual(events.map((_, offset) => offset));
    await log.close();
    expect(await inTree('chunks', (db) => db.getCount())).toBeGreaterThan(5);
    const again = openLog();
    const ids: string[] = [];
    for (;;) {
      const records = await again.read('s', 0, ids.length, { maxItems: 700, maxBytes: 1 << 20 });
      if (records.length === 0) break;
      ids.push(...records.map((record) => record.id));
    }
    expect(ids).toEqual(events.map((event) => event.id));
  });

  it('takes an event larger than a chunk', async () => {
    const payload = Buffer.alloc(3 << 20, 7);
    const log = openLog();
    await log.append('s', [event('small'), { ...event('large'), payload }, event('after')]);
    const records = await log.read('s', 0, 0, { maxItems: 10, maxBytes: 8 << 20 });
    expect(records.map((record) => record.payload.length)).toEqual([
      event('small').payload.length,
      payload.length,
      event('after').payload.length,
    ]);
    expect(payload.equals(records[1]!.payload)).toBe(true);
  });

  it('names stream and offset when a chunk was changed on disk, and still reads what lies before and behind', async () => {
    const log = openLog();
    for (const id of ['a', 'b', 'c']) await log.append('orders', [event(id)]);
    await log.close();
    await inTree('chunks', (db) => {
      const [, key] = [...db.getKeys({})];
      const chunk = Buffer.from(db.get(key!)!);
      chunk[chunk.length - 1]! ^= 1;
      db.putSync(key!, chunk);
    });
    const again = openLog();
    const bounds = { maxItems: 10, maxBytes: 1 << 20 };
    expect((await again.read('orders', 0, 0, bounds)).map((r) => r.id)).toEqual(['a']);
    await expect(again.read('orders', 0, 1, bounds)).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      message: expect.stringMatching(/"orders".*offset 1 /),
    });
    expect((await again.read('orders', 0, 2, bounds)).map((r) => r.id)).toEqual(['c']);
  });

  it('names the range that is lost with a chunk that is gone, and lets a group go on only once it is given up', async () => {
    const log = openLog();
    for (const id of ['a', 'b', 'c']) await log.append('orders', many(id, 3, 10));
    const claim = await log.claim('g', 'orders', 0);
    await log.close();
    await inTree('chunks', (db) => {
      const [, key] = [...db.getKeys({})];
      db.removeSync(key!);
    });
    const again = openLog();
    const bounds = { maxItems: 10, maxBytes: 1 << 20 };
    expect((await again.read('orders', 0, 0, bounds)).map((r) => r.offset)).toEqual([0, 1, 2]);
    const damage = await again.read('orders', 0, 3, bounds).catch((error: DamagedRecords) => error);
    expect(damage).toMatchObject({ code: 'LOG_CORRUPT', range: { first: 3, last: 5 }, stream: 'orders', partition: 0 });
    expect((await again.lag('g', 'orders'))[0]).toMatchObject({ items: 9 });
    const owner = await again.claim('g', 'orders', 0);
    await again.settle(owner, { position: { cursor: 3, settledAbove: [] } });
    expect(await again.skip(owner, (damage as DamagedRecords).range)).toEqual({ cursor: 6, settledAbove: [] });
    expect((await again.read('orders', 0, 6, bounds)).map((r) => r.offset)).toEqual([6, 7, 8]);
    expect((await again.groups())[0]).toMatchObject({ skipped: 3, expired: 0 });
    expect(claim.epoch).toBeLessThan(owner.epoch);
  });

  it('says where its disk is, and what the file and the disk hold', async () => {
    const { disk } = openLog().facets;
    expect(disk!.path).toBe(path);
    expect(disk!.fileBytes()).toBeGreaterThan(0);
    expect(disk!.freeBytes()).toBeGreaterThan(0);
  });

  it('refuses a store of another format version by a sentence', async () => {
    await openLog().close();
    await inTree('meta', (db) => db.putSync(Buffer.from('format'), Buffer.from([0, 0, 0, 0, 0, 99])));
    expect(() => openLog()).toThrowError(
      expect.objectContaining({ code: 'LOG_VERSION', message: expect.stringContaining('version 99') }),
    );
  });

  it('says which folder it cannot write to', async () => {
    const file = join(path, 'file');
    await writeFile(file, '');
    expect(() => openLmdbLog({ path: join(file, 'log') })).toThrowError(
      expect.objectContaining({ code: 'LOG_UNWRITABLE', message: expect.stringContaining(join(file, 'log')) }),
    );
  });

  it('refuses a file that is no store', async () => {
    await mkdir(join(path, 'junk'));
    await writeFile(join(path, 'junk', 'data.mdb'), Buffer.alloc(16_384, 'junk'));
    expect(() => openLmdbLog({ path: join(path, 'junk') })).toThrowError(expect.objectContaining({ code: 'LOG_CORRUPT' }));
  });

  it('refuses options out of range', () => {
    expect(() => openLmdbLog({ path, streamDefaults: { ids: { maxItems: 0 } } })).toThrowError(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });

  it('tells of each group of appends how long the disk took, and does not mind an observer that throws', async () => {
    const told: SluiceEvent[] = [];
    const observe = (observed: SluiceEvent) => {
      told.push(observed);
      throw new Error('an observer that throws');
    };
    const log = openLog({ env: systemEnv({ observe }) });
    await Promise.all([log.append('s', [event('a'), event('b')]), log.append('s', [event('c')])]);
    log.offer('s', [event('d')]);
    await log.flushed();
    const flushes = told.filter((one) => one.type === 'flushed');
    expect(flushes.reduce((sum, { items }) => sum + items, 0)).toBe(4);
    expect(flushes.every(({ durationMs }) => durationMs > 0 && durationMs < 30_000)).toBe(true);
    expect((await log.read('s', 0, 0, { maxItems: 10, maxBytes: 1_000 })).map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('forgets an id at ids.maxAgeMs, not a millisecond earlier', async () => {
    const env = testEnv({ seed: 1 });
    const log = openLog({ env, streamDefaults: { ids: { maxAgeMs: 1_000 } } });
    const isDuplicate = async (id: string) => (await log.append('s', [event(id)])).appended[0]!.duplicate;
    expect(await isDuplicate('a')).toBe(false);
    await env.clock.advance(999);
    expect(await isDuplicate('a')).toBe(true);
    await env.clock.advance(1);
    expect(await isDuplicate('a')).toBe(false);
    expect(await isDuplicate('a')).toBe(true);
  });

  it('agrees with a list of the last ids, over many generations, restarts and tenants', async () => {
    const window = 7;
    let log = openLog({ streamDefaults: { ids: { maxItems: window } } });
    const remembered = new Map<string, string[]>();
    const random = testEnv({ seed: 20_260_101 }).random;
    for (let round = 0; round < 60; round++) {
      if (round % 20 === 19) {
        await log.close();
        log = openLog({ streamDefaults: { ids: { maxItems: window } } });
      }
      const events = Array.from({ length: 1 + Math.floor(random.next() * 6) }, () => {
        return event(`id${Math.floor(random.next() * 12)}`, random.next() < 0.5 ? '_' : 'acme');
      });
      const expected = events.map(({ id, tenant }) => {
        const list = remembered.get(tenant) ?? [];
        remembered.set(tenant, list);
        if (list.includes(id)) return true;
        list.push(id);
        if (list.length > window) list.shift();
        return false;
      });
      expect((await log.append('s', events)).appended.map((a) => a.duplicate)).toEqual(expected);
    }
  });

  it('keeps one window of ids on disk and a few rows more, whatever comes', async () => {
    const log = openLog({ streamDefaults: { ids: { maxItems: 50 } } });
    for (let round = 0; round < 40; round++) await log.append('s', many(`r${round}-`, 25, 1));
    await log.close();
    // Rows of 25.
    expect(await inTree('ids', (db) => db.getCount())).toBeLessThanOrEqual(4);
  });

  it('drops the chunks of a settled backlog a thousand at a time', async () => {
    const log = openLog();
    for (let i = 0; i < 1_200; i++) void log.append('s', [event(`x${i}`)]);
    await log.flushed();
    for (let i = 0; i < 3; i++) await settle(log, { cursor: 1_200, settledAbove: [] });
    expect(await log.streams()).toMatchObject([{ stream: 's', partition: 0, firstOffset: 1_200, nextOffset: 1_200, bytes: 0 }]);
    await log.close();
    expect(await inTree('chunks', (db) => db.getCount())).toBe(0);
  });

  it('fails the appends of a flush that does not end, stops, and still reads', async () => {
    let hangs = false;
    const system = systemEnv();
    // A time-out that has passed at once stands for a disk that hangs.
    const after = (ms: number, fn: () => void) => {
      if (!hangs) return system.clock.after(ms, fn);
      void Promise.resolve().then(fn);
      return () => {};
    };
    const log = openLog({ env: { ...system, clock: { ...system.clock, after } } });
    await log.append('s', [event('before')]);
    const claim = await log.claim('g', 's', 0);
    hangs = true;
    await expect(log.append('s', [event('covered')])).rejects.toMatchObject({ code: 'LOG_STOPPED', class: 'unknown' });
    expect(await log.stopped).toMatchObject({ code: 'LOG_STOPPED' });
    await expect(log.append('s', [event('later')])).rejects.toMatchObject({ code: 'LOG_STOPPED', class: 'rejected' });
    expect(log.offer('s', [event('later')])).toBe('closed');
    await expect(log.settle(claim, { position: { cursor: 1, settledAbove: [] } })).rejects.toMatchObject({ code: 'LOG_STOPPED' });
    expect((await log.read('s', 0, 0, { maxItems: 1, maxBytes: 1 })).map((r) => r.id)).toEqual(['before']);
  });

  it('refuses appends while less than reserveBytes are free, and still moves groups', async () => {
    const before = openLog();
    await before.append('s', [event('a')]);
    await before.close();
    const log = openLog({ reserveBytes: Number.MAX_SAFE_INTEGER });
    await expect(log.append('s', [event('b')])).rejects.toMatchObject({ code: 'LOG_FULL', class: 'rejected' });
    expect(log.offer('s', [event('b')])).toBe('full');
    await settle(log, { cursor: 1, settledAbove: [] });
    expect(await log.position('g', 's', 0)).toEqual({ cursor: 1, settledAbove: [] });
  });

  it('isolates a listener that throws', async () => {
    const env = testEnv({ seed: 1 });
    const log = openLog({ env });
    let woken = 0;
    log.onAppended('s', () => {
      throw new TypeError('mine');
    });
    log.onAppended('s', () => woken++);
    await log.append('s', [event('a')]);
    await log.flushed();
    expect(woken).toBe(1);
    expect(env.eventsOf('callbackError')).toHaveLength(1);
  });
});

async function settle(log: Log, position: GroupPosition): Promise<void> {
  await log.settle(await log.claim('g', 's', 0), { position });
}

function event(id: string, tenant = '_'): NewEvent {
  return { id, tenant, time: null, receivedAt: 1_700_000_000_000, payload: Buffer.from(`{"id":"${id}"}`) };
}

function many(prefix: string, count: number, bytes: number): NewEvent[] {
  return Array.from({ length: count }, (_, i) => ({ ...event(`${prefix}${i}`), payload: Buffer.alloc(bytes, i) }));
}
