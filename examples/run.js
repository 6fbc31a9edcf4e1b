/** `npm run example NAME`: takes the types out of an example and runs it on the built packages, since Node 20 cannot do that itself. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('../', import.meta.url));
const [name = ''] = process.argv.slice(2);
const input = join(root, 'examples', `${name}.ts`);
if (!/^[a-z-]+$/.test(name) || !existsSync(input)) {
  const names = readdirSync(join(root, 'examples')).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -3)] : []));
  console.error(`npm run example NAME, where NAME is one of: ${names.join(', ')}`);
  process.exit(2);
}
if (readFileSync(input, 'utf8').includes('process.env.DATABASE_URL') && (process.env.DATABASE_URL ?? '') === '') {
  console.error(
    `${name} needs a PostgreSQL that it may write to: set DATABASE_URL, as in DATABASE_URL=postgres://user:password@localhost:5432/test npm run example ${name}`,
  );
  process.exit(2);
}
const build = await rolldown({ input, external: /^[^./]/ });
// Within the repository, so that `sluice` is found.
const folder = mkdtempSync(join(root, 'node_modules/.example-'));
try {
  const { output } = await build.generate({ format: 'esm' });
  const file = join(folder, 'example.mjs');
  writeFileSync(file, output[0].code);
  await import(pathToFileURL(file).href);
} catch (error) {
  // Of a server that does not answer or refuses us, the sentence is enough; of all else the stack is.
  const { code, message } = error instanceof AggregateError ? error.errors[0] : error;
  if (!/^(E[A-Z]+|[0-9A-Z]{5})$/.test(code ?? '')) throw error;
  console.error(`${name} could not use the PostgreSQL of DATABASE_URL: ${message} (${code})`);
  process.exitCode = 1;
} finally {
  await build.close();
  rmSync(folder, { recursive: true, force: true });
}
