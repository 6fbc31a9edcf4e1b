/** PostgreSQL sink against a COPY loop written by hand; real PostgreSQL on the same cores, fsync on. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { createBatcher } from 'sluice';
import { postgresSink } from 'sluice/postgres';
import { startEmbeddedPostgres } from '../packages/server/dist/embedded/postgres.js';
import { heading, median, report, rounds } from './support.js';

const rows = 50_000;
const batchRows = 500;
const connections = 4;

const table =
  'bench (tenant text not null, id text not null, received_at timestamptz not null, payload jsonb not null, primary key (tenant, id))';
let nextId = 0;

function makeItems() {
  return Array.from({ length: rows }, () => {
    const id = `item-${nextId++}`;
    return {
      tenant: '_',
      id,
      receivedAt: new Date(1_700_000_000_000),
      payload: JSON.stringify({ id, path: '/a/b\\c', status: 200, bytes: 12345, agent: 'Mozilla/5.0' }),
    };
  });
}

/** What a careful engineer writes: COPY into a temporary table, INSERT … ON CONFLICT DO NOTHING, one transaction a batch. */
async function byHand(pool, items) {
  const batches = [];
  for (let i = 0; i < items.length; i += batchRows) batches.push(items.slice(i, i + batchRows));
  const worker = async () => {
    const client = await pool.connect();
    await client.query(
      'create temporary table if not exists stage (tenant text, id text, received_at timestamptz, payload jsonb) on commit delete rows',
    );
    for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) {
      await client.query('begin');
      const copy = client.query(copyFrom('copy stage from stdin'));
      const text = batch
        .map((row) => `${row.tenant}\t${row.id}\t${row.receivedAt.toISOString()}\t${row.payload.replaceAll('\\', '\\\\')}\n`)
        .join('');
      await pipeline([Buffer.from(text)], copy);
      await client.query('insert into bench select * from stage on conflict do nothing');
      await client.query('commit');
    }
    client.release();
  };
  await Promise.all(Array.from({ length: connections }, worker));
}

async function bySluice(pool, items) {
  const sink = postgresSink({
    pool,
    table: 'bench',
    conflict: { columns: ['tenant', 'id'], action: 'ignore' },
    columns: {
      tenant: { type: 'text', value: (item) => item.tenant },
      id: { type: 'text', value: (item) => item.id },
      received_at: { type: 'timestamptz', value: (item) => item.receivedAt },
      payload: { type: 'jsonb', value: (item) => item.payload },
    },
  });
  const batcher = createBatcher({ sink, maxItems: batchRows, maxInFlight: connections });
  for (const item of items) await batcher.add(item);
  await batcher.close();
}

export async function benchPostgres() {
  heading(
    `PostgreSQL 18, ${rows.toLocaleString('en')} rows in batches of ${batchRows}, ${connections} connections, idempotent, fsync on`,
  );
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  const server = await startEmbeddedPostgres({ dataDir });
  const pool = new pg.Pool({ connectionString: server.connectionString, max: connections });
  const samples = { 'COPY by hand': [], 'sluice batcher and sink': [] };
  try {
    await pool.query(`create table ${table}`);
    for (let round = -1; round < rounds; round++) {
      for (const [name, write] of [
        ['COPY by hand', byHand],
        ['sluice batcher and sink', bySluice],
      ]) {
        const items = makeItems();
        await pool.query('truncate bench');
        const startedAt = performance.now();
        await write(pool, items);
        if (round >= 0) samples[name].push((rows * 1000) / (performance.now() - startedAt));
        const {
          rows: [{ n }],
        } = await pool.query('select count(*)::int as n from bench');
        if (n !== rows) throw new Error(`${name} wrote ${n} rows, not ${rows}`);
      }
    }
  } finally {
    await pool.end();
    await server.stop({ deadlineMs: 5_000 });
    await rm(dirname(server.directory), { recursive: true, force: true });
    await rm(dataDir, { recursive: true, force: true });
  }
  report('rows/s', Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, median(values)])), 'COPY by hand', {
    higherIsBetter: true,
  });
}
