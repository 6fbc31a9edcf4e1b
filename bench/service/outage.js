/** Outage: PostgreSQL is gone for minutes at full input. Memory stays flat, the log grows to its bound, then 503; then it catches up. */

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

const maxLogBytes = 512 * 2 ** 20;

/** PostgreSQL is killed and comes back after `outageSeconds`; input as fast as it is taken until then. */
export async function benchOutage({ outageSeconds }) {
  heading(`PostgreSQL is gone for ${outageSeconds} s at full input, log.maxBytes ${mebibytes(maxLogBytes)}`);
  await withFolder(async (folder) => {
    const database = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres') });
    try {
      const config = join(folder, 'sluice.config.json');
      const pipelines = { events: { sink: { type: 'postgres', table: 'events' } } };
      await writeFile(config, JSON.stringify({ database: database.connectionString, log: { maxBytes: maxLogBytes }, pipelines }));
      await withService(['--config', config], (service) =>
        withMemory('outage', service, () => endure(service, database, outageSeconds)),
      );
    } finally {
      await database.stop({ deadlineMs: 5_000 });
      await rm(dirname(database.directory), { recursive: true, force: true });
    }
  });
}

async function endure(service, database, outageSeconds) {
  const newRequest = () => eventsRequest('durable', 100);
  process.kill(database.pid, 'SIGKILL');
  const input = { connections: 32, ms: outageSeconds * 1_000, events: 100, newRequest, asked: 200 };
  const { perSecond, refused } = await closedLoop(service.url, input);
  const stored = await logBytes(service);
  figure('outage, events stored meanwhile', perSecond * outageSeconds, count);
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
  await idle(service.controlUrl);
  figure('outage, the backlog delivered after', performance.now() - startedAt, milliseconds);
  const found = await back;
  console.log(`  new requests while it catches up: ${answersText(found)}`);
  figure('outage, p99 of new requests that were taken meanwhile', found.p(0.99), milliseconds);
}

async function logBytes({ controlUrl }) {
  const { streams } = await (await fetch(`${controlUrl}/v1/streams`)).json();
  return streams.reduce((sum, { bytes }) => sum + bytes, 0);
}
