/** A service in this process whose log was restored from a backup, while its database was not. */

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { useServers } from '../../../test/servers.js';
import { usePostgres } from './support/postgres.js';
import { query } from './support/query.js';
import { useRunning } from './support/running.js';
import { post } from './support/service.js';

const postgres = usePostgres();
const hook = globalThis as { sluiceBeforePipelines?: () => Promise<void> };
const world = useRunning();
const servers = useServers();
afterEach(() => {
  delete hook.sluiceBeforePipelines;
});

it('is refused though as many events as it lacks are taken in before its pipelines start: none of them is skipped as written', async () => {
  const database = await postgres.freshDatabase();
  await query(database, 'CREATE TABLE events (id text)');
  const url = await servers.gone();
  const port = Number(new URL(url).port);
  const rows = async () => (await query(database, 'SELECT id FROM events')).length;
  // A module is run before the sink of its pipeline is made, and after the gateway listens.
  world.write('map.mjs', 'await globalThis.sluiceBeforePipelines?.(); export default ({ data }) => data;');
  const start = (dataDir: string) => {
    const sink = { type: 'postgres', table: 'events', columns: { id: 'id' }, effectivelyOnce: true };
    return world.startWith({
      ...{ dataDir: join(world.folder, dataDir), database, gateway: { port } },
      pipelines: { events: { sink, map: './map.mjs', window: { maxDelayMs: 5 } } },
    });
  };
  const lines = (name: string, count: number) =>
    Array.from({ length: count }, (_, n) => JSON.stringify({ id: `${name}${n}` })).join('\n');

  await start('data');
  await post(url, lines('a', 10));
  await expect.poll(rows).toBe(10);
  cpSync(join(world.folder, 'data', 'log'), join(world.folder, 'restored', 'log'), { recursive: true });
  await post(url, lines('b', 10));
  await expect.poll(rows).toBe(20);
  await world.service.stop(5_000);

  hook.sluiceBeforePipelines = async () => void (await post(url, lines('c', 15)));
  await start('restored');
  const failure = () => world.service.pipelines.all[0]!.problem();
  await expect.poll(failure).toMatch(/LEDGER_AHEAD/);
  expect(await rows()).toBe(20);
});
