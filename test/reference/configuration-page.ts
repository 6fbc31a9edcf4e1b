/** Configuration page: every option of the service's configuration, from its schema and the comments in it. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { configSchema } from '../../packages/server/src/config/config.js';
import { needsRestart } from '../../packages/server/src/config/diff.js';
import { lineOf } from './comment.js';

/** An option as the page shows it. */
export interface ConfigOption {
  /** With `NAME` in place of a name that the user chooses: `pipelines.NAME.maxItems`. */
  readonly path: string;
  readonly comment: string;
  /** What holds where nothing is said; undefined where the schema names none. */
  readonly default: unknown;
}

interface JsonSchema {
  readonly title?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

const folder = fileURLToPath(new URL('../../packages/server/src/config/', import.meta.url));
const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
const commented = commentedObjects();

/** Every option of the configuration. */
export function configOptions(): ConfigOption[] {
  return [...sections(schema, '')].flatMap(({ path, object }) =>
    Object.entries(object.properties!).map(([name, member]) => ({
      path: joined(path, name),
      comment: commentOf(object, name),
      default: member.default,
    })),
  );
}

/** The page. */
export function configurationPage(): string {
  const tables = [...sections(schema, '')].map(({ path, title, object }) => {
    const rows = Object.entries(object.properties!)
      .filter(([name]) => name !== 'type')
      .map(([name, member]) => row(object, name, member, joined(path, name)));
    return `## ${title}\n\n| option | values | default | |\n|---|---|---|---|\n${rows.join('\n')}\n`;
  });
  return `<!-- Made by \`npm run reference\` from packages/server/src/config: change that. -->

# The configuration

Every option of \`sluice.config.ts\`, \`.js\`, \`.yaml\` or \`.json\`; [the guide](../guide/configuration.md) says how it is written, checked and
changed. *Restart*: a reload shows the change and leaves it for the next start; everything else is changed while the service runs.
Names (\`NAME\`) of streams, pipelines, groups and tenants are 1 to 128 letters, digits, dots, hyphens and underscores.

${tables.join('\n')}`;
}

/** The objects that hold options, from the outside in. */
function* sections(at: JsonSchema, path: string): Generator<{ path: string; title: string; object: JsonSchema }> {
  for (const one of at.anyOf ?? at.oneOf ?? []) yield* sections(one, path);
  if (at.items !== undefined) yield* sections(at.items, `${path}[]`);
  if (typeof at.additionalProperties === 'object') yield* sections(at.additionalProperties, `${path}.NAME`);
  // A sink is described once, though a branch has one too.
  if (at.properties === undefined || framed(at) === undefined || path.includes('.branches')) return;
  const type = at.properties.type?.const;
  yield { path, title: path === '' ? 'The whole' : type === undefined ? path : `${path}, type: ${type}`, object: at };
  for (const [name, member] of Object.entries(at.properties)) yield* sections(member, joined(path, name));
}

function row(object: JsonSchema, name: string, member: JsonSchema, path: string): string {
  const restart = needsRestart(path.replaceAll('NAME', 'name')) ? ' *Restart.*' : '';
  const text = lineOf(commentOf(object, name), () => undefined);
  return `| \`${name}\` | ${valuesOf(member)} | ${defaultOf(object, name, member)} | ${text}${restart} |`;
}

function defaultOf({ required = [] }: JsonSchema, name: string, { default: value, properties }: JsonSchema): string {
  if (value === undefined) return required.includes(name) && properties === undefined ? 'required' : '';
  if (typeof value === 'number') return value.toLocaleString('en');
  // An object of options has its defaults one by one, in its own section or in its comment.
  if (typeof value === 'object' && !Array.isArray(value)) return '';
  return `\`${JSON.stringify(value)}\``;
}

function valuesOf(member: JsonSchema): string {
  const { type, enum: values, anyOf, oneOf, items, properties, additionalProperties } = member;
  if (member.const !== undefined) return `\`${member.const}\``;
  if (values !== undefined) return values.map((value) => `\`${value}\``).join(', ');
  const variants = anyOf ?? oneOf;
  if (variants !== undefined) return [...new Set(variants.map(valuesOf))].join(', or ');
  if (properties?.type?.const !== undefined) return 'a sink, below';
  if (properties !== undefined && Object.keys(properties).length === 0) return 'an object';
  if (properties !== undefined) return framed(member) ? 'options, below' : `\`{ ${Object.keys(properties).join(', ')} }\``;
  if (typeof additionalProperties === 'object' && type === 'object') return `by name: ${valuesOf(additionalProperties)}`;
  if (items !== undefined) return `list of ${valuesOf(items)}`;
  if (type === 'number' || type === 'integer') return numbersOf(member);
  if (type === 'boolean') return '`true`, `false`';
  return type === 'string' ? 'text' : type === 'object' ? 'an object' : (member.title ?? 'a function');
}

function numbersOf({ minimum, exclusiveMinimum, maximum }: JsonSchema): string {
  const shown = (value: number) => value.toLocaleString('en');
  if (exclusiveMinimum !== undefined) return `above ${shown(exclusiveMinimum)}`;
  if (maximum === undefined || maximum === Number.MAX_SAFE_INTEGER) return `${shown(minimum ?? 0)} or more`;
  return `${shown(minimum ?? 0)} to ${shown(maximum)}`;
}

function commentOf(object: JsonSchema, name: string): string {
  return framed(object)?.get(name) ?? '';
}

function framed({ properties = {} }: JsonSchema): ReadonlyMap<string, string> | undefined {
  return commented.get(Object.keys(properties).sort().join());
}

function joined(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

/**
 * The objects that the sources write over several lines, by the names of their members: each member with the comment before it. The
 * formatter puts every member on a line of its own, two columns further in than its object.
 */
function commentedObjects(): Map<string, ReadonlyMap<string, string>> {
  const found = new Map<string, ReadonlyMap<string, string>>();
  for (const file of readdirSync(folder).filter((name) => /^(config|.*-schema)\.ts$/.test(name))) {
    const lines = readFileSync(`${folder}${file}`, 'utf8').split('\n');
    for (const [start, line] of lines.entries()) {
      if (!/strictObject\(\{$/.test(line)) continue;
      const members = membersAfter(lines.slice(start + 1), /^ */.exec(line)![0].length);
      found.set([...members.keys()].sort().join(), members);
    }
  }
  return found;
}

function membersAfter(lines: readonly string[], indent: number): Map<string, string> {
  const inner = ' '.repeat(indent + 2);
  const members = new Map<string, string>();
  let comment: string[] = [];
  for (const line of lines) {
    if (line.trim() !== '' && /^ */.exec(line)![0].length <= indent) break;
    if (!line.startsWith(inner)) continue;
    const text = line.slice(inner.length);
    const name = /^(\w+)(?=[:,])/.exec(text)?.[1];
    if (text.startsWith('/**') || text.startsWith(' *')) {
      const stripped = text.replace(/^(\/\*\*| \*\/| \*)\s?/, '').replace(/\s*\*\/$/, '');
      comment = text.startsWith('/**') ? [stripped] : [...comment, stripped];
    } else if (name !== undefined) {
      members.set(name, comment.join(' ').trim());
      comment = [];
    }
  }
  return members;
}
