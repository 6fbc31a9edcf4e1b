/**
 * `npm run bench:service [-- --seconds N] [--quick] [section …]`: the figures of the whole service over HTTP. Load generator, service and
 * PostgreSQL share the machine; the load it has from others stands beside the figures.
 */

import { createServer } from 'node:http';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openClient, requestText } from './raw-client.js';
import { anonymousMemory, idle, startProcess, withService } from './service-process.js';
import { heading, machine, median, percentile } from './support.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, quick: { type: 'boolean', default: false } },
});
const openLoopSeconds = Number(values.seconds);
/** How long after the last request of an open loop its answer is waited for. */
const unansweredMs = 30_000;
const passMs = values.quick ? 1_000 : 4_000;
const passes = values.quick ? 1 : 5;
const fields = '"path":"/a/b/c","status":200,"bytes":12345,"agent":"Mozilla/5.0 (X11; Linux x86_64)"}';

const eventsPath = (ack) => `/v1/streams/events/events?ack=${ack}`;

let nextId = 0;

const sections = { single: benchSingle, ndjson: benchNdjson, open: benchOpenLoop, read: benchRead };
const unknown = positionals.filter((name) => !(name in sections));
if (unknown.length > 0 || !(openLoopSeconds > 0)) {
  console.error(`bench:service: the sections are ${Object.keys(sections).join(', ')}; --seconds is a number above 0`);
  process.exit(2);
}
const load = () => `load average ${loadavg()[0].toFixed(1)}`;
console.log(
  `${machine()}, ${load()}; load generator, service and PostgreSQL share it; the pipeline into PostgreSQL runs throughout`,
);
console.log(`medians of ${passes} passes of ${passMs / 1000} s that alternate between the variants`);
for (const [name, run] of Object.entries(sections)) if (positionals.length === 0 || positionals.includes(name)) await run();

function event() {
  return `{"id":"b${nextId++}",${fields}`;
}

function ndjson(count) {
  let text = '';
  for (let i = 0; i < count; i++) text += `${event()}\n`;
  return text;
}

/** Closed loop: each connection sends its next request when the last one is answered. Returns events a second, answered as asked. */
async function closedLoop(url, connections, events, newRequest, asked) {
  const client = await openClient(url, connections);
  const until = performance.now() + passMs;
  let done = 0;
  let refused = 0;
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < until) {
        const { status } = await client.request(newRequest());
        if (status === asked) done += events;
        else if (status === 503 || status === 429) {
          refused++;
          await new Promise((resolve) => setTimeout(resolve, 50));
        } else throw new Error(`it was answered with ${status}, not ${asked}`);
      }
    }),
  );
  const perSecond = (done / (performance.now() - startedAt)) * 1000;
  client.close();
  return { perSecond, refused };
}

/** Passes of the variants in turn; prints medians and ratios to the first. */
async function alternate(variants, between) {
  const samples = Object.fromEntries(Object.keys(variants).map((name) => [name, []]));
  for (let pass = -1; pass < passes; pass++) {
    for (const [name, run] of Object.entries(variants)) {
      await between();
      const sample = await run();
      if (pass >= 0) samples[name].push(sample);
    }
  }
  let reference;
  for (const [name, taken] of Object.entries(samples)) {
    const perSecond = median(taken.map((sample) => sample.perSecond));
    const refused = taken.reduce((sum, sample) => sum + sample.refused, 0);
    reference ??= perSecond;
    console.log(
      `  ${name.padEnd(34)} ${Math.round(perSecond).toLocaleString('en').padStart(9)} events/s   ${(perSecond / reference).toFixed(2)} ×${refused === 0 ? '' : `   ${refused} requests refused (503, 429)`}`,
    );
  }
}

/** Samples the memory of a process while `work` runs. */
async function withMemory({ pid }, work) {
  let most = 0;
  const timer = setInterval(() => {
    most = Math.max(most, anonymousMemory(pid));
  }, 100);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  console.log(`  RssAnon at most ${(most / 2 ** 20).toFixed(0)} MiB; ${load()}`);
}

/** Passes at a level, by the level. */
function variant(url, connections, events, newBody, contentType) {
  const request = (ack) => () => requestText('POST', eventsPath(ack), newBody(), contentType);
  return (ack) => () => closedLoop(url, connections, events, request(ack), ack === 'accepted' ? 202 : 200);
}

async function benchSingle() {
  heading('One event a request, 256 connections, closed loop');
  const bare = await startProcess([fileURLToPath(new URL('bare-server.js', import.meta.url))], '\n');
  try {
    await withService([], async (service) => {
      const of = variant(service.url, 256, 1, event, 'application/json');
      const floor = () => closedLoop(bare.printed.trim(), 256, 1, () => requestText('POST', '/', event()), 202);
      const variants = {
        'bare node:http, JSON.parse, 202': floor,
        'ack=durable': of('durable'),
        'ack=accepted': of('accepted'),
        'ack=committed': of('committed'),
      };
      await withMemory(service, () => alternate(variants, () => idle(service.controlUrl)));
    });
  } finally {
    bare.child.kill('SIGKILL');
    await bare.ended;
  }
}

