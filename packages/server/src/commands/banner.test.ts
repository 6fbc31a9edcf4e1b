import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadConfig } from '../config/load.js';
import type { Service } from '../service/service.js';
import { banner } from './banner.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-banner-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function shown(text: string, environment: NodeJS.ProcessEnv = {}): Promise<string> {
  writeFileSync(join(folder, 'sluice.config.yaml'), text);
  const loaded = await loadConfig(undefined, { folder, environment });
  const urls = { url: 'http://g', controlUrl: 'http://c', backendUrl: 'http://b', dataDir: folder };
  const service = { ...urls, databaseUrl: loaded.config.database, databaseIsEmbedded: false, pipelines: { all: [] } };
  return banner(service as unknown as Service, loaded, 100);
}

it('says where the database was named', async () => {
  const database = 'postgres://me:secret@h/d';
  expect(await shown(`database: ${database}`, { DATABASE_URL: 'postgres://other/d' })).toMatch(
    /^ {2}PostgreSQL {6}postgres:\/\/…@h\/d \(database in the configuration\)$/m,
  );
  expect(await shown('{}', { DATABASE_URL: database })).toMatch(/^ {2}PostgreSQL {6}postgres:\/\/…@h\/d \(DATABASE_URL\)$/m);
});

it('lists outboxes beside the pipelines', async () => {
  const text = await shown('outboxes: { a: { stream: orders }, b: { table: app.events } }');
  expect(text).toContain('\n  outbox          table "outbox" → stream "orders"\n');
  expect(text).toContain('\n  outbox          table "app.events" → the streams that its events name\n');
});

it('names streams that pipelines read, and tries none that has schemas', async () => {
  writeFileSync(join(folder, 's.json'), '{}');
  const pipelines = 'pipelines: { orders: { sink: { type: file, dir: o } }, plain: { sink: { type: file, dir: p } } }';
  const schemas = (stream: string) => `${stream}: { schemas: [{ version: 1, schema: ./s.json }] }`;
  const text = await shown(`streams: { ${schemas('orders')} }\n${pipelines}`);
  expect(text).toContain('POST /v1/streams/orders/events, GET /read');
  expect(text).toContain("curl -X POST 'http://g/v1/streams/plain/events' ");
  expect(await shown(`streams: { ${schemas('orders')}, ${schemas('plain')} }\n${pipelines}`)).not.toContain('curl -X POST');
});
