import type { Invariant } from 'sluice/simulate';
import { describe, expect, it } from 'vitest';
import { campaign } from './campaign.js';
import { type PlantedLoader, playLoader } from './loader-schedule.js';

const schedules = 5000;

it(`R-163: ${schedules} schedules of loads, leaving, time-outs, flush, close and bad batch functions break no promise of the loader`, {
  timeout: 120_000,
}, async () => {
  expect((await campaign('loader', 1, schedules))?.message).toBeUndefined();
});

it('R-163: the same seed plays the same schedule of a loader', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const once = await playLoader(seed, { traced: true });
    expect(await playLoader(seed, { traced: true })).toEqual(once);
  }
});

const older = { kept: { key: -1, begun: 0 } };

const canaries: readonly [string, Invariant, PlantedLoader][] = [
  [
    'a value from a call that began before it was asked for',
    'boundary',
    { answer: (answer) => ({ ...answer, begun: answer.begun - 3 }) },
  ],
  [
    'the value of another key',
    'settledOnce',
    {
      answer(answer) {
        const before = older.kept;
        older.kept = answer;
        return { ...answer, key: before.key };
      },
    },
  ],
  ['a caller who is told twice', 'settledOnce', { settleTwice: true }],
];

describe('the schedules of a loader see what is planted (canaries)', () => {
  it.each(canaries)('%s', async (_, invariant, planted) => {
    const seen = new Set<Invariant>();
    for (let seed = 1; seed <= 200 && !seen.has(invariant); seed++) {
      for (const violation of (await playLoader(seed, { planted })).violations) seen.add(violation.invariant);
    }
    expect([...seen]).toContain(invariant);
  });
});
