/** Runs a program until it ends, however that is. */

import { spawn } from 'node:child_process';

/** What a program prints, and what it dies of when it does. */
export function runToEnd(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ readonly printed: string; readonly signal: NodeJS.Signals | null }> {
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (_code, signal) => resolve({ printed, signal }));
  });
}
