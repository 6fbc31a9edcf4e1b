/** program: runs one of PostgreSQL's programs to its end, as the server's user. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Account } from './place.js';

/** How to run a program. */
export interface RunOptions {
  /** As whom; absent: as we are. */
  readonly account: Account | undefined;
  /** A folder that this user can enter: ours may not be one. */
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** How a program ended. */
export interface RunResult {
  /** Exit code; -1 when it could not be started or was killed. */
  readonly code: number;
  /** What it wrote, to both outputs. */
  readonly output: string;
}

/** Runs a program, in a process group of its own so that Ctrl-C on our terminal does not reach it. Never rejects. */
export function run(program: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  return new Promise((resolve) => {
    const { account, cwd, env } = options;
    const child = spawn(program, args, {
      cwd,
      // None of our environment: PGPORT and its like would change what the programs do, LANG what they say.
      env: {
        PATH: process.env.PATH ?? '/usr/bin:/bin',
        LC_ALL: 'C',
        ...(process.env.SystemRoot ? { SystemRoot: process.env.SystemRoot } : {}),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      windowsHide: true,
      ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
    });
    let output = '';
    const collect = (chunk: Buffer) => {
      output += chunk.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', (error) => resolve({ code: -1, output: `${output}${error.message}` }));
    child.once('close', (code) => resolve({ code: code ?? -1, output }));
  });
}

/** Whether a process with this id exists and has not ended. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
  return stateOf(pid) !== 'Z';
}

/** A process that ended but was not waited for, as under a PID 1 that does not care, still has its id. */
function stateOf(pid: number): string | undefined {
  try {
    return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}
