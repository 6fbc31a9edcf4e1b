/** A service in this process with a pipeline of the configuration into a table without a key: columns of the payload, effectively once. */

import { expect, it, vi } from 'vitest';
import type { Service } from '../src/service/service.js';
import { usePostgres } from './support/postgres.js';
import { query } from './support/query.js';
import { useRunning } from './support/running.js';

const postgres = usePostgres();
const world = useRunning();

function start(database: string, fields: object = {}): Promise<Service> {
  return world.startWith({
    database,
    streams: { orders: { retention: { maxAgeMs: 3_600_000 }, key: 'customer' } },
    pipelines: {
      orders: {
        sink: {
          type: 'postgres',
          table: 'orders',
          columns: {
            number: 'id',
            customer: 'payload.customer',
            total: 'payload.total',
            detail: { from: 'payload.detail', type: 'jsonb' },
          },
          effectivelyOnce: true,
        },
        window: { maxDelayMs: 5 },
        ...fields,
      },
    },
  });
}

const post = (events: readonly object[]) =>
  fetch(`${world.service.url}/v1/streams/orders/events?ack=committed`, {
    method: 'POST',
    body: JSON.stringify(events),
    headers: { 'content-type': 'application/json' },
  });

it('R-125: writes each event once, though the pipeline is put back to the start, and again after a restart', async () => {
  const database = await postgres.freshDatabase();
  await query(database, 'CREATE TABLE orders (number text, customer text, total numeric, detail jsonb)');
  await start(database);
  const orders = Array.from({ length: 40 }, (_, i) => ({ id: i, customer: `c${i % 3}`, total: i / 2, detail: { n: [i] } }));
  expect((await post(orders)).status).toBe(200);
  await fetch(`${world.service.controlUrl}/v1/pipelines/orders/seek?to=start`, { method: 'POST' });
  await post([{ id: 'more', customer: 'c9', total: '7.25', detail: null }]);
  await world.service.stop(10_000);
  await start(database);
  await fetch(`${world.service.controlUrl}/v1/pipelines/orders/seek?to=start`, { method: 'POST' });
  await post([{ id: 'last', customer: 'c9', total: 1, detail: 'text' }]);
  await world.service.stop(10_000);
  const rows = await query<{ number: string; n: number }>(
    database,
    'SELECT number, count(*)::int AS n FROM orders GROUP BY number',
  );
  expect(rows).toHaveLength(42);
  expect(rows.filter(({ n }) => n !== 1)).toEqual([]);
  const [more] = await query(database, `SELECT customer, total, detail FROM orders WHERE number = '7'`);
  expect(more).toEqual({ customer: 'c1', total: '3.5', detail: { n: [7] } });
});

it('R-125: a seek back does not bring what was parked and redriven once more, whether it is paused before or not', async () => {
  const database = await postgres.freshDatabase();
  await query(database, 'CREATE TABLE orders (number text, customer text, total numeric CHECK (total > 0), detail jsonb)');
  await start(database);
  const control = async (path: string) => {
    const answer = await fetch(`${world.service.controlUrl}/v1/${path}`, { method: 'POST' });
    expect(answer.status).toBeLessThan(300);
  };
  await post([
    { id: 1, total: 5 },
    { id: 2, total: -5 },
  ]);
  // Nothing but what is refused.
  await post([{ id: 3, total: -6 }]);
  await control('pipelines/orders/pause');
  await control('pipelines/orders/resume');
  await post([{ id: 4, total: -7 }]);
  await query(database, 'ALTER TABLE orders DROP CONSTRAINT orders_total_check');
  await control('redrives?group=orders');
  const numbers = async () =>
    (await query<{ number: string }>(database, 'SELECT number FROM orders ORDER BY number')).map(({ number }) => number);
  await vi.waitFor(async () => expect(await numbers()).toEqual(['1', '2', '3', '4']), 20_000);
  await control('pipelines/orders/seek?to=start');
  expect((await post([{ id: 5, total: 1 }])).status).toBe(200);
  await control('pipelines/orders/pause');
  await control('pipelines/orders/seek?to=start');
  await control('pipelines/orders/resume');
  expect((await post([{ id: 6, total: 1 }])).status).toBe(200);
  expect(await numbers()).toEqual(['1', '2', '3', '4', '5', '6']);
});

it('a row that the table refuses is a dead letter with the server’s reason; the others are in', async () => {
  const database = await postgres.freshDatabase();
  await query(database, 'CREATE TABLE orders (number text, customer text, total numeric CHECK (total > 0), detail jsonb)');
  await start(database);
  const answer = (await (
    await post([
      { id: 1, total: 5 },
      { id: 2, total: -5 },
      { id: 3, total: 'much' },
    ])
  ).json()) as { errors: { index: number }[] };
  expect(answer.errors.map(({ index }) => index)).toEqual([1, 2]);
  const { groups } = (await (await fetch(`${world.service.controlUrl}/v1/dead-letters/groups`)).json()) as {
    groups: { code: string }[];
  };
  expect(groups.map(({ code }) => code).sort()).toEqual(['PG_22P02', 'PG_23514']);
  expect(await query(database, 'SELECT number FROM orders')).toEqual([{ number: '1' }]);
});

it('strict order halts in front of a bad row, nothing behind it is written, and an operator parks it', async () => {
  const database = await postgres.freshDatabase();
  await query(database, 'CREATE TABLE orders (number text, customer text, total numeric CHECK (total > 0), detail jsonb)');
  await start(database, { strict: 'halt' });
  const url = `${world.service.url}/v1/streams/orders/events`;
  const body = JSON.stringify(
    [
      { id: 1, total: 5 },
      { id: 2, total: -5 },
      { id: 3, total: 7 },
    ].map((order) => ({ ...order, customer: 'c' })),
  );
  await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
  const numbers = async () =>
    (await query<{ number: string }>(database, 'SELECT number FROM orders ORDER BY number')).map(({ number }) => number);
  const state = async () => {
    const pipeline = await (await fetch(`${world.service.controlUrl}/v1/pipelines/orders`)).json();
    return (pipeline as { partitions: { state: string }[] }).partitions[0]!.state;
  };
  await expect.poll(state, { timeout: 10_000 }).toBe('halted');
  expect(await numbers()).toEqual(['1']);
  await fetch(`${world.service.controlUrl}/v1/pipelines/orders/resume?parkHalted=true`, { method: 'POST' });
  await expect.poll(numbers, { timeout: 10_000 }).toEqual(['1', '3']);
});
