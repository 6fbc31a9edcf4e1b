/** Delivery: what each guarantee level costs, and a consumer that keeps up with its producers. */

import { openLmdbLog } from 'sluice/lmdb';
import { createConsumer } from 'sluice/log';
import { heading, inFolder, median, percentile } from './support.js';

const payload = Buffer.alloc(200, 'x');
const runs = 5;
const writers = 1_000;
const runMs = 1_500;

export async function benchDelivery() {
  await levels();
  await endToEnd();
}

/** One event at a time from each writer, who waits for its level before the next. */
async function levels() {
  heading(`delivery: ${writers} writers of one event (200 bytes), each waits for its level; medians of ${runs} alternating runs`);
  const samples = { accepted: [], durable: [], committed: [] };
  for (let run = 0; run < runs; run++)
    for (const level of Object.keys(samples)) samples[level].push(await inFolder((path) => levelRun(path, level)));
  for (const [level, taken] of Object.entries(samples)) {
    const of = (name) => median(taken.map((one) => one[name]));
    console.log(
      `  ${level.padEnd(10)} ${Math.round(of('rate')).toLocaleString('en').padStart(9)} events/s   p50 ${of('p50').toFixed(2)} ms   p99 ${of('p99').toFixed(2)} ms   ${of('cpu').toFixed(1)} µs of CPU an event`,
    );
  }
}

async function levelRun(path, level) {
  const log = openLmdbLog({ path });
  const consumer = await createConsumer({ log, stream: 's', group: 'g', sink: noSink(), window: { maxDelayMs: 5 } });
  const never = new AbortController().signal;
  const took = [];
  let state = 'warm';
  const write = async () => {
    while (state !== 'over') {
      const startedAt = performance.now();
      if (level === 'accepted') {
        // Nothing to wait for: the turn of the event loop that everybody else needs too.
        while (log.offer('s', [event()]) === 'full') await new Promise((resolve) => setTimeout(resolve, 1));
        await new Promise((resolve) => setImmediate(resolve));
      } else {
        const { appended } = await log.append('s', [event()]);
        if (level === 'committed') await consumer.settled(appended[0].partition, appended[0].offset, never);
      }
      if (state === 'measured') took.push(performance.now() - startedAt);
    }
  };
  const all = Array.from({ length: writers }, write);
  await new Promise((resolve) => setTimeout(resolve, runMs / 3));
  state = 'measured';
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, runMs));
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startedAt) / 1_000;
  state = 'over';
  await Promise.all(all);
  await consumer.drain({ deadlineMs: 30_000 });
  await log.close();
  return {
    rate: took.length / seconds,
    p50: percentile(took, 0.5),
    p99: percentile(took, 0.99),
    cpu: (user + system) / took.length,
  };
}

async function endToEnd() {
  const variants = { 'no keys': () => null, '5,000 keys, order kept': (n) => `key ${n % 5_000}` };
  heading(`delivery: 20 writers of 500 durable events and a consumer that keeps up; medians of ${runs} alternating runs`);
  const samples = Object.fromEntries(Object.keys(variants).map((name) => [name, []]));
  for (let run = 0; run < runs; run++) {
    for (const [name, keyOf] of Object.entries(variants)) samples[name].push(await inFolder((path) => steadyRun(path, keyOf)));
  }
  for (const [name, taken] of Object.entries(samples)) {
    const of = (what) => median(taken.map((one) => one[what]));
    console.log(
      `  ${name.padEnd(26)} ${Math.round(of('rate')).toLocaleString('en').padStart(9)} events/s from append to settled   ${of('cpu').toFixed(1)} µs of CPU an event   file ${(of('bytes') / 2 ** 20).toFixed(0)} MiB`,
    );
  }
}

async function steadyRun(path, keyOf) {
  const total = 600_000;
  const log = openLmdbLog({ path });
  let left = total;
  let finish;
  const finished = new Promise((resolve) => {
    finish = resolve;
  });
  const sink = noSink((records) => {
    left -= records.length;
    if (left === 0) finish();
  });
  const consumer = await createConsumer({ log, stream: 's', group: 'g', sink });
  let next = 0;
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const write = async () => {
    while (next < total) {
      const from = next;
      next += 500;
      await log.append(
        's',
        Array.from({ length: 500 }, (_, i) => ({ ...event(), key: keyOf(from + i) })),
      );
    }
  };
  await Promise.all(Array.from({ length: 20 }, write));
  await finished;
  await consumer.drain({ deadlineMs: 30_000 });
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  const bytes = log.facets.disk.fileBytes();
  await log.close();
  return { rate: total / seconds, cpu: (user + system) / total, bytes };
}

function noSink(taken = () => {}) {
  return { idempotent: true, atomic: true, write: async (records) => taken(records) };
}

function event() {
  return { id: 'x', generated: true, tenant: '_', time: null, receivedAt: Date.now(), payload };
}
