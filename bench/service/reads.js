/**
 * Reads: many clients that ask for few keys make one upstream call a window.
 *
 * Two loops. In the open one each of the clients asks twice a second, whenever its time comes, and latency counts from then: so do
 * clients that know nothing of each other, and its p99 is held against the goal. In the closed one each asks again the moment it has its
 * answer. The clients then march in step: all 2,000 ask within some milliseconds of each other, and the time to read and to answer all
 * of them, by the service and by this client on the same two cores, comes on top of the window. What that adds is the CPU of 2,000
 * requests, not of the batching: it is printed, and bounds the throughput, but is nobody's latency in use.
 */

import { openClient, requestText } from '../raw-client.js';
import { withService } from '../service-process.js';
import { heading, percentile } from '../support.js';
import { atMost, figure, milliseconds, perSecond } from './goals.js';
import { withMemory } from './memory.js';
import { answersText, openLoop } from './open-loop.js';
import { withBackend } from './reads-backend.js';

const windowMs = 100;
const clients = 2_000;
const readsPerSecond = 2 * clients;
const requests = Array.from({ length: 200 }, (_, key) => requestText('GET', `/read?key=key-${key}`));

/** 2,000 clients, 200 keys. */
export async function benchRead({ passMs }) {
  heading(`GET /read: ${clients.toLocaleString('en')} clients, 200 keys, window ${windowMs} ms, a backend that answers at once`);
  await withBackend(async (backend) => {
    await withService(['--read-upstream', backend.url, '--read-window', String(windowMs)], async (service) => {
      await closedLoop(service, 1_000);
      await counted('reads, each client twice a second', backend, service, async () => {
        const newRequest = nextRequest();
        let startedAt;
        const answers = await openLoop(service.url, {
          ...{ perSecond: readsPerSecond, seconds: (passMs * 2) / 1_000, connections: clients },
          newRequest: () => {
            startedAt ??= performance.now();
            return newRequest();
          },
        });
        console.log(`  ${answersText(answers)}`);
        if (answers.refused > 0) throw new Error('a read was refused');
        atMost('reads, each client twice a second, p99', answers.p(0.99), windowMs + 15, milliseconds);
        return performance.now() - startedAt;
      });
      await counted('reads without a pause', backend, service, async () => {
        const { tookMs, latencies } = await closedLoop(service, passMs * 2);
        figure('reads without a pause', (latencies.length / tookMs) * 1000, perSecond);
        figure('reads without a pause, p99', percentile(latencies, 0.99), milliseconds);
        return tookMs;
      });
    });
  });
}

/** `run` resolves with how long it asked, in milliseconds. */
async function counted(what, backend, service, run) {
  const before = backend.calls();
  const windows = Math.ceil((await withMemory(what, service, run)) / windowMs);
  atMost(`${what}, upstream calls a window`, (backend.calls() - before) / windows, 1, (value) => value.toFixed(2));
}

function nextRequest() {
  let next = 0;
  return () => requests[next++ % requests.length];
}

async function closedLoop(service, ms) {
  const client = await openClient(service.url, clients);
  const newRequest = nextRequest();
  const latencies = [];
  const startedAt = performance.now();
  const until = startedAt + ms;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < until) {
        const sentAt = performance.now();
        const { status } = await client.request(newRequest());
        if (status !== 200) throw new Error(`a read was answered with ${status}`);
        latencies.push(performance.now() - sentAt);
      }
    }),
  );
  const tookMs = performance.now() - startedAt;
  client.close();
  return { tookMs, latencies };
}
