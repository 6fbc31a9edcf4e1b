/** The rules of the house, executed: who may import whom, what is banned and why, sizes, exports, links, the byte budget. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { bundle } from './bundle.js';

const root = fileURLToPath(new URL('../', import.meta.url));
const library = join(root, 'packages/sluice/src');
const server = join(root, 'packages/server/src');

interface Source {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
  /** The text with comments and strings blanked, line for line. */
  readonly code: string;
  readonly lines: number;
}

const sourcesOf = (folder: string): Source[] => filesOf(folder, /\.ts$/).map(sourceOf);
const isTest = ({ path }: Source) => /\.(test|test-d)\.ts$/.test(path);

const librarySources = sourcesOf(library);
const serverSources = sourcesOf(server);
const shipped = [...librarySources, ...serverSources].filter((source) => !isTest(source));
const librarySrc = librarySources.filter((source) => !isTest(source));

/** Lower may not import higher; equals (one line) only where `together` says so. */
const layers: { readonly folders: readonly string[]; readonly together: boolean }[] = [
  { folders: ['core', 'env'], together: true },
  { folders: ['engine', 'layers'], together: true },
  { folders: ['log', 'loader', 'dataloader', 'batcher'], together: false },
  { folders: ['lmdb', 'postgres', 'http', 'observe', 'simulate'], together: false },
  { folders: ['testing'], together: false },
];

describe('who may import whom', () => {
  it('every folder of the library has its place in the layer table', () => {
    const known = layers.flatMap((layer) => layer.folders);
    const folders = readdirSync(library, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map((entry) => entry.name).filter((name) => !known.includes(name))).toEqual([]);
  });

  it('core, env ← engine, layers ← log, loader, dataloader, batcher ← lmdb, postgres, http, observe, simulate ← testing', () => {
    const problems: string[] = [];
    for (const source of librarySrc) {
      for (const target of importsOf(source)) {
        if (!target.startsWith('.')) continue;
        const problem = layerProblem(source.path, join(root, dirname(source.path), target));
        if (problem !== undefined) problems.push(problem);
      }
    }
    expect(problems).toEqual([]);
  });

  it('the server uses the public subpaths of the library only: it is its first customer', () => {
    const subpaths = [
      'sluice',
      ...['layers', 'dataloader', 'log', 'lmdb', 'postgres', 'http', 'observe', 'simulate', 'testing'].map(
        (name) => `sluice/${name}`,
      ),
    ];
    const problems = serverSources.flatMap((source) =>
      importsOf(source)
        .filter(
          (target) =>
            (/^sluice($|\/)/.test(target) && !subpaths.includes(target)) || /packages\/sluice|\.\.\/sluice/.test(target),
        )
        .map((target) => `${source.path} imports ${target}; the public subpaths are ${subpaths.join(', ')}`),
    );
    const testing = serverSources
      .filter((source) => !isTest(source) && importsOf(source).includes('sluice/testing'))
      .map((source) => `${source.path} imports sluice/testing, which is for tests`);
    expect([...problems, ...testing]).toEqual([]);
  });

  it('the main entry reaches no module of Node and no package: it runs in browsers and at the edge', () => {
    const { files, bare } = reachableFrom(join(library, 'index.ts'));
    expect(files.size).toBeGreaterThan(10);
    expect([...bare]).toEqual([]);
  });
});

/** What is banned in the library outside env/system.ts: its replacement, and why. */
const bans: readonly { readonly pattern: RegExp; readonly instead: string; readonly except?: RegExp }[] = [
  {
    pattern: /\bDate\.now\b|\bnew Date\(\s*\)/,
    instead: 'use env.clock.wall() (records) or env.clock.now() (intervals): tests move time',
  },
  { pattern: /\bperformance\./, instead: 'use env.clock.now(): tests move time' },
  {
    pattern: /\bset(Timeout|Interval|Immediate)\b/,
    instead: 'use env.clock.after(): tests move time, and long waits are chained',
  },
  {
    pattern: /\bprocess\.nextTick\b|\bqueueMicrotask\b/,
    instead: 'use env.clock.afterTurn(): the order of turns is decided in one place',
  },
  { pattern: /\bMath\.random\b/, instead: 'use env.random.next(): one seed reproduces everything' },
];

