/** Life: one process of the tortured program, from its start to its end. */

import { type ChildProcess, spawn } from 'node:child_process';
import type { Found, Report, Start } from './reports.js';

/** One process. It loads its modules at once and opens the store when it is told. */
export interface Life {
  /** Opens the store; resolves with what was found there, or undefined when the process ended before it could say. */
  open(start: Start): Promise<readonly Found[] | undefined>;
  /** Begins to work. */
  work(): void;
  /** Closes the store in order, and ends. */
  close(): void;
  kill(): void;
  /** Resolves once the process has ended and all its reports were heard. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly stderr: string }>;
}

/** Starts a process. `hear` gets each of its reports, but for what it found. */
export function beginLife(program: string, env: NodeJS.ProcessEnv, hear: (report: Report) => void): Life {
  const child: ChildProcess = spawn(process.execPath, [program], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  const found: Found[] = [];
  let tellFound!: (found: readonly Found[] | undefined) => void;
  const whenFound = new Promise<readonly Found[] | undefined>((resolve) => {
    tellFound = resolve;
  });
  let stderr = '';
  let rest = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4_000);
  });
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    // What follows the last line break may be cut off by the crash.
    rest = lines.pop()!;
    for (const line of lines) take(JSON.parse(line) as Report);
  });
  // A killed process takes no orders.
  child.stdin!.on('error', () => {});
  const ended = new Promise<Awaited<Life['ended']>>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      tellFound(undefined);
      resolve({ code, signal, stderr });
    });
  });
  const order = (what: unknown) => child.stdin!.write(`${JSON.stringify(what)}\n`);

  return {
    open(start) {
      order(start);
      return whenFound;
    },
    work: () => void order('work'),
    close: () => void order('close'),
    kill: () => void child.kill('SIGKILL'),
    ended,
  };

  function take(report: Report): void {
    if (report.is === 'found') tellFound(found);
    else if (['stream', 'records', 'group', 'letter', 'letters'].includes(report.is)) found.push(report as Found);
    else hear(report);
  }
}
