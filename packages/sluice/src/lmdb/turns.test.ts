import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openLmdbLog } from './lmdb-log.js';
import { createTurns } from './turns.js';

it('leaves others a turn of the event loop after four thousand records, and none before', async () => {
  const turns = createTurns();
  turns.took(3_999);
  expect(turns.mine()).toBeUndefined();
  turns.took(1);
  let others = 0;
  setImmediate(() => others++);
  await Promise.all([turns.mine(), turns.mine()]);
  expect(others).toBe(1);
  expect(turns.mine()).toBeUndefined();
});

it('what nobody waits for leaves others four times as many turns', () => {
  const turns = createTurns();
  turns.took(999, true);
  expect(turns.mine()).toBeUndefined();
  turns.took(1, true);
  expect(turns.mine()).toBeDefined();
});

it('a backlog that is read page by page does not keep the event loop to itself', async () => {
  const path = await mkdtemp(join(tmpdir(), 'sluice-turns-'));
  const log = openLmdbLog({ path });
  try {
    const payload = Buffer.from('1');
    const events = Array.from({ length: 20_000 }, (_, i) => ({
      id: `i${i}`,
      tenant: '_',
      key: null,
      time: null,
      receivedAt: 1,
      payload,
    }));
    await log.append('s', events);
    let others = 0;
    const count = () => {
      others++;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    const before = others;
    for (let from = 0; from < 20_000; from += 500) await log.read('s', 0, from, { maxItems: 500, maxBytes: 1 << 20 });
    clearImmediate(counting);
    expect(others - before).toBeGreaterThanOrEqual(4);
  } finally {
    await log.close();
    await rm(path, { recursive: true, force: true });
  }
});

it('a read that waits for its turn when the log is closed says so', async () => {
  const path = await mkdtemp(join(tmpdir(), 'sluice-turns-'));
  const log = openLmdbLog({ path });
  try {
    const event = { tenant: '_', key: null, time: null, receivedAt: 1, payload: Buffer.from('1') };
    await log.append(
      's',
      Array.from({ length: 4_000 }, (_, i) => ({ ...event, id: `i${i}` })),
    );
    await log.read('s', 0, 0, { maxItems: 4_000, maxBytes: 1 << 20 });
    const waiting = log.read('s', 0, 0, { maxItems: 1, maxBytes: 1 << 20 });
    const refused = expect(waiting).rejects.toMatchObject({ code: 'CLOSED', class: 'rejected' });
    await log.close();
    await refused;
  } finally {
    await rm(path, { recursive: true, force: true });
  }
});
