/** Reads: many clients that ask for few keys make one upstream call a window. */

import { createServer } from 'node:http';
import { openClient, requestText } from '../raw-client.js';
import { withService } from '../service-process.js';
import { heading, percentile } from '../support.js';
import { atMost, figure, milliseconds, perSecond } from './goals.js';
import { withMemory } from './memory.js';

const windowMs = 100;
const clients = 2_000;

/** 2,000 clients, 200 keys. */
export async function benchRead({ passMs }) {
  heading(`GET /read: ${clients.toLocaleString('en')} clients, 200 keys, window ${windowMs} ms, a backend that answers at once`);
  await withBackend(async (backend) => {
    await withService(['--read-upstream', backend.url, '--read-window', String(windowMs)], async (service) => {
      const client = await openClient(service.url, clients);
      await readFor(client, 1_000);
      backend.calls = 0;
      const { tookMs, latencies } = await withMemory('reads', service, () => readFor(client, passMs * 2));
      client.close();
      figure('reads, clients that ask without a pause', (latencies.length / tookMs) * 1000, perSecond);
      atMost('reads, upstream calls a window', backend.calls / Math.ceil(tookMs / windowMs), 1, (value) => value.toFixed(2));
      atMost('reads, p99', percentile(latencies, 0.99), windowMs + 15, milliseconds);
    });
  });
}

async function readFor(client, ms) {
  const requests = Array.from({ length: 200 }, (_, key) => requestText('GET', `/read?key=key-${key}`));
  const latencies = [];
  const startedAt = performance.now();
  const until = startedAt + ms;
  await Promise.all(
    Array.from({ length: clients }, async (_, i) => {
      while (performance.now() < until) {
        const sentAt = performance.now();
        const { status } = await client.request(requests[i % requests.length]);
        if (status !== 200) throw new Error(`a read was answered with ${status}`);
        latencies.push(performance.now() - sentAt);
      }
    }),
  );
  return { tookMs: performance.now() - startedAt, latencies };
}

async function withBackend(use) {
  const backend = { calls: 0, url: '' };
  const server = createServer((request, response) => {
    backend.calls++;
    const keys = new URL(request.url, 'http://x').searchParams.getAll('keys').flatMap((text) => text.split(','));
    response.setHeader('content-type', 'application/json').end(JSON.stringify(Object.fromEntries(keys.map((key) => [key, 1]))));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  backend.url = `http://127.0.0.1:${server.address().port}/read`;
  try {
    await use(backend);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
