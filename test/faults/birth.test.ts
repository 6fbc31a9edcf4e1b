/** A power cut while a store is made: at each write, sync and link, with a library that keeps what a disk would have kept. */

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openLmdbLog } from '../../packages/sluice/src/lmdb/lmdb-log.js';
import { skipPowerCuts, useWorkshop } from '../torture/crash/use-workshop.js';
import { drawFrom } from '../torture/draw.js';
import { runToEnd } from './run-to-end.js';

const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000);
/** More than there are until the first event is durable. SLUICE_CUTS=100 cuts at each of them. */
const steps = 80;
const cuts = Number(process.env.SLUICE_CUTS ?? 6);

describe.skipIf(skipPowerCuts)(`a power cut while a store is made: needs cc, on Linux (SLUICE_SEED=${seed})`, () => {
  const world = useWorkshop(async (workshop) => ({
    program: await workshop.programOf(fileURLToPath(new URL('birth.program.ts', import.meta.url))),
    powercut: await workshop.powercut(),
  }));

  it('R-131: leaves nothing, or a store that opens, and never without what was durable', { timeout: 600_000 }, async () => {
    const draw = drawFrom(seed);
    expect(await cutAt(0, 1)).toEqual({ isDurable: true, ids: ['first'] });
    // The first ones lay the ground for all that follows.
    const early = [1, 2, 2, 2, 3];
    const moments =
      cuts < steps ? Array.from({ length: cuts }, () => draw.int(1, steps)) : Array.from({ length: steps }, (_, i) => i + 1);
    for (const at of [...early, ...moments]) {
      const { isDurable, ids } = await cutAt(at, draw.int(1, 1_000_000));
      expect(isDurable ? ids : [], `cut at ${at}`).toEqual(isDurable ? ['first'] : []);
    }
  });

  /** Cuts the power at this step, and says what a log then finds on the disk. */
  async function cutAt(at: number, seedOfCut: number) {
    const folder = world.workshop.newFolder();
    const [store, disk, after] = [join(folder, 'store'), join(folder, 'disk'), join(folder, 'after')];
    mkdirSync(disk);
    mkdirSync(after);
    const env = {
      ...{ LD_PRELOAD: world.built.powercut, POWERCUT_STORE: store, POWERCUT_DISK: disk },
      ...{ POWERCUT_SEED: String(seedOfCut), POWERCUT_AT: String(at) },
    };
    const { printed } = await runToEnd(world.built.program, [store], { ...process.env, ...env });
    const kept = join(disk, 'data.mdb');
    if (existsSync(kept)) await cp(kept, join(after, 'data.mdb'));
    const log = openLmdbLog({ path: after, reserveBytes: 0 });
    const ids = (await log.read('s', 0, 0, { maxItems: 10, maxBytes: 1_000 })).map(({ id }) => id);
    await log.append('s', [{ id: 'next', tenant: '_', time: null, receivedAt: 1, payload: Buffer.of(1) }]);
    await log.close();
    expect(readdirSync(after).filter((name) => name.startsWith('new-'))).toEqual([]);
    return { isDurable: printed === 'durable', ids };
  }
});
