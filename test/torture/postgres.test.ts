/** The pipeline into PostgreSQL under `kill -9`: of itself, of the server, at random and at each single step. */

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dieAtSteps, type Ground, killAtRandom, prepareGround } from './postgres/campaign.js';

const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000);

describe('effectively once', () => {
  let ground: Ground;

  beforeAll(async () => {
    ground = await prepareGround(fileURLToPath(new URL('../../', import.meta.url)));
  }, 120_000);
  afterAll(() => ground?.clear());

  it(`over 8 kills of the process and its server each event is in the table once, or is a dead letter (SLUICE_SEED=${seed})`, async () => {
    const { problems, acknowledged } = await killAtRandom(ground, seed, 8);
    expect(problems).toEqual([]);
    expect(acknowledged).toBeGreaterThan(100);
  }, 240_000);

  it('over a death at steps of its way no row and no letter is lost, and none is doubled', async () => {
    const stride = 5;
    const { problems, deaths } = await dieAtSteps(ground, { stride, first: 1 + (seed % stride) });
    expect(problems).toEqual([]);
    expect(deaths).toBeGreaterThan(5);
  }, 240_000);

  it('without the ledger the same deaths double rows (canary)', async () => {
    const { problems } = await dieAtSteps(ground, { events: 4, ledger: false });
    expect(problems.join()).toMatch(/times/);
  }, 240_000);
});
