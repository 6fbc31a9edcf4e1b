/** The durable log: appends against a plain loop over lmdb, ids, a steady state of append, consume and release, and a start with a backlog. */

import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { open } from 'lmdb';
import { openLmdbLog } from 'sluice/lmdb';
import { heading, inFolder, median, report } from './support.js';

const payload = Buffer.alloc(200, 'x');
const runs = 5;
const runMs = 1_500;

export async function benchLog() {
  await singleAppends();
  await bulkAppends();
  await steadyState();
  startWithBacklog(Number(/--backlog-gb=([\d.]+)/.exec(process.argv.join(' '))?.[1] ?? 0.2));
}

async function singleAppends() {
  const writers = 1_000;
  heading(`log: one event an append, ${writers} writers, 200 bytes, generated ids; medians of ${runs} alternating runs`);
  const samples = { 'lmdb put and flushed': [], 'log.append': [] };
  for (let run = 0; run < runs; run++) {
    samples['lmdb put and flushed'].push(await inFolder((path) => plainLoop(path, writers)));
    samples['log.append'].push(await inFolder((path) => logLoop(path, writers, 1, anyId)));
  }
  report('events/s', medians(samples), 'lmdb put and flushed', { higherIsBetter: true });
}

async function bulkAppends() {
  const writers = 50;
  heading(`log: 100 events an append, ${writers} writers, durable; medians of ${runs} alternating runs`);
  let next = 0;
  const kinds = {
    'generated ids': anyId,
    'ids that grow': () => eventOf(`event-${String(next++).padStart(12, '0')}`, false),
    'random ids (UUIDv4)': () => eventOf(randomUUID(), false),
  };
  const samples = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, []]));
  for (let run = 0; run < runs; run++) {
    for (const [kind, made] of Object.entries(kinds)) {
      samples[kind].push(await inFolder((path) => logLoop(path, writers, 100, made)));
    }
  }
  report('events/s', medians(samples), 'generated ids', { higherIsBetter: true });
}

async function steadyState() {
  heading('log: append, consume and release at once, 20 writers of 500, one group');
  const rates = [];
  let bytes = [];
  for (let run = 0; run < runs; run++) {
    const { rate, sizes } = await inFolder(steadyRun);
    rates.push(rate);
    bytes = sizes;
  }
  const mib = (size) => `${(size / 2 ** 20).toFixed(0)} MiB`;
  console.log(`  ${Math.round(median(rates)).toLocaleString('en')} items/s end to end, median of ${runs} runs`);
  console.log(`  the file in the last run, a quarter, half and all of it: ${bytes.map(mib).join(', ')}`);
}

