/** The packed packages, as their users get them: installed in a project of its own, imported, required, type-checked, bundled. Needs the build. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emptyProject, filesIn, installBoth, type Manifest, manifestOf, npm, packBoth } from './packed/install.js';

const root = fileURLToPath(new URL('../', import.meta.url));
const run = promisify(execFile);

/** Subpaths that import an optional peer when they are loaded; all others must do without any. */
const needPeers = ['sluice/lmdb', 'sluice/postgres'];
const peers = ['lmdb', 'pg', '@opentelemetry/api'];

/** The folder of everything; `app` in it has only the library, `full` the peers and the server too. */
let place = '';
let app = '';
let full = '';
let library: Manifest;
let subpaths: string[] = [];

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'sluice-pack-'));
  [app, full] = [join(place, 'app'), join(place, 'full')];
  library = await manifestOf('sluice');
  subpaths = Object.keys(library.exports)
    .filter((subpath) => !subpath.endsWith('.json'))
    .map((subpath) => `sluice${subpath.slice(1)}`);
  const tarballs = await packBoth(place);
  await emptyProject(app);
  await npm(['install', '--offline', '--no-audit', '--no-fund', tarballs.sluice], app);
  await installBoth(full, tarballs, [...peers, '@types/node', '@types/pg']);
}, 120_000);

afterAll(() => rm(place, { recursive: true, force: true }));

describe('the tarballs', () => {
  it.each(['sluice', '@sluice/server'])('%s holds the licence, the readme and no test', async (name) => {
    const files = await filesIn(join(full, 'node_modules', name));
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']));
    expect(files.filter((file) => /\.test\.|(^|\/)test\/|tsbuildinfo|tsconfig/.test(file))).toEqual([]);
  });

  it.each(['sluice', '@sluice/server'])('%s has the source that each of its source maps names', async (name) => {
    const folder = join(full, 'node_modules', name);
    const maps = (await filesIn(folder)).filter((file) => file.endsWith('.map'));
    expect(maps.length).toBeGreaterThan(0);
    const missing: string[] = [];
    for (const map of maps) {
      const { sources } = JSON.parse(await readFile(join(folder, map), 'utf8')) as { sources: string[] };
      for (const source of sources) if (!existsSync(resolve(folder, dirname(map), source))) missing.push(`${map} -> ${source}`);
    }
    expect(missing).toEqual([]);
  });

  it.each(['sluice', '@sluice/server'])('%s passes publint', async (name) => {
    const pkgDir = join(full, 'node_modules', name);
    const { messages } = await publint({ pkgDir, level: 'warning', strict: true, pack: false });
    const manifest = JSON.parse(await readFile(join(pkgDir, 'package.json'), 'utf8')) as Record<string, unknown>;
    expect(messages.map((message) => formatMessage(message, manifest, { color: false }))).toEqual([]);
  });
});

