/** A service in this process: what its pipelines made of a stream is thrown away and made again from the log, as docs/guide/pipelines.md says. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadConfig } from '../src/config/load.js';
import { override } from '../src/config/override.js';
import { type Service, startService } from '../src/service/service.js';

let folder = '';
let service: Service;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-rebuild-'));
});
afterEach(async () => {
  await service?.stop(5_000);
  rmSync(folder, { recursive: true, force: true });
});

const kept = 'streams: { orders: { key: customer, retention: { maxAgeMs: 3600000 } } }';
const files = (name: string) =>
  `${name}: { stream: orders, window: { maxDelayMs: 5 }, sink: { type: file, dir: ${name}, maxAgeMs: 100 } }`;
const configure = (...pipelines: string[]) =>
  writeFileSync(join(folder, 'sluice.config.yaml'), `${kept}\npipelines:\n${pipelines.map((one) => `  ${one}\n`).join('')}`);

async function start(): Promise<void> {
  const loaded = await loadConfig(undefined, { folder, environment: {} });
  service = await startService(override(loaded, { port: 0, controlPort: 0 }, folder));
}

async function post(count: number): Promise<void> {
  const orders = Array.from({ length: count }, (_, n) => ({ id: n, customer: `c${n % 7}`, total: n }));
  const body = orders.map((order) => JSON.stringify(order)).join('\n');
  const headers = { 'content-type': 'application/x-ndjson' };
  const { status } = await fetch(`${service.url}/v1/streams/orders/events?ack=committed`, { method: 'POST', body, headers });
  expect(status).toBe(200);
}

async function control(method: string, path: string): Promise<{ readonly lag: { readonly items: number } }> {
  const response = await fetch(`${service.controlUrl}${path}`, { method });
  expect(response.status).toBe(200);
  return (await response.json()) as { lag: { items: number } };
}

const caughtUp = (pipeline: string) =>
  expect.poll(async () => (await control('GET', `/v1/pipelines/${pipeline}`)).lag.items, { timeout: 10_000 }).toBe(0);

/** The lines of a pipeline's files by customer, each in the order of arrival. */
function byCustomer(name: string): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  for (const file of readdirSync(join(folder, name)).sort())
    for (const line of readFileSync(join(folder, name, file), 'utf8')
      .trim()
      .split('\n')) {
      const { id, customer } = JSON.parse(line) as { id: number; customer: string };
      found[customer] = [...(found[customer] ?? []), id];
    }
  return found;
}

it('R-218: a target is rebuilt from the log into a fresh one, order by key included, by adding a pipeline and reloading', async () => {
  configure(files('orders'));
  await start();
  await post(500);
  configure(files('orders'), files('again'));
  await control('POST', '/v1/config/reload');
  await caughtUp('again');
  await service.stop(5_000);
  const original = byCustomer('orders');
  expect(Object.values(original).flat()).toHaveLength(500);
  expect(byCustomer('again')).toEqual(original);
});

it('R-218: what a handler has derived is rebuilt in place, by clearing it and seeking to the start', async () => {
  writeFileSync(
    join(folder, 'totals.js'),
    `import { readFileSync, writeFileSync } from 'node:fs';
const file = new URL('./totals.json', import.meta.url);
export function add(events) {
  const totals = JSON.parse(readFileSync(file, 'utf8'));
  for (const { data } of events) totals[data.customer] = (totals[data.customer] ?? 0) + data.total;
  writeFileSync(file, JSON.stringify(totals));
}
`,
  );
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const totals = join(folder, 'totals.json');
  const read = () => JSON.parse(readFileSync(totals, 'utf8')) as Record<string, number>;
  writeFileSync(totals, '{}');
  configure('totals: { stream: orders, sink: { type: module, handler: ./totals.js#add } }');
  await start();
  await post(300);
  const original = read();
  expect(Object.values(original).reduce((sum, total) => sum + total, 0)).toBe((300 * 299) / 2);

  await control('POST', '/v1/pipelines/totals/pause');
  writeFileSync(totals, '{}');
  await control('POST', '/v1/pipelines/totals/seek?to=start');
  await control('POST', '/v1/pipelines/totals/resume');
  await caughtUp('totals');
  expect(read()).toEqual(original);
});
