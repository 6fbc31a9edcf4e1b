/** User function: a function of the user's, given as itself or as `./module.js#name`. */

import { resolve } from 'node:path';
import { SluiceError } from 'sluice';
import { runFile } from '../config/run-file.js';

type AnyFunction = (...args: never[]) => unknown;

/**
 * The function that a configuration names.
 *
 * @param folder what the path of its module is relative to.
 * @throws SluiceError `INVALID_OPTION` when there is none.
 */
export async function userFunction<F extends AnyFunction>(named: string | F, folder: string, what: string): Promise<F> {
  if (typeof named === 'function') return named;
  const [path, name = 'default'] = named.split('#') as [string, string?];
  const module = await load(resolve(folder, path), what);
  const found = module[name];
  if (typeof found === 'function') return found as F;
  throw invalid(`${what}: ${path} exports no function ${name}${name === 'default' ? '; name one as in ./module.js#name' : ''}`);
}

async function load(file: string, what: string): Promise<Record<string, unknown>> {
  try {
    return await runFile(file);
  } catch (cause) {
    throw invalid(`${what}: ${file} cannot be loaded: ${(cause as Error).message.split('\n')[0]}`, cause);
  }
}

function invalid(message: string, cause?: unknown): SluiceError {
  return new SluiceError(message, { code: 'INVALID_OPTION', class: 'rejected', ...(cause === undefined ? {} : { cause }) });
}