/** Fills a log, then opens it in a process of its own, and an empty one. */
function startWithBacklog(gigabytes) {
  heading(`log: start with a backlog of ${gigabytes} GB (--backlog-gb=5 for the full size)`);
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  try {
    const child = (...args) => {
      const { stdout, stderr, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args], {
        encoding: 'utf8',
        maxBuffer: 1 << 20,
      });
      if (status !== 0) throw new Error(stderr);
      return JSON.parse(stdout);
    };
    const { records, fillSeconds } = child('fill', join(folder, 'full'), String(gigabytes));
    const empty = child('start', join(folder, 'empty'));
    const full = child('start', join(folder, 'full'));
    const size = statSync(join(folder, 'full', 'data.mdb')).size / 2 ** 30;
    console.log(`  ${records.toLocaleString('en')} records, ${size.toFixed(2)} GiB, written in ${fillSeconds.toFixed(0)} s`);
    for (const [name, { openMs, firstAppendMs, rssAnonMb }] of Object.entries({ empty, full })) {
      console.log(
        `  ${name.padEnd(6)} open ${openMs.toFixed(0)} ms, first durable append with an id of its own after ${firstAppendMs.toFixed(0)} ms more, RssAnon ${rssAnonMb.toFixed(0)} MB`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function plainLoop(path, writers) {
  const db = open({ path, noSubdir: false, encoding: 'binary', keyEncoding: 'binary' });
  let next = 0;
  const rate = await perSecond(writers, 1, async () => {
    const key = Buffer.allocUnsafe(8);
    key.writeDoubleBE(next++);
    db.put(key, payload);
    await db.flushed;
  });
  await db.close();
  return rate;
}

async function logLoop(path, writers, items, made) {
  const log = openLmdbLog({ path });
  const rate = await perSecond(writers, items, () => log.append('s', eventsOf(items, made)));
  await log.close();
  return rate;
}

/** Operations a second of so many loops, after a warm-up. */
async function perSecond(writers, items, operation) {
  let done = 0;
  let state = 'warm';
  const loop = async () => {
    while (state !== 'over') {
      await operation();
      done += items;
    }
  };
  const loops = Array.from({ length: writers }, loop);
  await new Promise((resolve) => setTimeout(resolve, runMs / 3));
  done = 0;
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, runMs));
  const rate = (done * 1_000) / (performance.now() - startedAt);
  state = 'over';
  await Promise.all(loops);
  return rate;
}

function eventsOf(items, made) {
  const events = [];
  for (let i = 0; i < items; i++) events.push(made());
  return events;
}

/** One literal: an object that begins with a spread gets a hidden class of its own in V8, 2 µs each, and all that reads it becomes slow. */
function eventOf(id, generated) {
  return { id, generated, tenant: '_', time: null, receivedAt: 1_700_000_000_000, payload };
}

function anyId() {
  return eventOf('x', true);
}

async function steadyRun(path) {
  const log = openLmdbLog({ path });
  const claim = await log.claim('g', 's', 0);
  const total = 800_000;
  const sizes = [];
  let offset = 0;
  let appended = 0;
  let wake = () => {};
  log.onAppended('s', () => wake());
  const startedAt = performance.now();
  const events = eventsOf(500, anyId);
  const write = async () => {
    while (appended < total) {
      appended += 500;
      await log.append('s', events);
    }
  };
  const writers = Array.from({ length: 20 }, write);
  let settled = 0;
  let settling;
  // As a consumer does: reading goes on while the settlement before is on its way to the disk.
  const settle = async () => {
    while (settled < offset) {
      const range = { first: settled, last: offset - 1 };
      await log.settle(claim, { position: { cursor: range.last + 1, settledAbove: [] }, delivered: [range] });
      settled = range.last + 1;
      if (settled >= (total / 4) * 2 ** sizes.length) sizes.push(log.facets.disk.fileBytes());
    }
    settling = undefined;
  };
  while (offset < total) {
    const heard = new Promise((resolve) => {
      wake = resolve;
    });
    const records = offset - settled > 100_000 ? [] : await log.read('s', 0, offset, { maxItems: 2_000, maxBytes: 4 << 20 });
    if (records.length > 0) offset = records.at(-1).offset + 1;
    // With nothing that settles, only an append can go on.
    else await (settling === undefined ? heard : Promise.race([heard, settling]));
    if (settled < offset) settling ??= settle();
  }
  await settling;
  const rate = (offset * 1_000) / (performance.now() - startedAt);
  await Promise.all(writers);
  await log.close();
  return { rate, sizes };
}

function medians(samples) {
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, median(values)]));
}

async function fill(path, gigabytes) {
  const log = openLmdbLog({ path });
  await log.createGroup('g', 's');
  const startedAt = performance.now();
  const records = Math.ceil((gigabytes * 1e9) / 1_000);
  const big = Buffer.alloc(960, 'y');
  let made = 0;
  const write = async () => {
    while (made < records) {
      const count = Math.min(1_000, records - made);
      const from = made;
      made += count;
      const events = Array.from({ length: count }, (_, i) => ({
        // The last ones have ids of their own, a full window of them: they are what a start must read.
        id: `event-${from + i}`,
        generated: from + i < records - 1_000_000,
        tenant: '_',
        time: null,
        receivedAt: 1_700_000_000_000,
        payload: big,
      }));
      await log.append('s', events);
    }
  };
  await Promise.all(Array.from({ length: 8 }, write));
  await log.close();
  return { records, fillSeconds: (performance.now() - startedAt) / 1_000 };
}

async function start(path) {
  const { readFileSync } = await import('node:fs');
  const openedAt = performance.now();
  const log = openLmdbLog({ path });
  const openMs = performance.now() - openedAt;
  await log.append(
    's',
    eventsOf(1, () => eventOf(randomUUID(), false)),
  );
  const firstAppendMs = performance.now() - openedAt - openMs;
  const rssAnonMb = Number(/RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? Number.NaN) / 1_000;
  await log.close();
  return { openMs, firstAppendMs, rssAnonMb };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , what, path, gigabytes] = process.argv;
  process.stdout.write(JSON.stringify(await (what === 'fill' ? fill(path, Number(gigabytes)) : start(path))));
}
