/** Each requirement of the library has a test whose name says it. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));

/** From … to, both included.: the engine's half. */
const required = [
  [1, 82],
  [97, 97],
  [103, 109],
  [111, 112],
  [115, 117],
  [120, 122],
  [129, 133],
  [136, 139],
  [144, 145],
  [147, 148],
  [160, 161],
  [163, 165],
  [169, 169],
  [171, 182],
  [185, 186],
  [188, 191],
  [198, 198],
  [218, 218],
  [229, 229],
  [233, 246],
  [248, 248],
].flatMap(([from, to]) => numbers(from!, to!));

/**
 * D-n: where the code of our sources goes wrong in one event loop. W-n: what other batchers fell into. Pn x: what other loaders did when we
 * tried them. Left out is what concerns the log, PostgreSQL and the service alone; and P2 3, see docs/guide/reads.md.
 */
const traps = [
  ...[...numbers(1, 41), 44, ...numbers(46, 48)].map((n) => `D-${n}`),
  ...[...numbers(1, 13), ...numbers(16, 18), 27, 29, 30].map((n) => `W-${n}`),
  ...['P1 A', 'P1 C', 'P1 D', 'P1 E', 'P2 1', 'P2 2', 'P2 4', 'P2 5', 'P2 5b', 'P2 6', 'P2 13', 'P3 G', 'P3 H', 'P4 1', 'P4 2'],
  ...['P4 3', 'P5 A', 'P5 D', 'P6 d', 'P6 e', 'P6 f', 'P6 g', 'P7'],
];

const names = testNames(['packages/sluice/src', 'packages/server/src', 'packages/server/test', 'test']);

describe('the name of a test says', () => {
  it('each requirement of the library', () => {
    expect(missing(required, names)).toEqual([]);
  });

  it('R-28: each requirement of the key-value fetcher, in its own files', () => {
    expect(missing(numbers(5, 25), testNames(['packages/sluice/src/loader', 'packages/sluice/src/http', 'test']))).toEqual([]);
  });

  it('a requirement only where it is said (canary)', () => {
    expect(missing([7, 8, 10, 11, 12], ['R-7, R-8: so and so', 'R-9 to R-11: and so', '(R-70)'])).toEqual([12]);
  });
});

describe('traps', () => {
  it('that concern the library have each a test whose name says which', () => {
    const said = names.join('\n');
    const has = (mark: string) => new RegExp(`(?:^|[^\\w-])${mark}(?:[^\\w]|$)`, 'm').test(said);
    expect(traps.filter((mark) => !has(mark))).toEqual([]);
    expect(has('D-480')).toBe(false);
  });
});

describe('the page of the key-value fetcher', () => {
  const page = readFileSync(`${root}docs/internals/key-fetcher.md`, 'utf8');
  const section = (heading: string) => page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';

  it('R-17: says which structures it keeps, and how a reply finds its callers', () => {
    for (const word of ['open', 'in flight', 'Map']) expect(section('Structures')).toContain(word);
    expect(section('Correlation')).toContain('closure');
  });

  it('R-29: has a heading for each part of the overview', () => {
    const headings = page.split('\n').filter((line) => line.startsWith('## '));
    const wanted = [
      ...['Window', 'Deduplication', 'Correlation', 'Consistency boundary', 'Error handling', 'Timeouts and retries'],
      ...['Cancellation', 'Backpressure'],
    ];
    expect(headings).toEqual(expect.arrayContaining(wanted.map((heading) => `## ${heading}`)));
  });

  it('R-27: names for each pitfall a test that there is', () => {
    const rows = section('Pitfalls of one event loop, each with its test')
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| pitfall'));
    expect(rows.length).toBeGreaterThan(12);
    const all = names.join('\n');
    const named = rows.map((row) =>
      [
        ...row
          .split('|')
          .at(-2)!
          .matchAll(/`([^`]+)`/g),
      ].map((match) => match[1]!),
    );
    const unknown = named.flat().filter((name) => !all.includes(name.replace(/ ?….*$/, '')));
    expect(unknown).toEqual([]);
    expect(named.filter((tests) => tests.length === 0)).toEqual([]);
  });
});

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** The requirements that no name says. */
function missing(wanted: readonly number[], said: readonly string[]): number[] {
  const found = new Set<number>();
  for (const name of said) {
    for (const [, from, to] of name.matchAll(/R-(\d+)(?: to R-(\d+))?/g))
      for (const number of numbers(Number(from), Number(to ?? from))) found.add(number);
  }
  return wanted.filter((number) => !found.has(number));
}

/** What stands in quotes after `it(`, `test(` or `describe(`, with their `each` and the like, or first in a row of such an `each`, or behind it. */
function testNames(folders: readonly string[]): string[] {
  return folders
    .flatMap((folder) => readdirSync(`${root}${folder}`, { recursive: true }).map((file) => `${root}${folder}/${String(file)}`))
    .filter((file) => file.endsWith('.test.ts'))
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .flatMap((line) => /(?:\b(?:it|test|describe)\b.*\(|^\s*(?:\[|\]\)\()?\s*)(['"`])(.*?)\1/.exec(line)?.[2] ?? []);
}
