/** The ways to write a batch to PostgreSQL, over batch sizes from 1 to 10,000; writes docs/reference/postgres-methods.{md,svg}. */

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { postgresSink } from 'sluice/postgres';
import { lineChart } from './line-chart.js';
import { benchRows, benchTable, withPostgres } from './postgres-server.js';
import { heading, machine } from './support.js';

const connections = 4;
const sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
const sampleMs = 300;
const sampleRounds = 4;

const context = {
  signal: new AbortController().signal,
  deadlineAt: Number.POSITIVE_INFINITY,
  attempt: 1,
  idempotent: true,
  batchId: '',
  lane: '',
  entries: [],
};
const columns = ['id', 'at', 'method', 'path', 'agent', 'payload'];
const ignore = { columns: ['id'], action: 'ignore' };

/** INSERT … VALUES ($1, $2, …), ($7, …): 65,535 parameters at most, here 10,922 rows. */
async function values(pool, rows) {
  const parameters = [];
  const tuples = rows.map((row) => {
    parameters.push(row.id, row.at, row.method, row.path, row.agent, JSON.stringify(row.payload));
    const n = parameters.length;
    return `($${n - 5},$${n - 4},$${n - 3},$${n - 2},$${n - 1},$${n})`;
  });
  await pool.query(`insert into bench values ${tuples.join(',')}`, parameters);
}

function methodsOf(pool) {
  const sink = (options) => postgresSink({ pool, table: 'bench', columns, ...options });
  const [arrays, copy] = [sink({ copyAboveRows: Number.POSITIVE_INFINITY }), sink({})];
  const idempotentArrays = sink({ copyAboveRows: Number.POSITIVE_INFINITY, conflict: ignore });
  const straightCopy = sink({ copyAboveRows: 0, conflict: ignore });
  // An update never goes straight, and here there is nothing to update.
  const idempotentCopy = sink({ copyAboveRows: 0, conflict: { ...ignore, action: 'update' } });
  return {
    'INSERT VALUES (pg, by hand)': (rows) => values(pool, rows),
    'INSERT from arrays': (rows) => arrays.write(rows, context),
    COPY: (rows) => copy.write(rows, context),
    'INSERT from arrays, conflict': (rows) => idempotentArrays.write(rows, context),
    'COPY via temporary table, conflict': (rows) => idempotentCopy.write(rows, context),
    'COPY straight, conflict, new keys': (rows) => straightCopy.write(rows, context),
  };
}

