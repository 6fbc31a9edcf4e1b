/** bundle: one file of JavaScript from a TypeScript entry, without touching `dist`. */

import { rolldown } from 'rolldown';

const packages = ['lmdb', 'pg'];

/** How to bundle. */
export interface BundleOptions {
  readonly minify?: boolean;
  /** Files that stand in for a package or a module, by the words of the import. */
  readonly standIn?: Readonly<Record<string, string>>;
}

/** The code of `entry` and all that it imports, but for the modules of Node and of node_modules. */
export async function bundle(entry: string, { minify = false, standIn = {} }: BundleOptions = {}): Promise<string> {
  const build = await rolldown({
    input: entry,
    external: [/^node:/, ...packages.filter((name) => !(name in standIn))],
    resolve: { alias: { ...standIn } },
    logLevel: 'silent',
  });
  try {
    const { output } = await build.generate({ format: 'esm', minify });
    return output.map((part) => (part.type === 'chunk' ? part.code : '')).join('\n');
  } finally {
    await build.close();
  }
}
