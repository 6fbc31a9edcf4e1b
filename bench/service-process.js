/** The built service as a process of its own for a benchmark, with its embedded PostgreSQL; every trace of it is removed. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startEmbeddedPostgres } from '../packages/server/dist/embedded/postgres.js';

const program = fileURLToPath(new URL('../packages/server/bin/sluice.js', import.meta.url));

/** Those that run now. */
const running = new Set();

/** Ends every service at once: what waits for one of them fails, and removes what it has made. */
export function killServices() {
  for (const child of running) child.kill('SIGKILL');
}

/** Runs `use` with a temporary folder, and removes it. */
export async function withFolder(use) {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs `use` with a service that has just started, and removes it. `args`: more arguments of `sluice up`. */
export async function withService(args, use) {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  const service = await startProcess(
    [program, 'up', '--data', dataDir, '--port', '0', '--control-port', '0', ...args],
    'Stop with Ctrl-C',
  );
  const { child, ended, printed } = service;
  try {
    await use({
      url: /data plane +(\S+)/.exec(printed)[1],
      controlUrl: /control plane +(\S+)/.exec(printed)[1],
      databaseUrl: /PostgreSQL +(postgres\S+)/.exec(printed)?.[1],
      table: /→ table "([^"]+)"/.exec(printed)?.[1],
      pid: child.pid,
    });
    child.kill('SIGTERM');
    await ended;
  } finally {
    if (child.exitCode === null) child.kill('SIGKILL');
    await ended;
    const server = await startEmbeddedPostgres({ dataDir });
    await server.stop({ deadlineMs: 0 });
    await rm(dirname(server.directory), { recursive: true, force: true });
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** Starts a program of Node; resolves once it has printed that. */
export async function startProcess(args, ready) {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, DATABASE_URL: '' },
  });
  running.add(child);
  const ended = new Promise((resolve) => child.on('close', resolve)).finally(() => running.delete(child));
  const printed = await new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      if (text.includes(ready)) resolve(text);
    });
    void ended.then(() => reject(new Error(`it ended:\n${text}`)));
  });
  return { child, ended, printed };
}

/** Resolves when everything in the log is in PostgreSQL; fails when that takes longer than `withinMs`. */
export async function idle(controlUrl, withinMs = 120_000) {
  const until = performance.now() + withinMs;
  for (;;) {
    const { pipelines } = await (await fetch(`${controlUrl}/v1/pipelines`)).json();
    if (pipelines[0].lag.items === 0) return;
    if (performance.now() > until) throw new Error(`the pipeline does not catch up: ${JSON.stringify(pipelines[0])}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Anonymous memory of a process in bytes; NaN where there is no /proc. */
export function anonymousMemory(pid) {
  try {
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
  } catch {
    return Number.NaN;
  }
}
