/** What the ledger costs, and how fast events go from the log, durable, into committed rows: PostgreSQL on the same cores, fsync on. */

import { join } from 'node:path';
import { openLmdbLog } from 'sluice/lmdb';
import { createConsumer } from 'sluice/log';
import { ledgerSink, postgresSink } from 'sluice/postgres';
import { serverCpuMs, withPostgres } from './postgres-server.js';
import { heading, median, report, rounds } from './support.js';

const rows = 100_000;
const connections = 4;
const table =
  'bench (id text primary key, at timestamptz not null, kind text not null, actor text not null, target text not null, payload jsonb not null)';

const columns = {
  id: (record) => record.id,
  at: (record) => new Date(record.receivedAt),
  kind: () => 'audit.login',
  actor: () => 'user-1234567',
  target: () => 'session-7654321',
  payload: (record) => record.payload,
};

export async function benchPostgresLedger() {
  await withPostgres(connections + 1, async (pool, _version, postmaster, folder) => {
    for (const batchRows of [500, 2_000]) await compare(pool, postmaster, batchRows);
    await fromLog(pool, join(folder, 'log'));
  });
}

async function compare(pool, postmaster, batchRows) {
  heading(
    `PostgreSQL 18, ${rows.toLocaleString('en')} rows of six columns in batches of ${batchRows}, ${connections} connections, fsync on`,
  );
  const samples = { 'sink alone': [], 'sink with the ledger': [], 'sink with a conflict rule': [] };
  const cpuSamples = Object.fromEntries(Object.keys(samples).map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const name of Object.keys(samples)) {
      const records = recordsOf(round * 10 + batchRows);
      const sink = {
        'sink alone': () => postgresSink({ pool, table: 'bench', columns }),
        'sink with the ledger': () =>
          ledgerSink({ pool, table: 'bench', columns, ledger: { source: `${round} ${batchRows}`, group: 'g' } }),
        'sink with a conflict rule': () =>
          postgresSink({ pool, table: 'bench', columns, conflict: { columns: ['id'], action: 'ignore' } }),
      }[name]();
      await pool.query(`drop table if exists bench; create table ${table}`);
      await sink.prepare();
      // A partition is taken over once, with its first batch.
      await sink.write(firstRecords(round), contextOf());
      const cpuBefore = cpuMs(postmaster);
      const startedAt = performance.now();
      await writeAll(sink, records, batchRows);
      if (round >= 0) {
        samples[name].push((rows * 1000) / (performance.now() - startedAt));
        cpuSamples[name].push(cpuMs(postmaster) - cpuBefore);
      }
      await assertRows(pool, rows + 1);
      await sink.close();
    }
  }
  const medians = (all) => Object.fromEntries(Object.entries(all).map(([name, values]) => [name, median(values)]));
  report('rows/s', medians(samples), 'sink alone', { higherIsBetter: true });
  report('ms of CPU, client and server', medians(cpuSamples), 'sink alone');
}

function cpuMs(postmaster) {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 + serverCpuMs(postmaster);
}

function firstRecords(salt) {
  const [record] = recordsOf(salt, 1);
  return [{ ...record, id: `first-${salt}`, offset: rows }];
}

function recordsOf(salt, length = rows) {
  return Array.from({ length }, (_, offset) => ({
    stream: 'events',
    partition: 0,
    offset,
    id: `event-${salt}-${offset}`,
    receivedAt: 1_790_000_000_000 + offset,
    payload: payloadOf(offset),
  }));
}

/** 80 bytes of JSON. */
function payloadOf(n) {
  return Buffer.from(JSON.stringify({ ip: '10.0.0.1', status: 200, agent: 'Mozilla/5.0', n: `${n}`.padStart(24, '0') }));
}

async function writeAll(sink, records, batchRows) {
  let next = 0;
  const worker = async () => {
    while (next < records.length) {
      const first = next;
      next += batchRows;
      await sink.write(records.slice(first, first + batchRows), contextOf());
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
}

function contextOf() {
  const { signal } = new AbortController();
  return { signal, deadlineAt: Number.POSITIVE_INFINITY, attempt: 1, idempotent: true, batchId: 'b', lane: '', entries: [] };
}

async function assertRows(pool, expected) {
  const { rows: found } = await pool.query('select count(*)::int as n from bench');
  if (found[0].n !== expected) throw new Error(`the table holds ${found[0].n} rows, not ${expected}`);
}

/** Events are appended, durably, while a consumer with the ledger commits them: both at once, on the same cores. */
async function fromLog(pool, path) {
  const events = 600_000;
  const perAppend = 500;
  const appenders = 8;
  heading(
    `log to rows, ${events.toLocaleString('en')} events, ${appenders} appenders of ${perAppend}, ledger on, all on the same cores`,
  );
  await pool.query(`drop table if exists bench; create table ${table}`);
  const log = await openLmdbLog({ path });
  const sink = ledgerSink({ pool, table: 'bench', columns, ledger: { log, group: 'bench' } });
  await sink.prepare();
  const consumer = await createConsumer({
    log,
    stream: 'events',
    group: 'bench',
    sink,
    maxItems: 4_000,
    maxInFlight: connections,
    window: { maxDelayMs: 20 },
  });
  const startedAt = performance.now();
  let next = 0;
  const append = async () => {
    while (next < events) {
      const first = next;
      next += perAppend;
      await log.append('events', eventsOf(first, perAppend));
      // What a service does whose pipeline is behind: the log would take more than the database.
      while (first - sink.stats().committed * 4_000 > 200_000) await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  await Promise.all(Array.from({ length: appenders }, append));
  const appendedMs = performance.now() - startedAt;
  await consumer.drain({ deadlineMs: 120_000 });
  const tookMs = performance.now() - startedAt;
  await assertRows(pool, events);
  await sink.close();
  await log.close();
  console.log(
    `  appended, durable ${Math.round((events * 1000) / appendedMs).toLocaleString('en')}/s; committed rows ${Math.round((events * 1000) / tookMs).toLocaleString('en')}/s`,
  );
}

function eventsOf(first, count) {
  return Array.from({ length: count }, (_, i) => ({
    id: `log-${first + i}`,
    generated: true,
    tenant: '_',
    time: null,
    receivedAt: 1_790_000_000_000,
    payload: payloadOf(first + i),
  }));
}
