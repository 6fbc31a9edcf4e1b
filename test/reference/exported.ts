/** exported: what a module of the library exports, followed to where it is declared. */

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseAst } from 'rolldown/parseAst';

/** A node of the syntax tree, as far as the reference looks at it. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

/** A parsed source. */
export interface Module {
  readonly path: string;
  readonly text: string;
  readonly body: readonly Node[];
}

/** An exported name with its declarations: several for overloads, and for a class with a namespace. */
export interface Exported {
  readonly name: string;
  readonly module: Module;
  readonly declarations: readonly Declaration[];
}

/** One declaration, and where its statement starts: the comment stands before that. */
export interface Declaration {
  readonly node: Node;
  readonly start: number;
}

const modules = new Map<string, Module>();

/** The parsed source at `path`. */
export function moduleAt(path: string): Module {
  let module = modules.get(path);
  if (module === undefined) {
    const text = readFileSync(path, 'utf8');
    module = { path, text, body: parseAst(text, { lang: 'ts', astType: 'ts' }, path).body as unknown as readonly Node[] };
    modules.set(path, module);
  }
  return module;
}

/** All that the module at `path` exports, in the order of its statements. */
export function exportsOf(path: string): Exported[] {
  const module = moduleAt(path);
  const found = new Map<string, Exported>();
  const add = (exported: Exported) => {
    const before = found.get(exported.name);
    const declarations = [...(before?.declarations ?? []), ...exported.declarations];
    found.set(exported.name, { ...exported, declarations });
  };
  for (const statement of module.body) {
    const from = statement.source as { value: string } | null | undefined;
    if (statement.type === 'ExportAllDeclaration') for (const exported of exportsOf(target(path, from!.value))) add(exported);
    if (statement.type !== 'ExportNamedDeclaration') continue;
    const node = statement.declaration as Node | null;
    if (node !== null) for (const name of namesOf(node)) add({ name, module, declarations: [{ node, start: statement.start }] });
    for (const { local, exported } of statement.specifiers as { local: { name: string }; exported: { name: string } }[]) {
      const source = from === null || from === undefined ? localSource(module, local.name) : from.value;
      const origin = exportsOf(target(path, source)).find(({ name }) => name === local.name);
      if (origin === undefined) throw new Error(`${path} exports ${local.name}, which ${source} does not have`);
      add({ ...origin, name: exported.name });
    }
  }
  return [...found.values()];
}

/** The text of the documentation comment that ends right before `start`, without its stars; `''` when there is none. */
export function commentBefore({ text }: Module, start: number): string {
  const before = text.slice(0, start);
  const end = before.lastIndexOf('*/');
  // A blank line between: it is the header of the file.
  if (end === -1 || !/^\s*\|?\s*$/.test(before.slice(end + 2)) || /\n\s*\n/.test(before.slice(end + 2))) return '';
  const begin = before.lastIndexOf('/*', end);
  return before.startsWith('/**', begin) ? plain(before.slice(begin + 3, end)) : '';
}

/** The comment that a module begins with. */
export function headerOf({ text }: Module): string {
  return plain(/^\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? '');
}

function plain(comment: string): string {
  return comment
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trimEnd())
    .join('\n')
    .trim();
}

function namesOf(node: Node): string[] {
  if (node.type !== 'VariableDeclaration') return [(node.id as { name: string }).name];
  return (node.declarations as { id: { name: string } }[]).map(({ id }) => id.name);
}

function target(from: string, specifier: string): string {
  return resolve(dirname(from), specifier.replace(/\.js$/, '.ts'));
}

function localSource({ path, body }: Module, name: string): string {
  for (const statement of body) {
    if (statement.type !== 'ImportDeclaration') continue;
    const specifiers = statement.specifiers as { local: { name: string } }[];
    if (specifiers.some(({ local }) => local.name === name)) return (statement.source as { value: string }).value;
  }
  throw new Error(`${path} exports ${name}, which it does not import; export it where it is declared`);
}
