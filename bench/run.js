/** `npm run bench [section …] [-- --backlog-gb=N]`: all sections in one run, figures as ratios. Never a gate. */

import { benchBatcher } from './batcher.js';
import { benchGateway } from './gateway.js';
import { benchLoader } from './loader.js';
import { benchLog } from './log.js';
import { benchPostgres } from './postgres.js';
import { benchSimulate } from './simulate.js';
import { machine, rounds } from './support.js';

const sections = {
  loader: benchLoader,
  batcher: benchBatcher,
  simulate: benchSimulate,
  log: benchLog,
  postgres: benchPostgres,
  gateway: benchGateway,
};
const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
for (const name of wanted) {
  if (name in sections) continue;
  console.error(`bench: there is no section ${name}; there are ${Object.keys(sections).join(', ')}`);
  process.exit(2);
}
console.log(`${machine()}\nmedians of ${rounds} alternating rounds unless said otherwise`);
for (const [name, run] of Object.entries(sections)) if (wanted.length === 0 || wanted.includes(name)) await run();
