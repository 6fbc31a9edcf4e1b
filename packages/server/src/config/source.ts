/** Source: reads a configuration file of any form, and knows in which line each of its values stands. */

import { access, readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { ConfigError } from './problem.js';
import { runFile } from './run-file.js';

/** The forms that are looked for, in this order. */
export const fileNames = ['ts', 'mts', 'js', 'mjs', 'yaml', 'yml', 'json'].map((ending) => `sluice.config.${ending}`);

/** Steps from the root of a configuration to a value. */
export type Path = readonly PropertyKey[];

/** The file cannot be read, or is of no form that is known: what is in it was not judged. */
export class UnreadableFile extends ConfigError {}

/** What a file holds. */
export interface Source {
  readonly file: string;
  readonly value: unknown;
  /** The line and column of a value or, where it is absent, of what should hold it; `undefined` in a program. */
  placeOf(path: Path): { readonly line: number; readonly column: number } | undefined;
}

/**
 * Reads a configuration file.
 *
 * @throws ConfigError when it is not of its form; UnreadableFile when it cannot be read, or its ending is not known.
 */
export async function readSource(file: string): Promise<Source> {
  // Before its ending: of a file that is not there, nothing else is wrong.
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(file, error);
  });
  if (found.isDirectory()) throw unreadable(file, { code: 'EISDIR' });
  const ending = extname(file).slice(1);
  if (['yaml', 'yml', 'json'].includes(ending)) return readText(file);
  if (['ts', 'mts', 'cts', 'js', 'mjs', 'cjs'].includes(ending)) return readProgram(file);
  throw new UnreadableFile(file, [{ message: 'expected a file that ends in .ts, .js, .yaml or .json' }]);
}

async function readText(file: string): Promise<Source> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw unreadable(file, error);
  });
  const lines = new LineCounter();
  // JSON is YAML. A key that occurs twice is a mistake in both.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (document.errors.length > 0) {
    throw new ConfigError(
      file,
      document.errors.map((error) => ({
        message: `${error.message}${quoteHint(text, error.pos[0])}`,
        place: place(error.pos[0]),
      })),
    );
  }
  return {
    file,
    value: document.toJS({ maxAliasCount: 100 }) ?? {},
    placeOf(path) {
      for (let length = path.length; length > 0; length--) {
        const offset = offsetOf(document.getIn(path.slice(0, length - 1), true), path[length - 1]!);
        if (offset !== undefined) return place(offset);
      }
      return place(document.contents?.range?.[0] ?? 0);
    },
  };
}

/** Within { … } and [ … ] YAML takes the brace of a variable for its own. */
function quoteHint(text: string, offset: number): string {
  const variable = /\$\{[^}\n]*\}/.exec(text.slice(Math.max(0, offset - 1)).split('\n', 1)[0]!)?.[0];
  return variable !== undefined && text[offset] === '{' ? `; a variable within { … } stands in quotes: "${variable}"` : '';
}

/** Of a member of an object its key: there the eye looks. */
function offsetOf(parent: unknown, step: PropertyKey): number | undefined {
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
    return isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
  }
  const item = (parent as { get?(key: unknown, keepScalar: boolean): unknown } | undefined)?.get?.(step, true);
  return (item as { range?: [number, number, number] } | undefined)?.range?.[0];
}

async function readProgram(file: string): Promise<Source> {
  await access(file).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(file, error);
  });
  // A configuration may import this package though it is installed globally, or not where the configuration is.
  const ours = fileURLToPath(new URL(`./define${extname(import.meta.url)}`, import.meta.url));
  try {
    const { default: value } = await runFile(file, { '@sluice/server': ours });
    return { file, value: await (typeof value === 'function' ? value() : value), placeOf: () => undefined };
  } catch (error) {
    throw new ConfigError(file, [{ message: `it cannot be run: ${(error as Error).message ?? String(error)}` }], {
      cause: error,
    });
  }
}

function unreadable(file: string, { code = '', message = '' }: Partial<NodeJS.ErrnoException>): UnreadableFile {
  const missing = 'this file does not exist; correct the path, or create it';
  const sentences: Readonly<Record<string, string>> = {
    ENOENT: missing,
    ENOTDIR: missing,
    EACCES: 'this user may not read it; give the right to, or run as another user',
    EISDIR: 'it is a folder; give the path of a file',
  };
  return new UnreadableFile(file, [{ message: sentences[code] ?? message }]);
}
