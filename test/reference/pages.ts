/** pages: the reference as files of Markdown, one a subpath, made from the declarations and their comments. */

import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Addresses, firstSentence, markdownOf } from './comment.js';
import { errorsPage } from './errors-page.js';
import { eventsPage } from './events-page.js';
import { commentBefore, type Exported, exportsOf, headerOf, moduleAt } from './exported.js';
import { inheritedBy, isOptions, optionsTable } from './options-table.js';
import { signatureOf } from './signature.js';

/** The sources of the library. */
export const library = fileURLToPath(new URL('../../packages/sluice/src/', import.meta.url));

const notice = '<!-- Made by `npm run reference` from the comments in the sources: change those. -->';

/** A subpath of the package. */
interface Subpath {
  readonly name: string;
  readonly file: string;
  readonly header: string;
  readonly exported: readonly Exported[];
}

/** The pages, by file name. `entries`: the subpaths of the package and their source files, the main entry first. */
export function pages(entries: ReadonlyMap<string, string>): Map<string, string> {
  const subpaths = [...entries].map(([name, path]): Subpath => {
    return { name, file: `${basename(name)}.md`, header: headerOf(moduleAt(path)), exported: exportsOf(path) };
  });
  const homes = homesOf(subpaths);
  const made = new Map(subpaths.map((subpath) => [subpath.file, subpathPage(subpath, homes)]));
  made.set('events.md', `${notice}\n\n${eventsPage(moduleAt(join(library, 'core/event.ts')), addressesOn('events.md', homes))}`);
  made.set('errors.md', `${notice}\n\n${errorsPage(moduleAt(join(library, 'core/errors.ts')))}`);
  made.set('README.md', indexPage(subpaths));
  return made;
}

/** Every exported name of `entries` that has no comment of its own. */
export function uncommented(entries: ReadonlyMap<string, string>): string[] {
  const all = [...entries.values()].flatMap(exportsOf);
  return [
    ...new Set(
      all.filter((exported) => commentOf(exported) === '').map(({ name, module }) => `${name} in ${where(module.path)}`),
    ),
  ];
}

/** Where each declaration has its section: on the first page that exports it. */
type Homes = ReadonlyMap<string, { readonly file: string; readonly anchor: string; readonly exported: Exported }>;

function homesOf(subpaths: readonly Subpath[]): Homes {
  const homes = new Map<string, { file: string; anchor: string; exported: Exported }>();
  for (const { file, exported } of subpaths) {
    const taken = new Map<string, number>();
    for (const one of inOrder(exported)) {
      const slug = one.name.toLowerCase();
      const times = taken.get(slug) ?? 0;
      taken.set(slug, times + 1);
      const key = identity(one);
      if (!homes.has(key)) homes.set(key, { file, anchor: times === 0 ? slug : `${slug}-${times}`, exported: one });
    }
  }
  return homes;
}

function identity({ name, module }: Exported): string {
  return `${module.path}#${name}`;
}

/** Addresses as seen from a page: a name of its own subpath before one of another. */
function addressesOn(file: string, homes: Homes): Addresses {
  return (name) => {
    const found = [...homes.values()].filter(({ exported }) => exported.name === name);
    const home = found.find((one) => one.file === file) ?? found[0];
    if (home === undefined) return undefined;
    return home.file === file ? `#${home.anchor}` : `${home.file}#${home.anchor}`;
  };
}

function subpathPage({ name, file, header, exported }: Subpath, homes: Homes): string {
  const addresses = addressesOn(file, homes);
  const ordered = inOrder(exported);
  const contents = ordered.map((one) => {
    const { file: home, anchor } = homes.get(identity(one))!;
    return `| [\`${one.name}\`](${home === file ? '' : home}#${anchor}) | ${firstSentence(commentOf(one), addresses)} |`;
  });
  const own = ordered.filter((one) => homes.get(identity(one))!.file === file);
  return [
    notice,
    `# \`${name}\``,
    markdownOf(
      header.replace(/^`[^`]+`: (.)/, (_, first: string) => first.toUpperCase()),
      addresses,
    ),
    ['| name | what it is |', '|---|---|', ...contents].join('\n'),
    ...own.map((one) => section(one, addresses)),
    '',
  ]
    .join('\n\n')
    .trimEnd()
    .concat('\n');
}

function section(exported: Exported, addresses: Addresses): string {
  const comment = markdownOf(commentOf(exported), addresses);
  if (exported.name === 'SluiceEvent') return `## ${exported.name}\n\n${comment}\n\nEach one is on the page [events](events.md).`;
  if (exported.name === 'ErrorCode') return `## ${exported.name}\n\n${comment}\n\nEach one is on the page [errors](errors.md).`;
  if (!isOptions(exported)) return `## ${exported.name}\n\n\`\`\`ts\n${signatureOf(exported)}\n\`\`\`\n\n${comment}`.trimEnd();
  const inherited = inheritedBy(exported).map((name) => `\`${name}\``);
  const more = inherited.length === 0 ? '' : `\n\nTakes the options of ${inherited.join(', ')} too.`;
  return `## ${exported.name}\n\n${comment}${more}\n\n${optionsTable(exported, addresses)}`;
}

/** What is called first, then what it takes, then what it gives. */
function inOrder(exported: readonly Exported[]): Exported[] {
  const rank = (one: Exported) => {
    const { type } = one.declarations[0]!.node;
    if (/Function|Class|Variable/.test(type)) return 0;
    return isOptions(one) ? 1 : 2;
  };
  return [...exported].sort((a, b) => rank(a) - rank(b) || Number(a.name > b.name) - Number(a.name < b.name));
}

function commentOf({ module, declarations }: Exported): string {
  return declarations.map(({ start }) => commentBefore(module, start)).find((comment) => comment !== '') ?? '';
}

function indexPage(subpaths: readonly Subpath[]): string {
  const rows = subpaths.map(({ name, file, header }) => {
    const text = header.replace(/^`[^`]+`: (.)/, (_, first: string) => first.toUpperCase());
    return `| [\`${name}\`](${file}) | ${firstSentence(text, () => undefined)} |`;
  });
  return [
    notice,
    '# Reference',
    'Each exported name with its signature, options, defaults and errors.',
    [
      '| page | what is in it |',
      '|---|---|',
      ...rows,
      '| [events](events.md) | What an observer is told. |',
      '| [errors](errors.md) | Codes and classes. |',
    ].join('\n'),
    '',
  ]
    .join('\n\n')
    .trimEnd()
    .concat('\n');
}

function where(path: string): string {
  return join(basename(dirname(path)), basename(path));
}