/** Nanoseconds that the server's sessions have spent on a CPU. Linux only. */
async function serverCpu(pids) {
  const times = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/schedstat`, 'utf8')));
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0);
}

/** Rows written, and the CPU time that they took here and in the server, while four writers write for a while. */
async function sample(pids, write, size) {
  const rows = Array.from({ length: Math.min(1500, Math.max(8, Math.ceil(24_000 / size))) }, () => benchRows(size));
  let written = 0;
  const [server, own] = [await serverCpu(pids), process.cpuUsage()];
  const startedAt = performance.now();
  const worker = async () => {
    for (let batch = rows.pop(); batch !== undefined && performance.now() - startedAt < sampleMs; batch = rows.pop()) {
      await write(batch);
      written += size;
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
  const { user, system } = process.cpuUsage(own);
  return { rows: written, seconds: (user + system) / 1e6 + ((await serverCpu(pids)) - server) / 1e9 };
}

export async function benchPostgresMethods() {
  heading(
    `Methods over batch sizes, ${connections} connections, ${sampleRounds} rounds of ${sampleMs} ms each: rows a CPU second`,
  );
  await withPostgres(connections, async (pool, version) => {
    await pool.query(benchTable);
    const clients = await Promise.all(Array.from({ length: connections }, () => pool.connect()));
    const pids = clients.map(({ processID }) => processID);
    for (const client of clients) client.release();
    const methods = methodsOf(pool);
    const results = Object.fromEntries(Object.keys(methods).map((name) => [name, []]));
    for (const write of Object.values(methods)) await sample(pids, write, 10);
    for (const size of sizes) {
      await pool.query('truncate bench');
      const sums = Object.fromEntries(Object.keys(methods).map((name) => [name, { rows: 0, seconds: 0 }]));
      for (let round = 0; round < sampleRounds; round++) {
        for (const [name, write] of Object.entries(methods)) {
          const { rows, seconds } = await sample(pids, write, size);
          sums[name].rows += rows;
          sums[name].seconds += seconds;
        }
      }
      for (const [name, { rows, seconds }] of Object.entries(sums)) results[name].push(rows / seconds);
      const line = Object.values(results).map((list) => thousands(list.at(-1)).padStart(9));
      console.log(`  ${String(size).padStart(6)} ${line.join('')}`);
    }
    await writePages(results, version);
  });
}

/** The size from which on the second method is no dearer than the first, within 5 %, at each size. */
function crossing(first, second) {
  let from;
  for (let i = sizes.length - 1; i >= 0 && second[i] >= 0.95 * first[i]; i--) from = sizes[i];
  return from;
}

async function writePages(results, version) {
  const title = `Rows a CPU second by batch size, PostgreSQL ${version}, ${connections} connections`;
  const svg = lineChart({ title, x: sizes, xLabel: 'rows a batch', yLabel: 'rows a CPU second', series: results });
  await writeFile(page('svg'), svg);
  await writeFile(page('md'), markdown(results, version));
}

const page = (ending) => fileURLToPath(new URL(`../docs/reference/postgres-methods.${ending}`, import.meta.url));

const thousands = (value) => `${(value / 1000).toFixed(value < 9950 ? 1 : 0)}k`;

function markdown(results, version) {
  const names = Object.keys(results);
  const table = sizes.map(
    (size, i) => `| ${size.toLocaleString('en')} | ${names.map((name) => thousands(results[name][i])).join(' | ')} |`,
  );
  const plain = crossing(results['INSERT from arrays'], results.COPY);
  const idempotent = crossing(results['INSERT from arrays, conflict'], results['COPY via temporary table, conflict']);
  const straight = crossing(results['INSERT from arrays, conflict'], results['COPY straight, conflict, new keys']);
  const byHand = crossing(results['INSERT VALUES (pg, by hand)'], results.COPY);
  const said = (from, at) =>
    from === undefined ? 'at no size in this run' : from === sizes[0] ? 'from the first row on' : `from ${at} rows on`;
  return `# Methods of writing to PostgreSQL

Made by \`npm run bench postgres-methods\`; do not edit. ${machine()}; PostgreSQL ${version} on the same cores, fsync on; ${connections}
connections; six columns (text primary key, timestamptz, three texts, jsonb of 80 bytes); sums of ${sampleRounds} alternating rounds of
${sampleMs} ms. A CPU second is one of the client's and the server's sessions together: unlike rows a second it does not depend on what
else the machine does.

![Rows a CPU second by batch size](postgres-methods.svg)

| rows a batch | ${names.join(' | ')} |
|---:|${names.map(() => '---:').join('|')}|
${table.join('\n')}

Rows a CPU second. Without a conflict rule COPY was no dearer, within 5 %, ${said(plain, plain?.toLocaleString('en'))}: the sink always uses it. With one,
COPY through a temporary table was no dearer, within 5 %, ${said(idempotent, idempotent?.toLocaleString('en'))}; below, the temporary table costs more
than it saves. Straight into the table, as a rule that ignores allows while keys are new, it was no dearer ${said(straight, straight?.toLocaleString('en'))}. A VALUES statement by hand, which neither classes errors nor gives up when its signal does, COPY by the sink outdid
${said(byHand, byHand?.toLocaleString('en'))}. \`copyAboveRows\` (default 100) moves the border.

INSERT from arrays is \`INSERT … SELECT FROM unnest($1, $2, …)\`: one parameter a column, so that a batch of any size stays below the 65,535
parameters of a statement; VALUES would end at floor(65,535 / columns) rows.
`;
}
