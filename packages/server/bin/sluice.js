#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';

// V8 reads these at each collection, so that they can be set here; nobody has to start node in a certain way. The machine is shared with
// PostgreSQL: to wait for helpers on cores that are busy takes longer than what they do for so small a young generation. And what is read ahead of a
// sink lives just long enough to become old garbage, of which V8 would let three times as much gather as there are live objects.
for (const flag of ['--no-parallel-scavenge', '--no-concurrent-array-buffer-sweeping', '--heap-growing-percent=100'])
  setFlagsFromString(flag);

const built = new URL('../dist/cli.js', import.meta.url);
if (existsSync(built)) {
  const { main } = await import(built.href);
  await main();
} else {
  process.stderr.write('sluice: this checkout is not built yet; run `npm run build` in its top folder first.\n');
  process.exitCode = 1;
}
