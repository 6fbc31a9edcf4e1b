/** options-table: the options of a function as a table: name, type, unit, default, meaning. */

import { type Addresses, cell, lineOf } from './comment.js';
import { commentBefore, type Exported, type Node } from './exported.js';

/** One option. */
export interface Option {
  readonly name: string;
  readonly type: string;
  readonly unit: string;
  /** As its comment says; `'required'` when it must be given, `''` when the comment says nothing. */
  readonly fallback: string;
  readonly comment: string;
}

/** Whether a name is an interface of options. */
export function isOptions({ name, declarations }: Exported): boolean {
  return /Options$/.test(name) && declarations.every(({ node }) => node.type === 'TSInterfaceDeclaration');
}

/** The options that an interface declares. */
export function optionsOf({ module, declarations }: Exported): Option[] {
  const members = declarations.flatMap(({ node }) => (node.body as { body: readonly Node[] }).body);
  return members.map((member) => {
    const key = member.key as Node;
    const name = module.text.slice(key.start, key.end);
    const comment = commentBefore(module, member.start);
    const required = member.optional !== true;
    return {
      name,
      type: typeOf(module.text, member),
      unit: unitOf(name),
      fallback: required ? 'required' : defaultOf(comment),
      comment,
    };
  });
}

/** The options as a table of Markdown. */
export function optionsTable(exported: Exported, addresses: Addresses): string {
  const rows = optionsOf(exported).map(({ name, type, unit, fallback, comment }) =>
    ['', `\`${name}\``, `\`${cell(type)}\``, unit || '–', cell(fallback) || '–', lineOf(comment, addresses), '']
      .join(' | ')
      .trim(),
  );
  return ['| option | type | unit | default | what it does |', '|---|---|---|---|---|', ...rows].join('\n');
}

/** The names whose options an interface takes over. */
export function inheritedBy({ module, declarations }: Exported): string[] {
  const heritage = declarations.flatMap(({ node }) => (node.extends as readonly Node[] | undefined) ?? []);
  return heritage.map(({ start, end }) => module.text.slice(start, end));
}

function typeOf(text: string, member: Node): string {
  if (member.type === 'TSMethodSignature') return text.slice((member.key as Node).end, member.end).replace(/^\?|;$/g, '');
  const annotation = (member.typeAnnotation as { typeAnnotation: Node }).typeAnnotation;
  return text.slice(annotation.start, annotation.end);
}

/** The unit that ends the name. */
function unitOf(name: string): string {
  if (/Ms$/.test(name)) return 'milliseconds';
  if (/Bytes$/.test(name)) return 'bytes';
  if (/(Items|Keys|Waiters|Records|Letters|Events|Entries)$/.test(name)) return /[A-Z]?[a-z]+$/.exec(name)![0].toLowerCase();
  return /PerSecond$/.test(name) ? 'a second' : '';
}

/** What the comment says after `Default`, or before `(default)`. */
function defaultOf(comment: string): string {
  const text = comment.replace(/\s+/g, ' ');
  const marked = /(`[^`]+`) \(default[,)]/.exec(text);
  if (marked !== null) return marked[1]!;
  const said = /\b[Dd]efaults?(?: to|:)? ((?:`[^`]*`|[^`])*?)(?=[.:;,] |[.;]$|$| \()/.exec(text);
  return said === null ? '' : said[1]!;
}
