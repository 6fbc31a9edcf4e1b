import { describe, expect, it } from 'vitest';
import { crashAgain } from './lives.js';
import { skipPowerCuts, useWorkshop } from './use-workshop.js';

const cuts = 12;
const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000);
/** So many crashes at most until a planted bug shows; mostly three are enough. */
const patience = 200;

describe.skipIf(skipPowerCuts)(`power cuts at random moments: needs cc, on Linux (SLUICE_SEED=${seed})`, () => {
  const world = useWorkshop(async (workshop) => ({ program: await workshop.program(), powercut: await workshop.powercut() }));

  it(`R-131: ${cuts} power cuts lose nothing that was durable`, { timeout: 600_000 }, async () => {
    const report = await crashAgain({ ...world.built, folder: world.workshop.newFolder(), seed, crashes: cuts, mostReports: 80 });
    expect(report.broken).toEqual([]);
    expect(report.crashes).toBe(cuts);
    expect(report.counts.appended, JSON.stringify(report.counts)).toBeGreaterThan(0);
  });

  it('see a log that acknowledges before it flushes (canary)', { timeout: 600_000 }, async () => {
    const planted = await world.workshop.program('before-flush');
    const report = await crashAgain({
      program: planted,
      folder: world.workshop.newFolder(),
      seed,
      crashes: patience,
      powercut: world.built.powercut,
    });
    expect(report.broken).not.toEqual([]);
  });

  it('and kills alone do not see it: their pages stay with the kernel', { timeout: 600_000 }, async () => {
    const planted = await world.workshop.program('before-flush');
    const report = await crashAgain({ program: planted, folder: world.workshop.newFolder(), seed, crashes: 5 });
    expect(report.broken).toEqual([]);
  });
});