async function benchNdjson() {
  heading('NDJSON, 100 events a request, 32 connections, closed loop');
  await withService([], async (service) => {
    const of = variant(service.url, 32, 100, () => ndjson(100), 'application/x-ndjson');
    const variants = { 'ack=accepted': of('accepted'), 'ack=durable': of('durable'), 'ack=committed': of('committed') };
    await withMemory(service, () => alternate(variants, () => idle(service.controlUrl)));
  });
}

async function benchOpenLoop() {
  heading(`Open loop: 50,000 events/s in requests of 10, ${openLoopSeconds} s each; latency from when a request was due`);
  await withService([], async (service) => {
    for (const ack of ['committed', 'durable']) {
      await idle(service.controlUrl);
      const before = await refusals(service);
      await withMemory(service, () => openLoop(service.url, ack, openLoopSeconds));
      const after = await refusals(service);
      const reasons = Object.entries(after).map(([reason, count]) => `${reason} × ${count - (before[reason] ?? 0)}`);
      if (reasons.length > 0) console.log(`  refused because: ${reasons.join(', ')}`);
    }
  });
}

/** Requests that were not let in since the start, by reason. */
async function refusals({ controlUrl }) {
  const text = await (await fetch(`${controlUrl}/metrics`)).text();
  const found = text.matchAll(/^sluice_refused_requests_total\{reason="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...found].map(([, reason, count]) => [reason, Number(count)]));
}

/** 5,000 requests a second, sent when they are due, however long the answers take. */
async function openLoop(url, ack, seconds) {
  const perSecond = 5_000;
  const client = await openClient(url, 512);
  const latencies = [];
  const statuses = new Map();
  const answers = [];
  const startedAt = performance.now();
  const total = perSecond * seconds;
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * perSecond));
    for (; sent < due; sent++) {
      const dueAt = startedAt + (sent / perSecond) * 1000;
      const answer = client
        .request(requestText('POST', eventsPath(ack), ndjson(10), 'application/x-ndjson'))
        .then(({ status }) => {
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          if (status === 200) latencies.push(performance.now() - dueAt);
        });
      answers.push(answer);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.race([Promise.all(answers), new Promise((resolve) => setTimeout(resolve, unansweredMs))]);
  const unanswered = total - [...statuses.values()].reduce((sum, count) => sum + count, 0);
  if (unanswered > 0) statuses.set('none', unanswered);
  const tookSeconds = (performance.now() - startedAt) / 1000;
  client.close();
  const p = (share) => (latencies.length === 0 ? '–' : `${percentile(latencies, share).toFixed(1)} ms`);
  console.log(
    `  ack=${ack.padEnd(10)} ${Math.round((latencies.length * 10) / tookSeconds).toLocaleString('en')} events/s   p50 ${p(0.5)}   p99 ${p(0.99)}   p99.9 ${p(0.999)}   answers ${[...statuses].map(([status, count]) => `${status} × ${count}`).join(', ')}`,
  );
}

async function benchRead() {
  const windowMs = 100;
  const clients = 2_000;
  heading(`GET /read: ${clients.toLocaleString('en')} clients, 200 keys, window ${windowMs} ms, a backend that answers at once`);
  let calls = 0;
  const backend = createServer((request, response) => {
    calls++;
    const keys = new URL(request.url, 'http://x').searchParams.getAll('keys').flatMap((text) => text.split(','));
    response.setHeader('content-type', 'application/json').end(JSON.stringify(Object.fromEntries(keys.map((key) => [key, 1]))));
  });
  await new Promise((resolve) => backend.listen(0, '127.0.0.1', resolve));
  try {
    const upstream = `http://127.0.0.1:${backend.address().port}/read`;
    await withService(['--read-upstream', upstream, '--read-window', String(windowMs)], async (service) => {
      const client = await openClient(service.url, clients);
      const requests = Array.from({ length: 200 }, (_, key) => requestText('GET', `/read?key=key-${key}`));
      const took = [];
      let until = 0;
      const run = async (i) => {
        while (performance.now() < until) {
          const sentAt = performance.now();
          const { status } = await client.request(requests[i % requests.length]);
          if (status !== 200) throw new Error(`a read was answered with ${status}`);
          took.push(performance.now() - sentAt);
        }
      };
      const pass = async (ms) => {
        until = performance.now() + ms;
        const startedAt = performance.now();
        took.length = 0;
        calls = 0;
        await Promise.all(Array.from({ length: clients }, (_, i) => run(i)));
        return performance.now() - startedAt;
      };
      await pass(1_000);
      await withMemory(service, async () => {
        const tookMs = await pass(passMs * 2);
        console.log(
          `  ${Math.round((took.length / tookMs) * 1000).toLocaleString('en')} reads/s in ${(calls / (tookMs / windowMs)).toFixed(2)} calls a window   p50 ${percentile(took, 0.5).toFixed(1)} ms   p99 ${percentile(took, 0.99).toFixed(1)} ms (the window and ${(percentile(took, 0.99) - windowMs).toFixed(1)} ms)`,
        );
      });
      client.close();
    });
  } finally {
    backend.closeAllConnections();
    backend.close();
  }
}
