/** A sink that calls in from its own write. */

import { expect, it } from 'vitest';
import { testEnv } from '../testing/index.js';
import { createBatcher } from './batcher.js';

it('keeps the order when a sink offers while an overdue batch leaves for a newcomer', async () => {
  const env = testEnv();
  const written: string[][] = [];
  const batcher = createBatcher<string>({
    env,
    window: { maxDelayMs: 10 },
    sink: {
      async write(items) {
        written.push([...items]);
        if (items.includes('a')) batcher.offer('c');
      },
    },
  });
  batcher.offer('a');
  env.clock.block(20); // the timer has not fired, and the window is over
  batcher.offer('b'); // sends [a], whose sink offers c
  await batcher.close();
  expect(written).toEqual([['a'], ['b', 'c']]);
});

it('lets a sink abort the newcomer for which its overdue batch leaves: that one is not sent', async () => {
  const env = testEnv();
  const newcomer = new AbortController();
  const written: string[][] = [];
  const batcher = createBatcher<string>({
    env,
    window: { maxDelayMs: 10 },
    sink: {
      async write(items) {
        written.push([...items]);
        newcomer.abort();
      },
    },
  });
  batcher.offer('a');
  env.clock.block(20);
  const aborted = batcher.push('b', { signal: newcomer.signal });
  await expect(aborted).rejects.toMatchObject({ code: 'CANCELLED' });
  await batcher.close();
  expect([written, batcher.stats().cancelled]).toEqual([[['a']], 1]);
});
