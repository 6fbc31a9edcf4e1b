/** A process that starts the embedded PostgreSQL and tells about it on its output; `stop` on its input stops it. Bundled by its test. */

import { startEmbeddedPostgres } from '../../src/embedded/postgres.js';

const dataDir = process.argv[2] ?? '';
const server = await startEmbeddedPostgres({ dataDir, log: (line) => process.stderr.write(`${line}\n`) });
process.stdout.write(`${JSON.stringify(server)}\n`);
process.stdin.once('data', async () => {
  await server.stop({ deadlineMs: 5_000 });
  process.exit(0);
});
