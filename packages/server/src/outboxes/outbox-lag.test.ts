import { testEnv } from 'sluice/testing';
import { expect, it } from 'vitest';
import { watchLag } from './outbox-lag.js';

it('keeps what was measured last while a measurement fails, and ends its timer', async () => {
  const env = testEnv();
  const answers = [{ items: 3, hasMore: false, oldestMs: 10 }, new Error('away'), { items: 1, hasMore: false, oldestMs: 5 }];
  const lag = watchLag(async () => {
    const answer = answers.shift()!;
    if (answer instanceof Error) throw answer;
    return answer;
  }, env);
  expect(lag.latest).toBeUndefined();
  await env.clock.advance(1);
  expect(lag.latest).toEqual({ items: 3, hasMore: false, oldestMs: 10 });
  await env.clock.advance(5_000);
  expect([answers.length, lag.latest?.items]).toEqual([1, 3]);
  await env.clock.advance(5_000);
  expect(lag.latest?.items).toBe(1);
  lag.stop();
  expect(env.clock.timers).toBe(0);
});
