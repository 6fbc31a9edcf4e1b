/**
 * `npm run torture [batcher|loader …] [-- --seed N] [--from N] [--count N]`: schedules by the million, until one breaks a promise.
 * `npm run torture -- postgres [--seed N] [--count N]`: 200 kills of a pipeline and its database, then a death at each step.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('../../', import.meta.url));
const library = join(root, 'packages/sluice/src');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, from: { type: 'string' }, count: { type: 'string' } },
});
if (positionals[0] === 'postgres') {
  const { torturePostgres } = await loaded('postgres/campaign.ts');
  const seed = wholeNumber('seed', values.seed) ?? Date.now() % 1_000_000;
  const problems = await torturePostgres(root, seed, wholeNumber('count', values.count) ?? 200, console.log);
  if (problems.length > 0) fail(`${problems.join('\n')}\nonce more: npm run torture -- postgres --seed ${seed}`, 1);
  console.log('no promise was broken');
  process.exit(0);
}
const { campaign, players } = await loaded('campaign.ts');
const names = positionals.length > 0 ? positionals : Object.keys(players);
const unknown = names.filter((name) => !(name in players));
if (unknown.length > 0) fail(`there is no ${unknown.join(', ')} to torture; there are ${Object.keys(players).join(', ')}`, 2);
const from = wholeNumber('seed', values.seed) ?? wholeNumber('from', values.from) ?? 1;
const count = values.seed === undefined ? (wholeNumber('count', values.count) ?? 1_000_000) : 1;

console.log(`${count.toLocaleString('en')} schedules in all, from seed ${from}: ${names.join(', ')}`);
// In turns, so that an early end has seen a little of everything.
const slice = Math.min(10_000, Math.ceil(count / names.length));
const startedAt = performance.now();
let played = 0;
for (let seed = from; played < count; seed += slice) {
  for (const name of names) {
    const size = Math.min(slice, count - played);
    if (size === 0) break;
    const found = await campaign(name, seed, size);
    if (found !== undefined) fail(found.message, 1);
    played += size;
    const seconds = (performance.now() - startedAt) / 1000;
    console.log(`${name}: seeds ${seed} to ${seed + size - 1} hold; ${played.toLocaleString('en')} in ${seconds.toFixed(0)} s`);
  }
}
console.log('no promise was broken');

/** The sources, not the build: what is tortured is what is on the screen. */
async function loaded(file) {
  const alias = Object.fromEntries(
    ['layers', 'simulate', 'testing'].map((name) => [`sluice/${name}`, join(library, name, 'index.ts')]),
  );
  const build = await rolldown({
    input: fileURLToPath(new URL(file, import.meta.url)),
    external: [/^node:/, /^(pg|lmdb|rolldown)$/],
    resolve: { alias: { ...alias, sluice: join(library, 'index.ts') } },
  });
  const folder = mkdtempSync(join(root, 'node_modules/.torture-'));
  try {
    const { output } = await build.generate({ format: 'esm' });
    const path = join(folder, 'torture.mjs');
    writeFileSync(path, output[0].code);
    return await import(pathToFileURL(path).href);
  } finally {
    await build.close();
    rmSync(folder, { recursive: true, force: true });
  }
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
