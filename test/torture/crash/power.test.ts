import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canCutPower, openWorkshop, type Workshop } from './build.js';
import { crashAgain } from './lives.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const cuts = 12;
const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000);
/** So many crashes at most until a planted bug shows; mostly three are enough. */
const patience = 200;

// A missing compiler fails the tests where tools are required, and skips them elsewhere.
const skip = !canCutPower() && process.env.SLUICE_REQUIRE_TOOLS !== '1';

describe.skipIf(skip)(`power cuts at random moments: needs cc, on Linux (SLUICE_SEED=${seed})`, () => {
  let workshop: Workshop;
  let program: string;
  let powercut: string;

  beforeAll(async () => {
    workshop = openWorkshop(root);
    program = await workshop.program();
    powercut = await workshop.powercut();
  });

  afterAll(() => workshop.remove());

  it(`R-131: ${cuts} power cuts lose nothing that was durable`, { timeout: 600_000 }, async () => {
    const report = await crashAgain({ program, folder: workshop.newFolder(), seed, crashes: cuts, powercut, mostReports: 80 });
    expect(report.broken).toEqual([]);
    expect(report.crashes).toBe(cuts);
    expect(report.counts.appended, JSON.stringify(report.counts)).toBeGreaterThan(0);
  });

  it('see a log that acknowledges before it flushes (canary)', { timeout: 600_000 }, async () => {
    const planted = await workshop.program('before-flush');
    const report = await crashAgain({
      program: planted,
      folder: workshop.newFolder(),
      seed,
      crashes: patience,
      powercut,
    });
    expect(report.broken).not.toEqual([]);
  });

  it('and kills alone do not see it: their pages stay with the kernel', { timeout: 600_000 }, async () => {
    const planted = await workshop.program('before-flush');
    const report = await crashAgain({ program: planted, folder: workshop.newFolder(), seed, crashes: 5 });
    expect(report.broken).toEqual([]);
  });
});
