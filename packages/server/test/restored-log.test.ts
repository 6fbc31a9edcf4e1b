/** A service in this process whose log was restored from a backup, while its database was not. */

import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { configSchema } from '../src/config/config.js';
import { type Service, startService } from '../src/service/service.js';
import { usePostgres } from './support/postgres.js';
import { query } from './support/query.js';
import { post } from './support/service.js';

const postgres = usePostgres();
const world = globalThis as { sluiceBeforePipelines?: () => Promise<void> };
let folder = '';
let service: Service | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-restored-'));
});
afterEach(async () => {
  await service?.stop(5_000);
  service = undefined;
  delete world.sluiceBeforePipelines;
  rmSync(folder, { recursive: true, force: true });
});

it('is refused though as many events as it lacks are taken in before its pipelines start: none of them is skipped as written', async () => {
  const database = await postgres.freshDatabase();
  await query(database, 'CREATE TABLE events (id text)');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const rows = async () => (await query(database, 'SELECT id FROM events')).length;
  // A module is run before the sink of its pipeline is made, and after the gateway listens.
  writeFileSync(join(folder, 'map.mjs'), 'await globalThis.sluiceBeforePipelines?.(); export default ({ data }) => data;');
  const start = async (dataDir: string) => {
    const sink = { type: 'postgres', table: 'events', columns: { id: 'id' }, effectivelyOnce: true };
    const config = configSchema.parse({
      ...{ dataDir: join(folder, dataDir), database, gateway: { port }, control: { port: 0 } },
      pipelines: { events: { sink, map: './map.mjs', window: { maxDelayMs: 5 } } },
    });
    service = await startService({ config, file: undefined, folder });
  };
  const lines = (name: string, count: number) =>
    Array.from({ length: count }, (_, n) => JSON.stringify({ id: `${name}${n}` })).join('\n');

  await start('data');
  await post(url, lines('a', 10));
  await expect.poll(rows).toBe(10);
  cpSync(join(folder, 'data', 'log'), join(folder, 'restored', 'log'), { recursive: true });
  await post(url, lines('b', 10));
  await expect.poll(rows).toBe(20);
  await service!.stop(5_000);

  world.sluiceBeforePipelines = async () => void (await post(url, lines('c', 15)));
  await start('restored');
  const failure = () => service!.pipelines.all[0]!.problem();
  await expect.poll(failure).toMatch(/LEDGER_AHEAD/);
  expect(await rows()).toBe(20);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
