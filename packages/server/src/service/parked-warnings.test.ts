import { failure } from 'sluice';
import { createConsumer, createMemoryLog, type Log } from 'sluice/log';
import { testEnv } from 'sluice/testing';
import { expect, it } from 'vitest';
import { withParkedWarnings } from './parked-warnings.js';

it('says how many events a group has parked, and why: at once, then every ten seconds, and when it closes', async () => {
  const env = testEnv();
  const lines: [object, string][] = [];
  const logger = { warn: (details: object, message: string) => void lines.push([details, message]) };
  const log: Log = withParkedWarnings(createMemoryLog({ env }), logger, env.clock);
  const post = (...ids: string[]) =>
    log.append(
      's',
      ids.map((id) => ({ id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.from(`secret ${id}`) })),
    );
  await post('good');
  const consumer = await createConsumer({
    ...{ log, stream: 's', group: 'g', env, window: { maxDelayMs: 1 } },
    sink: {
      write: async (records) =>
        records.map(({ id }) => (id === 'good' ? undefined : failure(`secret ${id}`, { code: id.toUpperCase() }))),
    },
  });
  await env.clock.advance(1_000);
  expect(lines).toEqual([]);
  await post('first');
  await env.clock.advance(1_000);
  const told = 'as dead letters (FIRST); sluice dlq ls shows them.';
  expect(lines).toEqual([
    [{ group: 'g', stream: 's', items: 1, codes: ['FIRST'] }, `the group g has parked 1 event of the stream s ${told}`],
  ]);
  for (let second = 0; second < 5; second++) {
    await post(`a${second % 2}`, 'good', `b${second}`);
    await env.clock.advance(1_000);
  }
  expect(lines).toHaveLength(1);
  await env.clock.advance(10_000);
  expect(lines).toHaveLength(2);
  expect(lines[1]![0]).toMatchObject({ items: 7, codes: ['A0', 'B0', 'A1', 'B1', 'B2'] });
  await post('last');
  await env.clock.advance(100);
  await consumer.drain({ deadlineMs: 0 });
  await log.close();
  expect(lines[2]![0]).toMatchObject({ items: 1, codes: ['LAST'] });
  expect(JSON.stringify(lines)).not.toContain('secret');
  expect(env.clock.timers).toBe(0);
});
