import { testEnv } from 'sluice/testing';
import { expect, it } from 'vitest';
import { prepareSink } from './preparation.js';

it('names its problem without a full stop, since it is told within a sentence, and none once the sink is prepared', async () => {
  const env = testEnv();
  let tries = 0;
  const prepare = async () => {
    if (++tries === 1) throw new Error('the table does not exist; create it.');
  };
  const preparation = prepareSink({ prepare }, env);
  await preparation.firstTry;
  expect(preparation.problem).toBe('the table does not exist; create it');
  await env.clock.advance(2_000);
  expect([tries, preparation.problem]).toEqual([2, undefined]);
});
