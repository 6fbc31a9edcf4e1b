/** The reference, held to the sources: `npm run reference` writes what this test compares. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { configOptions, configurationPage } from './reference/configuration-page.js';
import { declaredCodes, describedCodes } from './reference/errors-page.js';
import { exportsOf, moduleAt } from './reference/exported.js';
import { isOptions, optionsOf } from './reference/options-table.js';
import { library, pages, uncommented } from './reference/pages.js';

const folder = fileURLToPath(new URL('../docs/reference/api/', import.meta.url));
const manifest = JSON.parse(readFileSync(new URL('../packages/sluice/package.json', import.meta.url), 'utf8')) as {
  exports: Record<string, { types: string } | string>;
};
const entries = new Map(
  Object.entries(manifest.exports).flatMap(([subpath, target]): [string, string][] =>
    typeof target === 'string'
      ? []
      : [[`sluice${subpath.slice(1)}`, join(library, target.types.replace('./dist/', '').replace('.d.ts', '.ts'))]],
  ),
);
const made = pages(entries);

describe('docs/reference/api', () => {
  it.each([...made.keys()])('%s is up to date; else: npm run reference', async (file) => {
    await expect(made.get(file)).toMatchFileSnapshot(join(folder, file));
  });

  it('has no page of what is gone', () => {
    expect(readdirSync(folder).filter((file) => !made.has(file))).toEqual([]);
  });

  it('links to sections that exist', () => {
    const sections = (file: string) =>
      [...(made.get(file) ?? '').matchAll(/^## (\S+)$/gm)].map(([, name]) => name!.toLowerCase());
    const dead = [...made].flatMap(([file, text]) =>
      [...text.matchAll(/\]\(([a-z]*\.md)?#([^)]+)\)/g)]
        .filter(([, page = file, anchor]) => !sections(page).includes(anchor!.replace(/-\d+$/, '')))
        .map(([link]) => `${file}: ${link}`),
    );
    expect(dead).toEqual([]);
  });

  it('names every export of every subpath', () => {
    for (const [name, path] of entries) {
      const page = made.get(`${name.replace('sluice/', '')}.md`)!;
      expect(exportsOf(path).filter((exported) => !page.includes(`[\`${exported.name}\`](`))).toEqual([]);
    }
  });
});

describe('docs/reference/configuration.md', () => {
  const page = configurationPage();

  it('is up to date; else: npm run reference', async () => {
    await expect(page).toMatchFileSnapshot(join(folder, '../configuration.md'));
  });

  it('is made from options that each have a comment', () => {
    expect(configOptions().length).toBeGreaterThan(90);
    const silent = configOptions().filter(({ path, comment }) => comment === '' && !path.endsWith('.type'));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it('names every option that the schema knows', () => {
    for (const { path } of configOptions())
      expect(page).toContain(`| \`${path.split('.').at(-1)}\` |`.replace('| `type` |', 'type: '));
  });
});

describe('the comments that it is made from', () => {
  it('stand before every exported name', () => {
    expect(uncommented(entries)).toEqual([]);
  });

  it('stand before every option, and say the default of each that may be left out', () => {
    const options = [...entries.values()].flatMap(exportsOf).filter(isOptions);
    const silent = options.flatMap((exported) =>
      optionsOf(exported)
        .filter(({ comment, fallback }) => comment === '' || fallback === '')
        .filter(({ name }) => !absentByDefault.includes(`${exported.name}.${name}`))
        .map(({ name, comment }) => `${exported.name}.${name} says ${comment === '' ? 'nothing' : 'no default'}`),
    );
    expect([...new Set(silent)]).toEqual([]);
  });

  it('and the page of errors describe every code that the sources give', () => {
    const given = sources(library).flatMap((text) =>
      [...text.matchAll(/\bcode(?:: | = |: .* \? | \?\? )'([A-Z]+(?:_[A-Z]+)*)'/g)].map(([, code]) => code!),
    );
    expect(given.length).toBeGreaterThan(40);
    const codes = new Set([...given, ...declaredCodes(moduleAt(join(library, 'core/errors.ts')))]);
    expect([...codes].filter((code) => !describedCodes.includes(code))).toEqual([]);
    const all = sources(library).join('\n');
    expect(describedCodes.filter((code) => !all.includes(code.replace('…', '')))).toEqual([]);
  });
});

/** What an error, or a push, simply does not have when it is left out. */
const absentByDefault = ['cause', 'retryAfterMs', 'key', 'deadLetterId']
  .map((name) => `FailureOptions.${name}`)
  .concat('PushOptions.signal');

/** The texts of the sources, tests and what tests are made of left out. */
function sources(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /(?<!\.test)\.ts$/.test(entry.name) && !/[\\/]testing$/.test(entry.parentPath))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
}
