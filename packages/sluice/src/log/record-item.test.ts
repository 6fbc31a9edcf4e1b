import { expect, test, vi } from 'vitest';
import { createConsumer } from './consumer.js';
import { createMemoryLog } from './memory-log.js';

test('a sink is told the epoch of the claim that each record was read under: the ledger goes by it', async () => {
  const log = createMemoryLog();
  const payload = Buffer.from('{}');
  const seen: unknown[] = [];
  const sink = {
    async write(_records: readonly unknown[], { entries }: { readonly entries: readonly object[] }) {
      for (const entry of entries) seen.push((entry as { readonly epoch?: unknown }).epoch);
    },
  };
  for (const id of ['a', 'b']) {
    await log.append('s', [{ id, tenant: '_', time: null, receivedAt: 1, payload }]);
    const consumer = await createConsumer({ log, stream: 's', group: 'g', sink, window: { maxDelayMs: 1 } });
    await vi.waitFor(async () => expect((await log.lag('g', 's'))[0]!.items).toBe(0));
    const epoch = (await log.groups({ group: 'g' }))[0]!.epoch;
    expect(seen.at(-1)).toBe(epoch);
    await consumer.drain({ deadlineMs: 5_000 });
  }
  expect(seen).toHaveLength(2);
  expect(seen[1]).toBeGreaterThan(seen[0] as number);
  await log.close();
});
