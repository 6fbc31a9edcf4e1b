/** Load: from a file of any form to a configuration that has been checked, with its defaults. */

import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Config, configSchema } from './config.js';
import { contradictions } from './contradictions.js';
import type { Overrides } from './override.js';
import { ConfigError, type Problem, pathText, problemsOf } from './problem.js';
import { fileNames, type Path, readSource, type Source } from './source.js';
import { substitute } from './substitute.js';

/** A configuration and where it came from. */
export interface Loaded {
  readonly config: Config;
  /** The file; `undefined` where there is none and everything has its default. */
  readonly file: string | undefined;
  /** Paths of the configuration are relative to this folder. */
  readonly folder: string;
  /** What the command line said otherwise; it is said again when the file is read again. */
  readonly overrides?: Overrides;
  /** There is a file, and nothing in it. */
  readonly isEmpty?: boolean;
  /** The environment gave the database: the file names none. */
  readonly isDatabaseOfEnvironment?: boolean;
}

/**
 * Loads a configuration.
 *
 * @param file its path; `undefined` looks for `sluice.config.ts`, `.js`, `.yaml` or `.json` in `folder`, and takes the defaults when
 * there is none.
 * @throws ConfigError with everything that is wrong.
 */
export async function loadConfig(
  file: string | undefined,
  {
    folder = process.cwd(),
    environment = process.env,
  }: { readonly folder?: string; readonly environment?: NodeJS.ProcessEnv } = {},
): Promise<Loaded> {
  const path = file === undefined ? await findConfig(folder) : resolve(folder, file);
  const source = path === undefined ? undefined : await readSource(path);
  const written = source === undefined ? configSchema.parse({}) : checkConfig(source, environment);
  const config = withDatabase(written, environment);
  return {
    config,
    file: path,
    folder: path === undefined ? folder : dirname(path),
    isEmpty: source !== undefined && Object.keys(source.value as object).length === 0,
    isDatabaseOfEnvironment: config !== written,
  };
}

async function findConfig(folder: string): Promise<string | undefined> {
  const found: string[] = [];
  for (const name of fileNames) {
    const path = join(folder, name);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      found.push(path);
  }
  if (found.length > 1)
    throw new ConfigError(found[0]!, [
      { message: `there is also ${found.slice(1).join(' and ')}; keep one, or name it with --config` },
    ]);
  return found[0];
}

/**
 * Checks what a source holds and fills in the defaults.
 *
 * @throws ConfigError with everything that is wrong.
 */
export function checkConfig(source: Source, environment: NodeJS.ProcessEnv): Config {
  const { value, whole, missing } = substitute(source.value, environment);
  if (missing.length > 0) {
    const problems = missing.map(({ path, name }) => ({
      place: source.placeOf(path),
      path: pathText(path),
      message: `the environment variable ${name} is not set; set it, or give a default as in \${${name}:-value}`,
    }));
    throw new ConfigError(source.file, problems);
  }
  const plain = configSchema.safeParse(value);
  // A variable is text: where the schema wants a number or a boolean, it stands for one.
  const result = plain.success
    ? plain
    : configSchema.safeParse(withValues(value, whole, problemsOf(plain.error.issues, source, value)));
  if (!result.success) throw new ConfigError(source.file, problemsOf(result.error.issues, source, value));
  const found = contradictions(withDatabase(result.data, environment)).map(({ path, message }) => ({
    place: source.placeOf(path),
    path: pathText(path),
    message,
  }));
  if (found.length > 0) throw new ConfigError(source.file, found);
  return result.data;
}

function withValues(
  value: unknown,
  whole: readonly { readonly path: Path; readonly text: string }[],
  problems: readonly Problem[],
): unknown {
  const copy = structuredCloneOfData(value);
  const wrong = new Set(problems.map(({ path }) => path));
  for (const { path, text } of whole) {
    if (!wrong.has(pathText(path))) continue;
    const meant = text === 'true' ? true : text === 'false' ? false : /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    const parent = path
      .slice(0, -1)
      .reduce<Record<PropertyKey, unknown>>((at, step) => at[step] as Record<PropertyKey, unknown>, copy);
    parent[path.at(-1)!] = meant;
  }
  return copy;
}

/** Functions stay what they are. */
function structuredCloneOfData(value: unknown): Record<PropertyKey, unknown> {
  const clone = (given: unknown): unknown => {
    if (Array.isArray(given)) return given.map(clone);
    if (given === null || typeof given !== 'object' || Object.getPrototypeOf(given) !== Object.prototype) return given;
    return Object.fromEntries(Object.entries(given).map(([name, member]) => [name, clone(member)]));
  };
  return clone(value) as Record<PropertyKey, unknown>;
}

function withDatabase(config: Config, { DATABASE_URL }: NodeJS.ProcessEnv): Config {
  if (config.database !== undefined || DATABASE_URL === undefined || DATABASE_URL === '') return config;
  return { ...config, database: DATABASE_URL };
}
