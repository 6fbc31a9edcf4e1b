import { expect, it } from 'vitest';
import { campaign } from './campaign.js';
import { playTwoSpeed } from './two-speed-schedule.js';

const schedules = 500;

it(`R-129, R-130, R-163: ${schedules} schedules of two speeds: neither notices the other, and both keep their promises`, {
  timeout: 600_000,
}, async () => {
  expect((await campaign('two-speed', 1, schedules))?.message).toBeUndefined();
});

it('sees important items that take the way of the others (canary)', async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 50; seed++)
    for (const { invariant } of (await playTwoSpeed(seed, { planted: true })).violations) seen.add(invariant);
  expect([...seen]).toEqual(expect.arrayContaining(['tally']));
});
