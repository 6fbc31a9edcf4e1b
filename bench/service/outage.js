/**
 * Outage: PostgreSQL is gone for minutes at full input. Memory stays flat, the log grows to its bound, then 503; then it catches up, and the
 * table has a row for each event that was acknowledged.
 */

import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { startEmbeddedPostgres } from '../../packages/server/dist/embedded/postgres.js';
import { idle, withFolder, withService } from '../service-process.js';
import { heading } from '../support.js';
import { eventsRequest } from './bodies.js';
import { closedLoop } from './closed-loop.js';
import { atLeast, atMost, count, figure, mebibytes, milliseconds } from './goals.js';
import { withMemory } from './memory.js';
import { answersText, openLoop } from './open-loop.js';
import { rowsIn } from './rows.js';

/** 512 MiB are more than four million events of the benchmark: a minute or two of PostgreSQL's time. */
const catchUpMs = 300_000;

/** PostgreSQL is killed and comes back after `outageSeconds`; input as fast as it is taken until then. */
export async function benchOutage({ outageSeconds, outageLogBytes }) {
  heading(`PostgreSQL is gone for ${outageSeconds} s at full input, log.maxBytes ${mebibytes(outageLogBytes)}`);
  await withFolder(async (folder) => {
    const database = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres') });
    try {
      const config = join(folder, 'sluice.config.json');
      const pipelines = { events: { sink: { type: 'postgres', table: 'events' } } };
      await writeFile(
        config,
        JSON.stringify({ database: database.connectionString, log: { maxBytes: outageLogBytes }, pipelines }),
      );
      await withService(['--config', config], (service) =>
        withMemory('outage', service, () => endure(service, database, outageSeconds, outageLogBytes)),
      );
    } finally {
      await database.stop({ deadlineMs: 5_000 });
      await rm(dirname(database.directory), { recursive: true, force: true });
    }
  });
}

async function endure(service, database, outageSeconds, maxLogBytes) {
  const newRequest = () => eventsRequest('durable', 100);
  process.kill(database.pid, 'SIGKILL');
  const input = { connections: 32, ms: outageSeconds * 1_000, events: 100, newRequest, asked: 200 };
  const { done, refused } = await closedLoop(service.url, input);
  const stored = await logBytes(service);
  figure('outage, events stored meanwhile', done, count);
  atLeast('outage, bytes in the log', stored, maxLogBytes * 0.95, mebibytes);
  atMost('outage, bytes in the log beside its bound', stored - maxLogBytes, maxLogBytes * 0.25, mebibytes);
  atLeast('outage, requests refused with 503 once it was full', refused, 1, count);

  const startedAt = performance.now();
  await database.ensureRunning();
  // The senders come back while the backlog is delivered.
  const back = openLoop(service.url, {
    perSecond: 200,
    seconds: 10,
    newRequest: () => eventsRequest('durable', 10),
    connections: 64,
  });
  await idle(service.controlUrl, catchUpMs);
  figure('outage, the backlog delivered after', performance.now() - startedAt, milliseconds);
  const found = await back;
  console.log(`  new requests while it catches up: ${answersText(found)}`);
  figure('outage, p99 of new requests that were taken meanwhile', found.p(0.99), milliseconds);
  await idle(service.controlUrl);
  const acknowledged = done + found.taken * 10;
  const rows = await rowsIn(database.connectionString, 'events');
  atMost('outage, events lost or written though refused', Math.abs(acknowledged - rows), 0, count);
}

async function logBytes({ controlUrl }) {
  const { streams } = await (await fetch(`${controlUrl}/v1/streams`)).json();
  return streams.reduce((sum, { bytes }) => sum + bytes, 0);
}
