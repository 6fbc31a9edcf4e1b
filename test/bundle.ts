/** bundle: one file of JavaScript from a TypeScript entry, without touching `dist`. */

import { rolldown } from 'rolldown';

/** The code of `entry` and all that it imports, but for the modules of Node and of node_modules. */
export async function bundle(entry: string, { minify = false } = {}): Promise<string> {
  const build = await rolldown({ input: entry, external: [/^node:/, /^(lmdb|pg)$/], logLevel: 'silent' });
  try {
    const { output } = await build.generate({ format: 'esm', minify });
    return output.map((part) => (part.type === 'chunk' ? part.code : '')).join('\n');
  } finally {
    await build.close();
  }
}
