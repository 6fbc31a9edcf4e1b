/** A PostgreSQL of its own for a benchmark, with fsync on, and the rows that the benchmarks write. */

import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../packages/server/dist/embedded/postgres.js';

/** The table: six columns, one jsonb of about 80 bytes, a primary key. */
export const benchTable = `create table bench (
  id text primary key, at timestamptz not null, method text not null, path text not null, agent text, payload jsonb not null)`;

let nextId = 0;

/** Fresh rows; no id twice in a process. */
export function benchRows(count) {
  return Array.from({ length: count }, () => {
    const n = nextId++;
    return {
      id: `request-${String(n).padStart(12, '0')}`,
      at: new Date(1_700_000_000_000 + n),
      method: 'GET',
      path: '/api/orders/12345',
      agent: 'Mozilla/5.0 (X11; Linux)',
      payload: { status: 200, bytes: 12_345, region: 'eu-central-1', trace: `t-${n}`, cached: false },
    };
  });
}

/** Runs `use` with a pool on a new server, the server's version, its process id and its folder; removes every trace of it. */
export async function withPostgres(connections, use) {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  const server = await startEmbeddedPostgres({ dataDir });
  const pool = new pg.Pool({ connectionString: server.connectionString, max: connections });
  try {
    const [{ server_version: version }] = (await pool.query('show server_version')).rows;
    await use(pool, version, server.pid, dataDir);
  } finally {
    await pool.end();
    await server.stop({ deadlineMs: 5_000 });
    await rm(dirname(server.directory), { recursive: true, force: true });
    await rm(dataDir, { recursive: true, force: true });
  }
}

/**
 * CPU time in milliseconds that the living processes of a server have used, for comparisons on a machine with other work; NaN where the kernel does not say.
 */
export function serverCpuMs(postmaster) {
  let ms = 0;
  try {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) ms += childCpuMs(pid, postmaster);
  } catch {
    return Number.NaN;
  }
  return ms;
}

function childCpuMs(pid, parent) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(ppid) === parent ? Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6 : 0;
  } catch {
    // It has ended meanwhile.
    return 0;
  }
}
