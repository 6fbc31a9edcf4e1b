/** A minute in the life of a service; `npm run soak` is ten. Needs the build. */

import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { soak } from './soak.js';

const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000);

it(`R-122: keeps what it acknowledged through sinks that stop, a full disk, clients that vanish, reloads, SIGTERM and kill -9 (SLUICE_SEED=${seed})`, async () => {
  const told: string[] = [];
  const report = await soak({
    root: fileURLToPath(new URL('../../', import.meta.url)),
    seed,
    seconds: 40,
    tell: (line) => told.push(line),
  });
  expect(report.problems, told.join('\n')).toEqual([]);
  expect(report.acknowledged).toBeGreaterThan(1_000);
  expect(report.scrapes).toBeGreaterThan(10);
  expect(report.faults.size).toBeGreaterThanOrEqual(8);
}, 240_000);
