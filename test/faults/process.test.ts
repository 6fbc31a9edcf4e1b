/** One process after the other on one store, two at once, and one that may not write as much as it wants. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { systemEnv } from '../../packages/sluice/src/env/system.js';
import { openLmdbLog } from '../../packages/sluice/src/lmdb/lmdb-log.js';
import { openLmdbReader } from '../../packages/sluice/src/lmdb/reader.js';
import { useWorkshop } from '../torture/crash/use-workshop.js';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const all = { maxItems: 1_000_000, maxBytes: 1 << 30 };

describe('processes on one store', () => {
  const world = useWorkshop(async (workshop) => ({
    limited: await workshop.programOf(here('limit.program.ts')),
    holder: await workshop.programOf(here('hold.program.ts')),
  }));

  /** A process that has the store open. */
  async function hold(path: string, how: 'write' | 'read'): Promise<ChildProcess> {
    const child = spawn(process.execPath, [world.built.holder, path, how], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout!, 'data');
    return child;
  }

  async function kill(child: ChildProcess): Promise<void> {
    child.kill('SIGKILL');
    await once(child, 'close');
  }

  it('the second one is refused by a sentence that names the first, may read, and takes over when the first was killed', async () => {
    const path = join(world.workshop.newFolder(), 'log');
    const child = await hold(path, 'write');
    try {
      expect(() => openLmdbLog({ path })).toThrowError(
        expect.objectContaining({
          code: 'LOG_IN_USE',
          class: 'blocked',
          message: expect.stringContaining(`process ${child.pid}`),
        }),
      );
      const reader = openLmdbReader({ path });
      expect((await reader.read('s', 0, 0, all)).map(({ id }) => id)).toEqual(['a']);
      expect((await reader.verify()).problems).toEqual([]);
      await reader.close();
    } finally {
      await kill(child);
    }
    const log = openLmdbLog({ path });
    await log.append('s', [{ id: 'b', tenant: '_', time: null, receivedAt: 1, payload: Buffer.of() }]);
    await log.close();
  });

  it('a reader that was killed keeps no page of the file for itself', async () => {
    const path = join(world.workshop.newFolder(), 'log');
    const system = systemEnv();
    let aheadMs = 0;
    const log = openLmdbLog({ path, env: { ...system, clock: { ...system.clock, now: () => system.clock.now() + aheadMs } } });
    const event = (id: string) => ({ id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(200_000, id) });
    await log.createGroup('g', 's');
    const owner = await log.claim('g', 's', 0);
    /** As much again and again: what was settled makes room for what comes. */
    const work = async (from: number, rounds: number) => {
      for (let n = from; n < from + rounds; n++) {
        await log.append('s', [event(`e${n}`)]);
        const delivered = [{ first: n, last: n }];
        await log.settle(owner, { position: { cursor: n + 1, settledAbove: [] }, delivered });
      }
      return log.facets.disk!.fileBytes();
    };
    const before = await work(0, 20);
    await kill(await hold(path, 'read'));
    aheadMs += 60_000;
    expect(await work(20, 40)).toBeLessThan(before + 2_000_000);
    await log.close();
  });

  it.skipIf(process.platform === 'win32')('stops when its file may not grow, and keeps what was durable', async () => {
    const path = join(world.workshop.newFolder(), 'log');
    // A limit on the size of files stands for a disk that writes half a page. In blocks of 512 or 1,024 bytes, as the shell likes.
    const args = ['-c', 'ulimit -f 4000; exec "$0" "$@"', process.execPath, world.built.limited, path, 'fill'];
    const { code, printed } = await ended(spawn('/bin/sh', args, { stdio: ['ignore', 'pipe', 'ignore'] }));
    expect(code).toBe(0);
    const report = JSON.parse(printed) as { durable: number; readable: number };
    expect(report).toMatchObject({ codes: ['LOG_STOPPED unknown', 'LOG_STOPPED rejected'], offered: 'closed', memoryOnly: 0 });
    expect(report.readable).toBe(report.durable);
    const log = openLmdbLog({ path });
    expect((await log.read('s', 0, 0, all)).length).toBe(report.durable);
    await log.append('s', [{ id: 'after', tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(100_000) }]);
    await log.close();
  });

  it('a program ends by itself once its log is closed', async () => {
    const args = [world.built.limited, join(world.workshop.newFolder(), 'log'), 'close'];
    expect((await ended(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] }))).code).toBe(0);
  });
});

function ended(child: ChildProcess): Promise<{ code: number | null; printed: string }> {
  let printed = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, printed }));
  });
}
