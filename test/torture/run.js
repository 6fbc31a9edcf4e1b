/**
 * `npm run torture [batcher|still|loader|log …] [-- --seed N] [--from N] [--count N]`: schedules by the million, until one breaks a promise.
 * `npm run torture -- kill|power [--seed N] [--count N]`: a process on a real store, killed at random moments, or with the power cut.
 * `npm run torture -- postgres [--seed N] [--count N]`: 200 kills of a pipeline and its database, a death at each step, then eight writers on the
 * same keys for a minute.
 */

import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { loadSource, root } from '../load-source.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, from: { type: 'string' }, count: { type: 'string' } },
});
if (positionals[0] === 'postgres') {
  const { torturePostgres } = await loadSource('test/torture/postgres/campaign.ts');
  const seed = wholeNumber('seed', values.seed) ?? Date.now() % 1_000_000;
  const problems = await torturePostgres(root, seed, wholeNumber('count', values.count) ?? 200, console.log);
  if (problems.length > 0) fail(`${problems.join('\n')}\nonce more: npm run torture -- postgres --seed ${seed}`, 1);
  writeSameKeys();
  console.log('no promise was broken');
  process.exit(0);
}
const { campaign, players } = await loadSource('test/torture/campaign.ts');
const crashes = ['kill', 'power'];
const all = [...Object.keys(players), ...crashes];
const asked = positionals.length > 0 ? positionals : all;
const unknown = asked.filter((name) => !all.includes(name));
if (unknown.length > 0) fail(`there is no ${unknown.join(', ')} to torture; there are ${all.join(', ')}`, 2);
for (const name of crashes) if (asked.includes(name)) await crash(name);
const names = asked.filter((name) => name in players);
if (names.length === 0) process.exit(0);
const from = wholeNumber('seed', values.seed) ?? wholeNumber('from', values.from) ?? 1;
// A history of the log is some hundred times as long as a schedule of a batcher.
const usual = names.join() === 'log' ? 100_000 : 1_000_000;
const count = values.seed === undefined ? (wholeNumber('count', values.count) ?? usual) : 1;

console.log(`${count.toLocaleString('en')} schedules in all, from seed ${from}: ${names.join(', ')}`);
if (values.seed === undefined) await playAll();
else {
  const found = await campaign(names[0], from, 1, Number.POSITIVE_INFINITY);
  if (found !== undefined) fail(found.message, 1);
}
console.log('no promise was broken');
process.exit(0);

/** All of them, on every processor: each schedule depends on its seed alone. */
async function playAll() {
  const slices = [];
  const workers = availableParallelism();
  // In turns, so that an early end has seen a little of everything.
  const each = Math.ceil(count / names.length);
  const size = Math.min(1_000, Math.ceil(each / workers));
  for (let done = 0; done < each; done += size) {
    for (const name of names) slices.push({ name, from: from + done, count: Math.min(size, each - done) });
  }
  const startedAt = performance.now();
  let saidAt = startedAt;
  let played = 0;
  const said = ({ name, from, count }) => {
    played += count;
    const now = performance.now();
    if (now - saidAt < 10_000 && played < each * names.length) return;
    saidAt = now;
    const seconds = (now - startedAt) / 1000;
    const rate = (played / seconds).toFixed(0);
    const [first, last] = [from, from + count - 1];
    console.log(
      `${name}: seeds ${first} to ${last} hold; ${played.toLocaleString('en')} in ${seconds.toFixed(0)} s, ${rate} a second`,
    );
  };
  await Promise.all(Array.from({ length: Math.min(workers, slices.length) }, () => work(slices, said)));
}

/** One thread, until no slice is left. Most of what a schedule makes dies young: room for that spares a tenth of the time. */
function work(slices, said) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('slice-worker.js', import.meta.url), { resourceLimits: { maxYoungGenerationSizeMb: 128 } });
    worker.on('error', reject);
    worker.on('message', (done) => {
      if (done.found !== undefined) fail(done.found, 1);
      if (done.count !== undefined) said(done);
      const next = slices.shift();
      if (next !== undefined) worker.postMessage(next);
      else worker.terminate().then(resolve);
    });
  });
}

/** One store, crashed again and again. */
async function crash(name) {
  const { crashAgain, openWorkshop } = await loadSource('test/torture/crash/index.ts');
  const seed = wholeNumber('seed', values.seed) ?? Math.floor(Math.random() * 1_000_000);
  const count = wholeNumber('count', values.count) ?? 1_000;
  const workshop = openWorkshop(root);
  const startedAt = performance.now();
  const said = (crashed, counts) => {
    const seconds = (performance.now() - startedAt) / 1000;
    const rate = ((crashed / seconds) * 60).toFixed(0);
    console.log(`${name}: ${crashed} of ${count} in ${seconds.toFixed(0)} s, ${rate} a minute: ${JSON.stringify(counts)}`);
  };
  console.log(`${name}: ${count} crashes on one store, seed ${seed}`);
  // A kill leaves its pages with the kernel: it needs no disk, and without syncs there are far more transactions to fall into.
  const folder = name === 'kill' ? workshop.newFastFolder() : workshop.newFolder();
  const powercut = name === 'power' ? { powercut: await workshop.powercut() } : {};
  const report = await crashAgain({
    ...powercut,
    program: await workshop.program(),
    folder,
    seed,
    crashes: count,
    onStart: (crashed, counts) => crashed % 50 === 0 && said(crashed, counts),
  });
  said(report.crashes, report.counts);
  if (report.broken.length > 0) {
    const again = `once more: npm run torture -- ${name} --seed ${seed}; the store is kept in ${folder}`;
    fail(`${report.broken.slice(0, 50).join('\n')}\n${again}`, 1);
  }
  workshop.remove();
  console.log(`${name}: after ${report.compared} starts all was there that had been promised`);
}

/** A test of the suite, which takes a second and a half there. */
function writeSameKeys() {
  const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
  const { status } = spawnSync(
    process.execPath,
    [vitest, 'run', 'packages/server/test/postgres-concurrency.test.ts', '-t', 'overlapping keys', '--reporter', 'verbose'],
    { cwd: root, stdio: 'inherit', env: { ...process.env, SLUICE_TORTURE_MS: '60000' } },
  );
  if (status !== 0) fail('writers on the same keys failed', 1);
}

function wholeNumber(name, text) {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) fail(`--${name} must be a whole number, 0 or more; got ${text}`, 2);
  return value;
}

function fail(message, code) {
  console.error(message);
  process.exit(code);
}
