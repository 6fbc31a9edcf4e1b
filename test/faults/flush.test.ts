/** A disk that fails its flush, or never ends it: real lmdb over a library that makes the syncs of its file fail. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openLmdbLog } from '../../packages/sluice/src/lmdb/lmdb-log.js';
import { skipPowerCuts, useWorkshop } from '../torture/crash/use-workshop.js';
import { runToEnd } from './run-to-end.js';

describe.skipIf(skipPowerCuts)('a flush that goes wrong: needs cc, on Linux', () => {
  const world = useWorkshop(async (workshop) => ({
    program: await workshop.programOf(fileURLToPath(new URL('flush.program.ts', import.meta.url))),
    powercut: await workshop.powercut(),
  }));

  it.each([
    ['fails', 'eio:40', 30_000, /^LOG_STOPPED unknown: writing to .*(i\/o|input\/output|EIO|commit)/i],
    ['never ends', 'hang:40', 500, /^LOG_STOPPED unknown: a write to .* was not on disk after 500 ms/],
  ])(
    'a flush that %s fails the appends that it covered, stops the log, and leaves what was durable',
    async (_, fault, flushTimeoutMs, said) => {
      const folder = world.workshop.newFolder();
      const [store, disk] = [join(folder, 'store'), join(folder, 'disk')];
      mkdirSync(disk);
      const env = {
        ...process.env,
        LD_PRELOAD: world.built.powercut,
        POWERCUT_STORE: store,
        POWERCUT_DISK: disk,
        POWERCUT_FAULT: fault,
      };
      const { printed } = await runToEnd(world.built.program, [store, String(flushTimeoutMs)], env);
      const told = JSON.parse(printed) as { durable: number; failures: string[]; readable: number };
      expect(told).toMatchObject({
        offered: 'closed',
        stopped: 'LOG_STOPPED',
        failures: [expect.stringMatching(said), expect.stringMatching(/^LOG_STOPPED rejected: /)],
      });
      expect(told.durable).toBeGreaterThan(0);
      expect(told.readable).toBeGreaterThanOrEqual(told.durable);
      // The disk works again.
      const log = openLmdbLog({ path: store });
      const records = await log.read('s', 0, 0, { maxItems: 100_000, maxBytes: 1 << 30 });
      expect(records.length).toBeGreaterThanOrEqual(told.durable);
      expect(records.slice(0, told.durable).map(({ id }) => id)).toEqual(Array.from({ length: told.durable }, (_, n) => `e${n}`));
      await log.append('s', [{ id: 'after', tenant: '_', time: null, receivedAt: 1, payload: Buffer.of() }]);
      await log.close();
    },
  );
});
