/** Tests of advice: one promise for all who ask, a new one once it has been given. */

import { expect, it } from 'vitest';
import { Advice } from './advice.js';

it('gives the same promise to all who ask, settles it once, and makes a new one for who asks later', async () => {
  const advice = new Advice();
  advice.give();
  expect(advice.isAwaited).toBe(false);
  const first = advice.later();
  expect([advice.later() === first, advice.isAwaited]).toEqual([true, true]);
  advice.give();
  expect(advice.isAwaited).toBe(false);
  await first;
  expect(advice.later()).not.toBe(first);
});