describe('installed in a project of its own', () => {
  it('the library brings no other package with it', async () => {
    expect((await readdir(join(app, 'node_modules'))).filter((name) => !name.startsWith('.'))).toEqual(['sluice']);
  });

  it('every subpath but those of a peer can be imported without any peer', async () => {
    const free = subpaths.filter((subpath) => !needPeers.includes(subpath));
    expect(free.length).toBeGreaterThan(7);
    expect(await importAll(app, free)).toEqual(free);
  });

  it('a subpath whose peer is absent says which package it misses', async () => {
    await expect(importAll(app, ['sluice/lmdb'])).rejects.toThrow(/Cannot find package 'lmdb'/);
    await expect(importAll(app, ['sluice/postgres'])).rejects.toThrow(/Cannot find package 'pg/);
  });

  it('every subpath can be imported where the peers are, and the server too', async () => {
    const all = [...subpaths, '@sluice/server'];
    expect(await importAll(full, all)).toEqual(all);
  });

  it('the peers that the tests link are all that the manifest names', () => {
    expect(Object.keys(library.peerDependencies ?? {}).sort()).toEqual([...peers, '@types/pg'].sort());
  });

  it('require() gives what import gives', async () => {
    // The floor of `engines`: before 20.19, require() of a module needs a flag.
    const script = `
      const { createLoader, createBatcher, SluiceError } = require('sluice');
      const { DataLoader } = require('sluice/dataloader');
      (async () => {
        const loader = createLoader(async (keys) => new Map(keys.map((key) => [key, key * 2])));
        console.log(await Promise.all([loader.load(1), loader.load(2)]), await new DataLoader(async (keys) => keys).load(3));
        const esm = await import('sluice');
        console.log(esm.createBatcher === createBatcher, esm.SluiceError === SluiceError);
      })();`;
    const { stdout } = await run(process.execPath, ['--input-type=commonjs', '-e', script], { cwd: app });
    expect(stdout).toBe('[ 2, 4 ] 3\ntrue true\n');
  });

  it('the program of the server starts from its tarball', async () => {
    const { stdout } = await run(process.execPath, [join(full, 'node_modules/@sluice/server/bin/sluice.js'), '--help']);
    expect(stdout).toMatch(/Usage: sluice/);
  });
});

describe('the declarations of the packed library', () => {
  it.each([
    ['NodeNext', 'NodeNext'],
    ['ESNext', 'Bundler'],
  ])('check strictly under module %s, resolution %s, without skipLibCheck', async (module, moduleResolution) => {
    const imports = [...subpaths, '@sluice/server'].map((name, i) => `import * as m${i} from '${name}';\nvoid m${i};`).join('\n');
    await typeCheck(`check-${moduleResolution}`, `${imports}\n${inferenceSample}`, {
      module,
      moduleResolution,
      target: 'ES2022',
      types: ['node'],
    });
  });

  it('of the main entry check in a browser project too, which has no types of Node', async () => {
    await typeCheck('check-browser', inferenceSample, {
      module: 'ESNext',
      moduleResolution: 'Bundler',
      target: 'ES2022',
      lib: ['ES2022', 'ESNext.Disposable', 'DOM'],
      types: [],
    });
  });

  it('refuse what does not fit (canary)', async () => {
    const wrong = `import { createLoader } from 'sluice';
      const users = createLoader(async (ids: readonly number[]) => new Map(ids.map((id) => [id, 'Ann'])));
      void users.load('seven');`;
    await expect(
      typeCheck('check-canary', wrong, { module: 'NodeNext', moduleResolution: 'NodeNext', types: ['node'] }),
    ).rejects.toThrow(/TS2345/);
  });
});

describe('a browser build', () => {
  it.each(['sluice', 'sluice/dataloader', 'sluice/layers', 'sluice/http'])(
    'of %s imports nothing, and runs where there is no process and no Buffer',
    async (entry) => {
      const { code, imports, warnings } = await browserBuild(`export * from '${entry}';`);
      expect(imports).toEqual([]);
      expect(warnings).toEqual([]);
      for (const name of builtinModules)
        expect(code).not.toMatch(new RegExp(`\\b(import|require)\\b[^\\n]*['"](node:)?${name}['"]`));
      expect(typeof runInNewContext(`${code}; sluice`, browserGlobals())).toBe('object');
    },
  );

  it('loads and writes in batches', async () => {
    const { code } = await browserBuild("export { createBatcher, createLoader } from 'sluice';");
    const script = `${code};
      (async () => {
        const calls = [];
        const loader = sluice.createLoader(async (keys) => { calls.push(keys.join()); return new Map(keys.map((key) => [key, key * 2])); });
        const loaded = await Promise.all([loader.load(1), loader.load(2), loader.load(1)]);
        const batcher = sluice.createBatcher({ sink: { write: async (items) => { calls.push(items.join('')); } }, window: { maxDelayMs: 60_000 } });
        batcher.offer('a');
        batcher.offer('b');
        const report = await batcher.close();
        return JSON.stringify({ calls, loaded, ok: report.ok });
      })()`;
    const answer = (await runInNewContext(script, browserGlobals())) as string;
    expect(JSON.parse(answer)).toEqual({ calls: ['1,2', 'ab'], loaded: [2, 4, 2], ok: 2 });
  });
});

/** Code whose types must be found without an annotation. */
const inferenceSample = `
import { createBatcher, createKeyFetcher, createLoader, QueryBatcher, type Loader, type SluiceEvent } from 'sluice';
const users: Loader<number, { name: string }> = createLoader(async (ids: readonly number[]) => new Map(ids.map((id) => [id, { name: 'Ann' }])));
export const user: Promise<{ name: string }> = users.load(7, { signal: new AbortController().signal, timeoutMs: 5 });
export const audit = createBatcher<string>({ sink: { write: async (items) => void items.length }, window: { maxDelayMs: 80 } });
export const event: SluiceEvent['type'] = 'cut';
void [createKeyFetcher, QueryBatcher];
`;

/** The names whose import gives something. */
async function importAll(cwd: string, names: readonly string[]): Promise<unknown> {
  const script = `const found = [];
    for (const name of ${JSON.stringify(names)}) if (Object.keys(await import(name)).length > 0) found.push(name);
    console.log(JSON.stringify(found)); process.exit();`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd });
  return JSON.parse(stdout);
}

async function typeCheck(name: string, code: string, options: Record<string, unknown>): Promise<void> {
  const folder = join(full, name);
  await mkdir(folder);
  await writeFile(join(folder, 'index.ts'), code);
  const compilerOptions = { strict: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: false, ...options };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['index.ts'] }));
  try {
    await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]);
  } catch (error) {
    throw new Error((error as { stdout?: string }).stdout || String(error));
  }
}

interface BrowserBuild {
  readonly code: string;
  readonly imports: readonly string[];
  /** Such as an import that cannot be resolved, though nothing of it may have stayed in the code. */
  readonly warnings: readonly string[];
}

async function browserBuild(code: string): Promise<BrowserBuild> {
  const input = join(app, `entry-${entries++}.js`);
  await writeFile(input, code);
  const warnings: string[] = [];
  const build = await rolldown({ input, platform: 'browser', onLog: (_, log) => void warnings.push(log.message) });
  try {
    const { output } = await build.generate({ format: 'iife', name: 'sluice' });
    return { code: output[0].code, imports: [...output[0].imports, ...output[0].dynamicImports], warnings };
  } finally {
    await build.close();
  }
}
let entries = 0;

/** What a page has and the language has not. */
function browserGlobals(): Record<string, unknown> {
  return {
    AbortController,
    AbortSignal,
    TextDecoder,
    TextEncoder,
    URL,
    clearTimeout,
    fetch,
    performance,
    queueMicrotask,
    setTimeout,
  };
}
