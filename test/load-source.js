/** Load source: runs a TypeScript module of the tests outside of them. The sources, not the build: what runs is what is on the screen. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';

/** Of the repository. */
export const root = fileURLToPath(new URL('../', import.meta.url));

/** The exports of a module, by its path from the root. */
export async function loadSource(file) {
  const library = join(root, 'packages/sluice/src');
  const alias = Object.fromEntries(
    ['layers', 'log', 'simulate', 'testing'].map((name) => [`sluice/${name}`, join(library, name, 'index.ts')]),
  );
  const build = await rolldown({
    input: join(root, file),
    external: [/^node:/, /^(pg|lmdb|rolldown|yaml)$/],
    resolve: { alias: { ...alias, sluice: join(library, 'index.ts') } },
  });
  const folder = mkdtempSync(join(root, 'node_modules/.source-'));
  try {
    const { output } = await build.generate({ format: 'esm' });
    const path = join(folder, 'source.mjs');
    writeFileSync(path, output[0].code);
    return await import(pathToFileURL(path).href);
  } finally {
    await build.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
