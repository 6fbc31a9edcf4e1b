/** A service in this process: what its pipelines made of a stream is thrown away and made again from the log, as docs/guide/pipelines.md says. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { useRunning } from './support/running.js';

const world = useRunning();

const kept = 'streams: { orders: { key: customer, retention: { maxAgeMs: 3600000 } } }';
const files = (name: string) =>
  `${name}: { stream: orders, window: { maxDelayMs: 5 }, sink: { type: file, dir: ${name}, maxAgeMs: 100 } }`;
const configuration = (...pipelines: string[]) => `${kept}\npipelines:\n${pipelines.map((one) => `  ${one}\n`).join('')}`;

async function post(count: number): Promise<void> {
  const orders = Array.from({ length: count }, (_, n) => ({ id: n, customer: `c${n % 7}`, total: n }));
  const body = orders.map((order) => JSON.stringify(order)).join('\n');
  const headers = { 'content-type': 'application/x-ndjson' };
  const { status } = await fetch(`${world.service.url}/v1/streams/orders/events?ack=committed`, {
    method: 'POST',
    body,
    headers,
  });
  expect(status).toBe(200);
}

async function control(method: string, path: string): Promise<{ readonly lag: { readonly items: number } }> {
  const response = await fetch(`${world.service.controlUrl}${path}`, { method });
  expect(response.status).toBe(200);
  return (await response.json()) as { lag: { items: number } };
}

const caughtUp = (pipeline: string) =>
  expect.poll(async () => (await control('GET', `/v1/pipelines/${pipeline}`)).lag.items, { timeout: 10_000 }).toBe(0);

/** The lines of a pipeline's files by customer, each in the order of arrival. */
function byCustomer(name: string): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  for (const file of readdirSync(join(world.folder, name)).sort())
    for (const line of readFileSync(join(world.folder, name, file), 'utf8')
      .trim()
      .split('\n')) {
      const { id, customer } = JSON.parse(line) as { id: number; customer: string };
      found[customer] = [...(found[customer] ?? []), id];
    }
  return found;
}

it('R-218: a target is rebuilt from the log into a fresh one, order by key included, by adding a pipeline and reloading', async () => {
  await world.start(configuration(files('orders')));
  await post(500);
  world.write('sluice.config.yaml', configuration(files('orders'), files('again')));
  await control('POST', '/v1/config/reload');
  await caughtUp('again');
  await world.service.stop(5_000);
  const original = byCustomer('orders');
  expect(Object.values(original).flat()).toHaveLength(500);
  expect(byCustomer('again')).toEqual(original);
});

it('R-218: what a handler has derived is rebuilt in place, by clearing it and seeking to the start', async () => {
  world.write(
    'totals.js',
    `import { readFileSync, writeFileSync } from 'node:fs';
const file = new URL('./totals.json', import.meta.url);
export function add(events) {
  const totals = JSON.parse(readFileSync(file, 'utf8'));
  for (const { data } of events) totals[data.customer] = (totals[data.customer] ?? 0) + data.total;
  writeFileSync(file, JSON.stringify(totals));
}
`,
  );
  world.write('package.json', '{ "type": "module" }');
  const totals = join(world.folder, 'totals.json');
  const read = () => JSON.parse(readFileSync(totals, 'utf8')) as Record<string, number>;
  world.write('totals.json', '{}');
  await world.start(configuration('totals: { stream: orders, sink: { type: module, handler: ./totals.js#add } }'));
  await post(300);
  const original = read();
  expect(Object.values(original).reduce((sum, total) => sum + total, 0)).toBe((300 * 299) / 2);

  await control('POST', '/v1/pipelines/totals/pause');
  world.write('totals.json', '{}');
  await control('POST', '/v1/pipelines/totals/seek?to=start');
  await control('POST', '/v1/pipelines/totals/resume');
  await caughtUp('totals');
  expect(read()).toEqual(original);
});
