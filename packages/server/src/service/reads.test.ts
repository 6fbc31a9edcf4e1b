import type { SluiceError } from 'sluice';
import { systemEnv } from 'sluice';
import { afterEach, expect, it } from 'vitest';
import { useServers } from '../../../../test/servers.js';
import { configSchema } from '../config/config.js';
import { createReads } from './reads.js';

const servers = useServers();
const close: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const one of close.splice(0)) await one();
});

/** A backend that knows every key, and keeps what it was asked for. */
async function backend(status = 200) {
  const asked: string[] = [];
  const url = await servers.start((request, response) => {
    const keys = new URL(request.url!, 'http://x').searchParams.get('keys')!.split(',');
    asked.push(...keys);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(Object.fromEntries(keys.map((key) => [key, 1]))));
  });
  return { url: `${url}/read`, asked };
}

const settings = { ...configSchema.parse({}).reads, windowMs: 1, timeoutMs: 300 };
const keys = Array.from({ length: 60 }, (_, i) => `key-${i}`);

it('each key is asked of one backend, always the same, and each has its share', async () => {
  const backends = [await backend(), await backend(), await backend()];
  const reads = createReads(
    backends.map(({ url }) => url),
    settings,
    systemEnv(),
  );
  close.push(() => reads.close({ deadlineMs: 0 }));
  for (let round = 0; round < 2; round++) expect((await reads.read(keys, () => {})).size).toBe(60);
  for (const { asked } of backends) expect(new Set(asked).size).toBeGreaterThan(5);
  expect(backends.flatMap(({ asked }) => [...new Set(asked)]).length).toBe(60);
});

it('a backend that fails does not hide what the others answer', async () => {
  const backends = [await backend(), await backend(404)];
  const reads = createReads(
    backends.map(({ url }) => url),
    settings,
    systemEnv(),
  );
  close.push(() => reads.close({ deadlineMs: 0 }));
  const found = [...(await reads.read(keys, () => {})).values()];
  expect(found).toHaveLength(60);
  expect(found.filter((value) => value === 1).length).toBeGreaterThan(10);
  expect(found.filter((value) => (value as SluiceError).code === 'HTTP_STATUS').length).toBeGreaterThan(10);
});
