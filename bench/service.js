/**
 * `npm run bench:service [-- --quick] [section …]`: the figures of the whole service over HTTP, each held against what it must be. Load
 * generator, service and PostgreSQL share the machine; the load it has from others stands beside the figures. All of it takes about ten
 * minutes; with `--quick` two, whose figures say only that it works.
 */

import { parseArgs } from 'node:util';
import { load, printGoals } from './service/goals.js';
import { benchOutage } from './service/outage.js';
import { benchFairness, benchOverload } from './service/overload.js';
import { benchRead } from './service/reads.js';
import { benchOpenLoop } from './service/steady.js';
import { benchNdjson, benchSingle } from './service/throughput.js';
import { killServices } from './service-process.js';
import { machine } from './support.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false } },
});
const size = values.quick
  ? { passes: 1, passMs: 1_000, openSeconds: 5, overloadSeconds: 3, outageSeconds: 20, outageLogBytes: 64 * 2 ** 20 }
  : { passes: 3, passMs: 3_000, openSeconds: 60, overloadSeconds: 10, outageSeconds: 120, outageLogBytes: 512 * 2 ** 20 };
/** No section may take longer, whatever happens. */
const sectionMs = 480_000;
/** What is cut off may take so long to remove what it has made. */
const removalMs = 60_000;

const sections = {
  single: benchSingle,
  ndjson: benchNdjson,
  open: benchOpenLoop,
  read: benchRead,
  overload: benchOverload,
  fairness: benchFairness,
  outage: benchOutage,
};
const unknown = positionals.filter((name) => !(name in sections));
if (unknown.length > 0) {
  console.error(`bench:service: the sections are ${Object.keys(sections).join(', ')}`);
  process.exit(2);
}
console.log(
  `${machine()}, ${load()}; load generator, service and PostgreSQL share it; the pipeline into PostgreSQL runs throughout`,
);
console.log(`closed loops: medians of ${size.passes} passes of ${size.passMs / 1000} s that alternate between the variants`);
const failed = [];
for (const [name, run] of Object.entries(sections)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  await bounded(name, run(size)).catch((error) => {
    console.error(`  ${name} failed: ${error.stack}`);
    failed.push(name);
  });
}
const missed = printGoals();
if (failed.length > 0) console.log(`these did not end: ${failed.join(', ')}`);
else console.log(missed === 0 ? 'every goal is reached' : `${missed} goals are missed`);
process.exit(failed.length > 0 ? 1 : 0);

async function bounded(name, work) {
  let isLate = false;
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => {
      isLate = true;
      killServices();
      timer = setTimeout(resolve, removalMs);
    }, sectionMs);
  });
  try {
    await Promise.race([work, late]);
  } catch (error) {
    if (!isLate) throw error;
  } finally {
    clearTimeout(timer);
  }
  if (isLate) throw new Error(`${name} took longer than ${sectionMs / 1000} s`);
}
