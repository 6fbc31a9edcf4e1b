/** `sluice check`: says whether a configuration is right, and what in it is likely to be regretted. Starts nothing. */

import { existsSync } from 'node:fs';
import { isAbsolute, relative, resolve } from 'node:path';
import type { Config } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import { ConfigError, type Problem, problemText } from '../config/problem.js';
import { type Advice, review } from '../config/review.js';
import { UnreadableFile } from '../config/source.js';
import type { CommandIo } from './command-io.js';

/** What `sluice check` is told. */
export interface CheckOptions {
  /** The configuration; else the one in this folder. */
  readonly config?: string | undefined;
  readonly json?: boolean | undefined;
  /** Advice counts as a failure. */
  readonly strict?: boolean | undefined;
  readonly io: CommandIo;
}

const empty: Advice = { rule: 'empty-file', path: '', message: 'the file is empty: everything has its default' };

/** Checks a configuration. Exit code 0: it is right; 1: it is not, or `strict` and there is advice; 2: there is no such file, or it is of no form that is known. */
export async function check({ config: file, json = false, strict = false, io }: CheckOptions): Promise<number> {
  try {
    const { config, file: found, folder, isEmpty = false } = await loadConfig(file);
    const missing = missingModules(config, folder);
    if (missing.length > 0) throw new ConfigError(found ?? folder, missing);
    const advice = [...(isEmpty ? [empty] : []), ...review(config)];
    const failed = strict && advice.length > 0;
    if (json) io.stdout.write(`${JSON.stringify({ ok: true, file: found ?? null, problems: [], advice })}\n`);
    else io.stdout.write(adviceText(found, advice));
    return failed ? 1 : 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { file: at, problems } = error;
    if (json) io.stdout.write(`${JSON.stringify({ ok: false, file: at, problems, advice: [] })}\n`);
    else io.stderr.write(`${problems.map((problem) => problemText(fileText(at), problem)).join('\n')}\n`);
    return error instanceof UnreadableFile ? 2 : 1;
  }
}

/** Modules that are named and not there. They are not loaded: that would run them. */
function missingModules({ pipelines }: Config, folder: string): Problem[] {
  return Object.entries(pipelines).flatMap(([name, { filter, map, branch, sink, branches }]) => {
    const handlers = Object.entries({ sink, ...branches }).map(([at, one]) => [
      `${at}.handler`,
      one.type === 'module' ? one.handler : undefined,
    ]);
    return [...Object.entries({ filter, map, branch }), ...handlers].flatMap(([what, given]) => {
      if (typeof given !== 'string' || existsSync(resolve(folder, given.split('#')[0]!))) return [];
      return [{ path: `pipelines.${name}.${what as string}`, message: `there is no file ${given.split('#')[0]}` }];
    });
  });
}

function adviceText(file: string | undefined, advice: readonly Advice[]): string {
  const name = file === undefined ? 'There is no sluice.config here: everything has its default, which' : fileText(file);
  if (advice.length === 0) return `${name} is right.\n`;
  const lines = advice.map(({ rule, path, message }) => `  ${path === '' ? '' : `${path}: `}${message} [${rule}]\n`);
  return `${name} is right. Worth a look:\n\n${lines.join('')}`;
}

/** A path from here, or from the root where it would lead out of here. */
function fileText(file: string): string {
  const fromHere = relative(process.cwd(), file);
  return fromHere === '' || fromHere.startsWith('..') || isAbsolute(fromHere) ? file : fromHere;
}
