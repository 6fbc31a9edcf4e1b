/** The whole service over HTTP on loopback: events a second and p99 of a request, at each ack level. Client, gateway and PostgreSQL share the cores. */

import { Pool } from 'undici';
import { idle, withService } from './service-process.js';
import { heading, median, percentile } from './support.js';

const passes = 3;
const passMs = 3_000;

let nextId = 0;

function body(events) {
  let text = '';
  for (let i = 0; i < events; i++)
    text += `{"id":"b${nextId++}","path":"/a/b/c","status":200,"bytes":12345,"agent":"Mozilla/5.0 (X11; Linux x86_64)"}\n`;
  return text;
}

/** Closed loop: each connection sends its next request when the last one is answered. */
async function pass(url, { ack, connections, events }) {
  const pool = new Pool(url, { connections });
  const latencies = [];
  const until = performance.now() + passMs;
  let acknowledged = 0;
  let refused = 0;
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < until) {
        const sentAt = performance.now();
        const reply = await pool.request({
          method: 'POST',
          path: `/v1/streams/events/events?ack=${ack}`,
          headers: { 'content-type': 'application/x-ndjson' },
          body: body(events),
        });
        const answer = await reply.body.json();
        if (reply.statusCode === 503) {
          // Memory is full of events that wait for the disk: the service says so, and a client comes back later.
          refused++;
          await new Promise((resolve) => setTimeout(resolve, 50));
          continue;
        }
        latencies.push(performance.now() - sentAt);
        if (reply.statusCode >= 300 || answer.accepted !== events || (ack !== 'accepted' && answer.ack !== ack)) {
          throw new Error(`ack=${ack}: ${reply.statusCode} ${JSON.stringify(answer).slice(0, 300)}`);
        }
        acknowledged += events;
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  await pool.close();
  return { perSecond: acknowledged / seconds, p99: percentile(latencies, 0.99), refused };
}

export async function benchGateway() {
  heading('Gateway, one process, loopback, closed loop; each pass starts with an empty backlog');
  await withService([], async (service) => {
    for (const [label, shape] of [
      ['1 event a request, 64 connections', { events: 1, connections: 64 }],
      ['100 events a request, 16 connections', { events: 100, connections: 16 }],
    ]) {
      console.log(`  ${label}`);
      let reference;
      for (const ack of ['accepted', 'durable', 'committed']) {
        const samples = [];
        await pass(service.url, { ack, ...shape });
        for (let i = 0; i < passes; i++) {
          await idle(service.controlUrl);
          samples.push(await pass(service.url, { ack, ...shape }));
        }
        const perSecond = median(samples.map((sample) => sample.perSecond));
        const p99 = median(samples.map((sample) => sample.p99));
        const refused = samples.reduce((sum, sample) => sum + sample.refused, 0);
        reference ??= perSecond;
        console.log(
          `    ack=${ack.padEnd(10)} ${Math.round(perSecond).toLocaleString('en').padStart(9)} events/s   ${(perSecond / reference).toFixed(2)} ×   p99 ${p99.toFixed(1)} ms${refused === 0 ? '' : `   ${refused} requests answered 503`}`,
        );
      }
    }
  });
}
