import { describe, expect, it } from 'vitest';
import { crashAgain } from './lives.js';
import { useWorkshop } from './use-workshop.js';

const kills = 40;
const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000);
/** So many crashes at most until a planted bug shows; mostly one is enough. */
const patience = 200;

describe(`crashes at random moments (SLUICE_SEED=${seed})`, () => {
  const world = useWorkshop((workshop) => workshop.program());

  it(`R-131, R-122, R-177: ${kills} kills lose nothing that was durable and reorder no key, over append, consume, park, redrive and retention`, {
    timeout: 600_000,
  }, async () => {
    const report = await crashAgain({
      program: world.built,
      folder: world.workshop.newFastFolder(),
      seed,
      crashes: kills,
      mostReports: 100,
    });
    expect(report.broken).toEqual([]);
    expect(report.crashes).toBe(kills);
    // The work was really done. Where forty kills fall decides whether a letter comes to be sent again, or an offer is flushed; a thousand leave
    // no doubt.
    const { appended, duplicates, delivered, settled } = report.counts;
    expect(Math.min(appended, duplicates, delivered, settled), JSON.stringify(report.counts)).toBeGreaterThan(0);
  });

  it('sees a log that acknowledges before it commits (canary)', { timeout: 600_000 }, async () => {
    const planted = await world.workshop.program('before-commit');
    const report = await crashAgain({ program: planted, folder: world.workshop.newFolder(), seed, crashes: patience });
    expect(report.broken).not.toEqual([]);
  });

  it('sees a consumer that gives a key to several lanes (canary)', { timeout: 600_000 }, async () => {
    const planted = await world.workshop.program('lost-lanes');
    const report = await crashAgain({ program: planted, folder: world.workshop.newFastFolder(), seed, crashes: patience });
    expect(report.broken.join('\n')).toContain('which has the same key');
  });
});
