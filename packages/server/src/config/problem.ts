/** Problem: what is wrong in a configuration, where, and what was probably meant. */

import type { z } from 'zod';
import { configSchema } from './config.js';
import { knownNames } from './known.js';
import { withoutSecrets } from './secrets.js';
import type { Path, Source } from './source.js';
import { nearest } from './suggest.js';

/** One thing that is wrong. */
export interface Problem {
  /** Where it stands in the file, where that is known. */
  readonly place?: { readonly line: number; readonly column: number } | undefined;
  /** Where it stands in the configuration, as in `pipelines.audit.window.maxDelayMs`. */
  readonly path?: string;
  readonly message: string;
}

/** A configuration that cannot be used: all of its problems, one a line. */
export class ConfigError extends Error {
  /** Empty where there is none. */
  readonly file: string;
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[], options?: ErrorOptions) {
    super(problems.map((problem) => problemText(file, problem)).join('\n'), options);
    this.name = 'ConfigError';
    this.file = file;
    this.problems = problems;
  }
}

/** `file:line:column: path: message`, with what is known of it; without a file `path: message`. */
export function problemText(file: string, { place, path, message }: Problem): string {
  const where = place === undefined ? file : `${file}:${place.line}:${place.column}`;
  return `${where === '' ? '' : `${where}: `}${path === undefined || path === '' ? '' : `${path}: `}${message}`;
}

/** The problems that a schema found, with their places and suggestions. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], source: Source, value: unknown): Problem[] {
  const found = issues.flatMap((issue) => flat(issue, [], value));
  // What is missing because its name is misspelt is told with the name.
  const misspelt = new Set(
    found.flatMap(({ path, message }) => {
      const meant = message === unknownName ? suggestion(path, value) : undefined;
      return meant === undefined ? [] : [pathText([...path.slice(0, -1), meant])];
    }),
  );
  return found
    .filter(({ path }) => at(value, path) !== undefined || !misspelt.has(pathText(path)))
    .map(({ path, message }) => ({
      message: message === unknownName ? withSuggestion(path, value) : message,
      path: pathText(path),
      place: source.placeOf(path),
    }));
}

const unknownName = 'there is no such option';

function withSuggestion(path: Path, root: unknown): string {
  const near = suggestion(path, root);
  return `${unknownName}; ${near === undefined ? `there are ${known(path, root).join(', ')}` : `did you mean ${near}?`}`;
}

function suggestion(path: Path, root: unknown): string | undefined {
  return nearest(String(path.at(-1)), known(path, root));
}

function known(path: Path, root: unknown): string[] {
  return knownNames(configSchema, path.slice(0, -1), root);
}

interface Found {
  readonly path: Path;
  readonly message: string;
}

/** Of a union, what is wrong with the form that fits best: the one with the fewest problems, the deepest first. */
function flat(issue: z.core.$ZodIssue, base: Path, root: unknown): Found[] {
  const path = [...base, ...issue.path];
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const forms = issue.errors.map((errors) => errors.flatMap((error) => flat(error, path, root)));
    const deep = forms.filter((found) => found.some((one) => one.path.length > path.length));
    const candidates = deep.length > 0 ? deep : forms;
    if (candidates.length === 1 || deep.length > 0)
      return candidates.reduce((best, form) => (form.length < best.length ? form : best));
    const wants = new Set(forms.flat().map(({ message }) => message.replace(/; got .*$/, '').replace(/^expected /, '')));
    return [{ path, message: `expected ${[...wants].join(', or ')}; got ${shown(at(root, path), path)}` }];
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: unknownName }));
  }
  if (issue.code === 'invalid_key') return [{ path, message: issue.issues[0]?.message ?? issue.message }];
  const got = at(root, path);
  const meant = typeof got === 'string' ? nearest(got, choicesOf(issue)) : undefined;
  return [
    {
      path,
      message: `${sentenceOf(issue)}; got ${shown(got, path)}${meant === undefined ? '' : `; did you mean ${JSON.stringify(meant)}?`}`,
    },
  ];
}

/** The texts that would have been right. */
function choicesOf(issue: z.core.$ZodIssue): string[] {
  const choices: readonly unknown[] =
    issue.code === 'invalid_value'
      ? issue.values
      : issue.code === 'invalid_union' && 'options' in issue
        ? (issue.options ?? [])
        : [];
  return choices.filter((choice) => typeof choice === 'string');
}

function sentenceOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${article(issue.expected)}`;
    case 'invalid_value':
      return `expected ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
    case 'invalid_union':
      return `expected ${choicesOf(issue)
        .map((value) => JSON.stringify(value))
        .join(' or ')}`;
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `expected ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}`
        : `expected at least ${issue.minimum} ${issue.origin === 'string' ? 'characters' : 'entries'}`;
    case 'too_big':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `expected at most ${issue.maximum}`
        : `expected at most ${issue.maximum} ${issue.origin === 'string' ? 'characters' : 'entries'}`;
    case 'invalid_format':
      return issue.format === 'url' ? 'expected an http or https address' : issue.message;
    default:
      return issue.message;
  }
}

function article(type: string): string {
  const names: Record<string, string> = {
    int: 'a whole number',
    object: 'an object',
    array: 'a list',
    record: 'an object',
    boolean: 'true or false',
  };
  return names[type] ?? `a ${type}`;
}

function at(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (value as Record<PropertyKey, unknown> | undefined | null)?.[step], root);
}

function shown(value: unknown, path: Path): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'function') return 'a function';
  const text = JSON.stringify(withoutSecrets(value, pathText(path))) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** `pipelines.audit.maxItems`, `keys[0].hash`. */
export function pathText(path: Path): string {
  return path.map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i === 0 ? '' : '.'}${String(step)}`)).join('');
}
