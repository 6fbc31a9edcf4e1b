/** `npm run bench [section …] [-- --backlog-gb=N]`: all sections in one run, figures as ratios. Never a gate. */

import { benchBatcher } from './batcher.js';
import { benchDelivery } from './delivery.js';
import { benchGateway } from './gateway.js';
import { benchLoader } from './loader.js';
import { benchLog } from './log.js';
import { benchOutbox } from './outbox.js';
import { benchPostgres } from './postgres.js';
import { benchPostgresLedger } from './postgres-ledger.js';
import { benchPostgresMethods } from './postgres-methods.js';
import { benchSimulate } from './simulate.js';
import { machine, rounds } from './support.js';

const sections = {
  loader: benchLoader,
  batcher: benchBatcher,
  simulate: benchSimulate,
  log: benchLog,
  delivery: benchDelivery,
  postgres: benchPostgres,
  ledger: benchPostgresLedger,
  outbox: benchOutbox,
  gateway: benchGateway,
};
/** Writes pages of the reference: only when named. */
const onRequest = { 'postgres-methods': benchPostgresMethods };
const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
for (const name of wanted) {
  if (name in sections || name in onRequest) continue;
  console.error(`bench: there is no section ${name}; there are ${Object.keys({ ...sections, ...onRequest }).join(', ')}`);
  process.exit(2);
}
console.log(`${machine()}\nmedians of ${rounds} alternating rounds unless said otherwise`);
for (const [name, run] of Object.entries(sections)) if (wanted.length === 0 || wanted.includes(name)) await run();
for (const [name, run] of Object.entries(onRequest)) if (wanted.includes(name)) await run();
