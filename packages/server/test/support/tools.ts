/** Tools: the clients of the system that a stranger would use, and whether they are here. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Whether one of these programs is absent, and need not be there: a test that needs it may skip. */
export function lacks(...programs: readonly string[]): boolean {
  if (process.env.SLUICE_REQUIRE_TOOLS === '1') return false;
  return programs.some(
    (program) => !(process.env.PATH ?? '').split(delimiter).some((folder) => isProgram(join(folder, program))),
  );
}

/** What a program prints; what it says on standard error when it fails. */
export async function output(program: string, ...args: readonly string[]): Promise<string> {
  return (await run(program, args)).stdout;
}

/** What a line of a shell prints: for the commands that are to be copied from a terminal. */
export async function shell(line: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  return (await run('sh', ['-ec', line], { env: { ...process.env, ...env } })).stdout;
}

/** The rows that `psql` shows for a query, a line each, with `|` between the columns. */
export async function psql(databaseUrl: string, sql: string): Promise<string[]> {
  // Nobody is there to be asked for a password, and no file of this user's has a say.
  const text = await output('psql', '--no-psqlrc', '--no-password', '--tuples-only', '--no-align', '--command', sql, databaseUrl);
  return text.split('\n').filter((line) => line !== '');
}

/** What a program prints that reads a text from its standard input, and its exit code. */
export async function piped(input: string, program: string, ...args: readonly string[]): Promise<{ code: number; said: string }> {
  const child = spawn(program, args, { stdio: 'pipe' });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (said += part));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, said };
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
