/** PostgreSQL sink against loops written by hand; real PostgreSQL on the same cores, fsync on. */

import { pipeline } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import { createBatcher } from 'sluice';
import { postgresSink } from 'sluice/postgres';
import { benchRows, benchTable, withPostgres } from './postgres-server.js';
import { heading, median, report, rounds } from './support.js';

const rows = 40_000;
const connections = 4;

/** The sink is handed batches as a batcher would hand them. */
const context = {
  signal: new AbortController().signal,
  deadlineAt: Number.POSITIVE_INFINITY,
  attempt: 1,
  idempotent: true,
  batchId: '',
  lane: '',
  entries: [],
};

/** Runs the batches on as many connections as the sink would have. */
async function onConnections(batches, write) {
  const left = [...batches];
  const worker = async () => {
    for (let batch = left.pop(); batch !== undefined; batch = left.pop()) await write(batch);
  };
  await Promise.all(Array.from({ length: connections }, worker));
}

async function onClients(pool, batches, write) {
  const clients = await Promise.all(Array.from({ length: connections }, () => pool.connect()));
  const free = [...clients];
  await onConnections(batches, async (batch) => {
    const client = free.pop();
    await write(client, batch);
    free.push(client);
  });
  for (const client of clients) client.release();
}

const escaped = (text) => (text.includes('\\') ? text.replaceAll('\\', '\\\\') : text);

const linesOf = (batch) =>
  Buffer.from(
    batch
      .map(
        (row) =>
          `${row.id}\t${row.at.toISOString()}\t${row.method}\t${row.path}\t${row.agent}\t${escaped(JSON.stringify(row.payload))}\n`,
      )
      .join(''),
  );

/** What a careful engineer writes. */
const copyByHand = (pool, batches) =>
  onClients(pool, batches, (client, batch) => pipeline([linesOf(batch)], client.query(copyFrom('copy bench from stdin'))));

/** The same with a conflict clause: COPY into a temporary table, INSERT … ON CONFLICT DO NOTHING, one transaction a batch. */
const stageByHand = (pool, batches) =>
  onClients(pool, batches, async (client, batch) => {
    await client.query('create temporary table if not exists stage (like bench) on commit delete rows');
    await client.query('begin');
    await pipeline([linesOf(batch)], client.query(copyFrom('copy stage from stdin')));
    await client.query('insert into bench select * from stage on conflict do nothing');
    await client.query('commit');
  });

const columns = ['id', 'at', 'method', 'path', 'agent', 'payload'];
const ignore = { columns: ['id'], action: 'ignore' };

async function bySink(pool, batches, options = {}) {
  const sink = postgresSink({ pool, table: 'bench', columns, ...options });
  const failures = [];
  await onConnections(batches, async (batch) => {
    for (const failure of (await sink.write(batch, context)) ?? []) if (failure !== undefined) failures.push(failure);
  });
  return failures;
}

async function byBatcher(pool, batches, options = {}) {
  const sink = postgresSink({ pool, table: 'bench', columns, ...options });
  const batcher = createBatcher({ sink, maxItems: batches[0].length, maxInFlight: connections });
  for (const batch of batches) for (const item of batch) await batcher.add(item);
  await batcher.close();
}

/** Rounds of the variants, alternating; rows a second of each, the median, after a check that all rows are there. */
async function compare(pool, batchRows, variants, { spoil = () => {}, bad = 0 } = {}) {
  const samples = Object.fromEntries(Object.keys(variants).map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [name, { write, spoiled = false }] of Object.entries(variants)) {
      const items = benchRows(rows);
      if (spoiled) spoil(items);
      const batches = [];
      for (let i = 0; i < rows; i += batchRows) batches.push(items.slice(i, i + batchRows));
      await pool.query('truncate bench');
      const startedAt = performance.now();
      const failures = await write(pool, batches);
      if (round >= 0) samples[name].push((rows * 1000) / (performance.now() - startedAt));
      const [{ n }] = (await pool.query('select count(*)::int as n from bench')).rows;
      const missing = spoiled ? bad : 0;
      if (n !== rows - missing) throw new Error(`${name} wrote ${n} rows, not ${rows - missing}`);
      if (spoiled && failures.filter(({ code }) => code.startsWith('PG_')).length !== bad)
        throw new Error('not each bad row has its reason');
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, median(values)]));
}

export async function benchPostgres() {
  await withPostgres(connections, async (pool, version) => {
    await pool.query(benchTable);
    for (const batchRows of [500, 5000]) {
      heading(`PostgreSQL ${version}, six columns, batches of ${batchRows}, ${connections} connections, fsync on`);
      const plain = {
        'COPY by hand': { write: copyByHand },
        'the sink': { write: bySink },
        'batcher and sink': { write: byBatcher },
      };
      report('rows/s', await compare(pool, batchRows, plain), 'COPY by hand', { higherIsBetter: true });
      const idempotent = {
        'COPY to a temporary table by hand': { write: stageByHand },
        'the sink, conflict: ignore': { write: (...given) => bySink(...given, { conflict: ignore }) },
      };
      report('rows/s', await compare(pool, batchRows, idempotent), 'COPY to a temporary table by hand', { higherIsBetter: true });
    }
    await benchBadRows(pool);
  });
}

/** 40 bad rows among 10,000, which is 160 among the 40,000 here, spread evenly. */
async function benchBadRows(pool) {
  await pool.query("alter table bench add constraint known check (method <> 'BREW')");
  const kinds = {
    'a wrong type': (row) => ({ ...row, at: 'no time' }),
    'a failed check': (row) => ({ ...row, method: 'BREW' }),
    'a null': (row) => ({ ...row, path: null }),
  };
  const each = 250;
  for (const [kind, spoilRow] of Object.entries(kinds)) {
    for (const batchRows of [500, 10_000]) {
      heading(`40 bad rows (${kind}) among 10,000, batches of ${batchRows}`);
      const spoil = (items) => {
        for (let i = each >> 1; i < items.length; i += each) items[i] = spoilRow(items[i]);
      };
      const variants = { 'clean rows': { write: bySink }, 'with bad rows': { write: bySink, spoiled: true } };
      report('rows/s', await compare(pool, batchRows, variants, { spoil, bad: rows / each }), 'clean rows', {
        higherIsBetter: true,
      });
      const staged = {
        'clean rows, conflict: ignore': { write: (...given) => bySink(...given, { conflict: ignore }) },
        'with bad rows, conflict: ignore': { write: (...given) => bySink(...given, { conflict: ignore }), spoiled: true },
      };
      report('rows/s', await compare(pool, batchRows, staged, { spoil, bad: rows / each }), 'clean rows, conflict: ignore', {
        higherIsBetter: true,
      });
    }
  }
}
