/** Run file: runs a JavaScript or TypeScript file of the user's as it is now, each time anew. */

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createJiti } from 'jiti';

/**
 * What a file exports. It is run again at each call, and so is what it imports in TypeScript; a `.js` or `.mjs` that it imports is run once
 * in a process.
 *
 * @param file its path; an ending may be left away.
 * @param alias modules that stand for others.
 * @throws whatever the file throws, or that there is none.
 */
export async function runFile(file: string, alias: Readonly<Record<string, string>> = {}): Promise<Record<string, unknown>> {
  const jiti = createJiti(import.meta.url, { moduleCache: false, fsCache: false, alias: { ...alias } });
  const found = jiti.esmResolve(file, { try: true });
  const filename = found === undefined ? file : fileURLToPath(found);
  // Not imported: Node keeps a module that it has loaded for as long as the process lives.
  const source = await readFile(filename, 'utf8');
  const options = { filename, id: filename, ext: extname(filename), async: true, forceTranspile: true };
  const exported = (await jiti.evalModule(source, options)) as Record<string, unknown>;
  // CommonJS exports what a module exports by default.
  return Object.hasOwn(exported, 'default') ? exported : { ...exported, default: exported };
}
