/** `npm run soak [-- --minutes N] [--seed N]`: the built service under load and faults, ten minutes long; exit code 1 when a promise was broken. */

import { parseArgs } from 'node:util';
import { loadSource, root } from '../load-source.js';

const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } });
const minutes = number('minutes', values.minutes ?? '10');
const seed = number('seed', values.seed ?? String(Date.now() % 1_000_000));
const { soak } = await loadSource('test/soak/soak.ts');
const startedAt = performance.now();
const time = () => `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s`;

console.log(`soak: ${minutes} minutes, seed ${seed}`);
const report = await soak({ root, seed, seconds: minutes * 60, tell: (line) => console.log(`${time()}  ${line}`) });
const { acknowledged, answers, scrapes, lives, memory, leftOut, problems } = report;
const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(0);
console.log(
  `${acknowledged} events acknowledged in ${lives} lives; answers: ${[...answers].map(([kind, count]) => `${kind} × ${count}`).join(', ')}`,
);
console.log(`${scrapes} scrapes; RssAnon at most ${mebibytes(memory.most)} MiB, at the end ${mebibytes(memory.last)} MiB`);
for (const one of leftOut) console.log(`left out: ${one}`);
if (problems.length > 0) {
  console.error(`${problems.join('\n')}\nonce more: npm run soak -- --minutes ${minutes} --seed ${seed}`);
  process.exit(1);
}
console.log('everything acknowledged is where it belongs');

function number(name, text) {
  const value = Number(text);
  if (text !== '' && Number.isFinite(value) && value >= 0) return value;
  console.error(`--${name} must be a number, 0 or more; got ${text}`);
  process.exit(2);
}