/** What is banned everywhere in what we ship. */
const styleBans: typeof bans = [
  {
    pattern: /\bthrow new Error\(/,
    instead: 'use failure() or invalidOption() of core/errors: each error has a code and a class',
  },
  { pattern: /(:|<|\bas|\|)\s*any\b/, instead: 'use unknown, and check it' },
  { pattern: /^\s*(export\s+)?(const\s+)?enum\s/m, instead: 'use a union of strings: it needs no run-time object' },
  { pattern: /^\s*export\s+default\b/m, instead: 'use a named export: one name for one thing' },
];

describe('bans', () => {
  it.each(bans)('$pattern in the library: $instead', ({ pattern, instead }) => {
    const sources = librarySrc.filter(({ path }) => !path.endsWith('src/env/system.ts'));
    expect(hitsOf(pattern, sources, instead)).toEqual([]);
  });

  it.each(styleBans)('$pattern: $instead', ({ pattern, instead }) => {
    const sources = pattern.source.includes('throw') ? librarySrc : shipped;
    expect(hitsOf(pattern, sources, instead)).toEqual([]);
  });

  it('no file is named utils, helpers, common or manager: a name says what is inside', () => {
    const vague = /^(utils?|helpers?|common|manager|misc)(\.|$)|[-.](utils?|helpers?|manager)\./;
    expect([...librarySources, ...serverSources].map(({ path }) => path).filter((path) => vague.test(basename(path)))).toEqual(
      [],
    );
  });

  it('see what they are to see (canary)', () => {
    const of = (text: string) => sourceOfText('canary.ts', text);
    const hits = (text: string) => [...bans, ...styleBans].filter(({ pattern }) => pattern.test(of(text).code)).length;
    for (const bad of [
      'const t = Date.now();',
      'performance.now()',
      'setTimeout(f, 5)',
      'process.nextTick(f)',
      'Math.random()',
      "throw new Error('x')",
      'const x: any = 5',
      'f(x as any)',
      'export enum A { B }',
      'export default 5',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the code under test is a template
      '`${Math.random()}`',
    ])
      expect([bad, hits(bad)]).toEqual([bad, 1]);
    for (const good of [
      '// Date.now() is banned',
      "'setTimeout'",
      '/** Math.random */',
      'setTimeoutMs',
      'if (any) return',
      'new Date(ms)',
    ])
      expect([good, hits(good)]).toEqual([good, 0]);
  });
});

describe('files', () => {
  it('have one idea each: 400 lines at most', () => {
    const long = [...librarySources, ...serverSources].filter((source) => !isTest(source) && source.lines > 400);
    expect(long.map(({ path, lines }) => `${path}: ${lines} lines; split it by idea`)).toEqual([]);
  });

  it('aim for 200 lines: at most 15 % are longer', () => {
    const long = shipped.filter((source) => source.lines > 200);
    if (long.length > 0) console.info(`over 200 lines: ${long.map(({ path, lines }) => `${path} (${lines})`).join(', ')}`);
    expect(long.length / shipped.length).toBeLessThanOrEqual(0.15);
  });

  it('begin with one sentence that says what they are', () => {
    const headless = shipped.filter(({ text }) => !/^(#!.*\n)?\/\*\*\s*(\*\s*)?[^\s*/]/.test(text));
    expect(headless.map(({ path }) => `${path} does not begin with a /** sentence */`)).toEqual([]);
  });
});

describe('packages', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'packages/sluice/package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
    exports: Record<string, { types: string; default: string } | string>;
  };

  it('the library has no dependencies at run time', () => {
    expect(Object.keys(manifest.dependencies ?? {})).toEqual([]);
  });

  it('every subpath that it exports has its source', () => {
    const missing = Object.entries(manifest.exports)
      .filter((entry): entry is [string, { types: string; default: string }] => typeof entry[1] === 'object')
      .flatMap(([subpath, target]) => [target.default, target.types].map((path) => ({ subpath, path })))
      .filter(
        ({ path }) =>
          !existsSync(join(root, 'packages/sluice', path.replace('/dist/', '/src/').replace(/(\.d)?\.(ts|js)$/, '.ts'))),
      )
      .map(({ subpath, path }) => `${subpath} -> ${path} has no source`);
    expect(missing).toEqual([]);
  });

  // Why these, and not less: docs/decisions, what the engine and what a load costs.
  it('the main entry stays within 27.25 KB, createBatcher alone within 16.25, createLoader alone within 15.75, minified and gzipped', async () => {
    const bytesOf = async (entry: string) => gzipSync(await bundle(join(library, entry), { minify: true }), { level: 9 }).length;
    const bytes = await bytesOf('index.ts');
    const [batcher, loader] = [await bytesOf('batcher/batcher.ts'), await bytesOf('loader/loader.ts')];
    console.info(`minified and gzipped: main entry ${bytes} bytes; createBatcher alone ${batcher}; createLoader alone ${loader}`);
    expect([bytes <= 27.25 * 1024, batcher <= 16.25 * 1024, loader <= 15.75 * 1024]).toEqual([true, true, true]);
  });
});

describe('documents', () => {
  const documents = [
    ...['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'packages/sluice/README.md', 'packages/server/README.md']
      .map((path) => join(root, path))
      .filter((path) => existsSync(path)),
    ...filesOf(join(root, 'docs'), /\.md$/),
  ];

  it('link to what exists', () => {
    const dead = documents.flatMap((path) =>
      linksOf(readFileSync(path, 'utf8'))
        .filter((link) => !existsSync(resolve(dirname(path), decodeURI(link.split(/[#?]/)[0]!))))
        .map((link) => `${relative(root, path)} -> ${link}`),
    );
    expect(dead).toEqual([]);
  });

  it('name no path of the machine that they were written on', () => {
    const all = [...documents.map((path) => ({ path: relative(root, path), text: readFileSync(path, 'utf8') })), ...shipped];
    const local = all.flatMap(({ path, text }) =>
      [...text.matchAll(/(?<![\w.$}-])\/(work|root|home\/\w+)\/\S*/g)].map(([found]) => `${path}: ${found}`),
    );
    const temporary = documents.flatMap((path) =>
      [...readFileSync(path, 'utf8').matchAll(/(?<![\w.$}-])\/tmp\/\S*/g)].map(([found]) => `${relative(root, path)}: ${found}`),
    );
    expect([...local, ...temporary]).toEqual([]);
  });
});

function filesOf(folder: string, name: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' || entry.name === 'dist' ? [] : filesOf(path, name);
    return name.test(entry.name) ? [path] : [];
  });
}

function sourceOf(path: string): Source {
  return sourceOfText(relative(root, path), readFileSync(path, 'utf8'));
}

function sourceOfText(path: string, text: string): Source {
  return { path, text, code: codeOf(text), lines: text.trimEnd().split('\n').length };
}

/** Comments and strings blanked, so that they may speak of what is banned; the expressions within templates stay. */
function codeOf(text: string): string {
  const token = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replace(token, (found) => {
    if (found.startsWith('`')) return [...found.matchAll(/\$\{([^}]*)\}/g)].map(([, inner]) => inner).join(' ');
    return found.replace(/[^\n]/g, ' ');
  });
}

function importsOf({ text }: Pick<Source, 'text'>): string[] {
  const statements = /^\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;
  return [...text.matchAll(statements)].map((match) => (match[1] ?? match[2])!);
}

/** As {@link importsOf}, without `import type` and `export type`, which leave nothing behind. */
function runtimeImportsOf({ text }: Pick<Source, 'text'>): string[] {
  return importsOf({ text: text.replace(/^\s*(?:import|export)\s+type\s[^;]*;/gm, '') });
}

function layerProblem(from: string, target: string): string | undefined {
  const folder = (path: string) => relative(library, resolve(root, path)).split(/[\\/]/)[0]!;
  const [own, other] = [folder(from), folder(target)];
  if (own === other || own === 'index.ts')
    return other === 'testing' && own === 'index.ts' ? `${from} imports testing` : undefined;
  const level = (name: string) => layers.findIndex((layer) => layer.folders.includes(name));
  const [ownLevel, otherLevel] = [level(own), level(other)];
  if (otherLevel === -1) return `${from} imports ${relative(root, target)}, which lies in no layer`;
  if (otherLevel < ownLevel) return undefined;
  if (otherLevel === ownLevel && layers[ownLevel]!.together) return undefined;
  return `${from} imports ${other}, which is ${otherLevel === ownLevel ? 'its equal' : 'above it'}: move what both need further down`;
}

function reachableFrom(entry: string): { files: Set<string>; bare: Set<string> } {
  const files = new Set<string>();
  const bare = new Set<string>();
  const visit = (path: string) => {
    if (files.has(path)) return;
    files.add(path);
    for (const target of runtimeImportsOf({ text: readFileSync(path, 'utf8') })) {
      if (!target.startsWith('.')) bare.add(`${relative(root, path)} imports ${target}`);
      else if (existsSync(resolve(dirname(path), target.replace(/\.js$/, '.ts'))))
        visit(resolve(dirname(path), target.replace(/\.js$/, '.ts')));
      else bare.add(`${relative(root, path)} imports ${target}, which does not exist`);
    }
  };
  visit(entry);
  return { files, bare };
}

function hitsOf(pattern: RegExp, sources: readonly Source[], instead: string): string[] {
  return sources.flatMap(({ path, code }) =>
    code
      .split('\n')
      .map((line, i) => ({ line, at: i + 1 }))
      .filter(({ line }) => pattern.test(line))
      .map(({ line, at }) => `${path}:${at}: ${line.trim()} (${instead})`),
  );
}

/** The relative links of a Markdown document, outside of its code. */
function linksOf(markdown: string): string[] {
  const prose = markdown.replace(/```[\s\S]*?```/g, '').replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)/g)]
    .map((match) => match[1]!)
    .filter((link) => !/^([a-z][a-z0-9+.-]*:|#|\/\/)/i.test(link));
}
