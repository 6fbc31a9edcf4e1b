#!/usr/bin/env node
import { existsSync } from 'node:fs';

const built = new URL('../dist/cli.js', import.meta.url);
if (existsSync(built)) {
  const { main } = await import(built.href);
  await main();
} else {
  process.stderr.write('sluice: this checkout is not built yet; run `npm run build` in its top folder first.\n');
  process.exitCode = 1;
}
