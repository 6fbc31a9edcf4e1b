/** The built service as a process of its own, as a user runs it: started on free ports in a temporary folder, gone after the test. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { afterEach } from 'vitest';
import { startEmbeddedPostgres } from '../../src/embedded/postgres.js';
import { homeOf } from './postgres.js';
import { query } from './query.js';

const ours = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

/** What a process printed and how it ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A `sluice up` that runs. */
export interface RunningService {
  readonly url: string;
  readonly controlUrl: string;
  /** What it printed when it was up. */
  readonly banner: string;
  readonly backendUrl: string;
  readonly databaseUrl: string;
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Rows of a query on the service's database. */
  query<R extends pg.QueryResultRow>(sql: string): Promise<R[]>;
}

/** How a process is started. */
export interface LaunchOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Another `sluice` than that of this checkout. */
  readonly program?: string | undefined;
}

/** Runs `sluice` with these arguments to its end. */
export function sluice(
  args: readonly string[],
  options: LaunchOptions & { readonly input?: string | Buffer } = {},
): Promise<Ended> {
  const { child, ended } = launch(args, options);
  child.stdin!.on('error', () => {});
  child.stdin!.end(options.input ?? '');
  return ended;
}

/**
 * Makes temporary data folders, and removes them with the databases in them when the test is over.
 *
 * @param program another `sluice` than that of this checkout.
 */
export function useServices(program?: () => string) {
  const folders: string[] = [];
  const withDatabase = new Set<string>();
  const running: RunningService[] = [];

  afterEach(async () => {
    for (const { child, ended } of running.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
    }
    for (const folder of folders.splice(0)) await removeData(folder, withDatabase.has(folder));
  });

  return {
    async dataDir(): Promise<string> {
      const folder = await mkdtemp(join(tmpdir(), 'sluice-service-'));
      folders.push(folder);
      return folder;
    },
    async up(dataDir: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<RunningService> {
      if (env.DATABASE_URL === undefined) withDatabase.add(dataDir);
      const { child, ended, text } = launch(['up', '--data', dataDir, '--port', '0', '--control-port', '0', ...args], {
        ...{ env, program: program?.() },
      });
      await Promise.race([text('Stop with Ctrl-C'), ended]);
      const printed = (await Promise.race([text('Stop with Ctrl-C'), ended.then(({ out, err }) => `${out}${err}`)])) as string;
      const read = (pattern: RegExp) => {
        const found = pattern.exec(printed)?.[1];
        if (found === undefined) throw new Error(`the service did not start:\n${printed}`);
        return found;
      };
      const service: RunningService = {
        url: read(/data plane +(\S+)/),
        controlUrl: read(/control plane +(\S+)/),
        banner: printed,
        backendUrl: read(/read backend +(\S+)/),
        databaseUrl: env.DATABASE_URL ?? read(/PostgreSQL +(\S+)/),
        child,
        ended,
        query: (sql) => query(service.databaseUrl, sql),
      };
      running.push(service);
      return service;
    },
  };
}

/** Asks until it holds: for what another process will do soon. */
export async function eventually<T>(ask: () => Promise<T>, holds: (value: T) => boolean, withinMs = 20_000): Promise<T> {
  const until = performance.now() + withinMs;
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (performance.now() > until)
      throw new Error(`it did not come to hold within ${withinMs} ms; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Events with the ids `from` to `from + count - 1`, as NDJSON. */
export function ndjson(from: number, count: number): string {
  return Array.from({ length: count }, (_, i) => `${JSON.stringify({ id: `e${from + i}`, n: from + i })}\n`).join('');
}

/** Sends events; the parsed reply. */
export async function post(
  url: string,
  body: string,
  ack = 'durable',
  stream = 'events',
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${url}/v1/streams/${stream}/events?ack=${ack}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** Starts `sluice` with these arguments; `text` waits for a part of what it prints. The caller ends it. */
export function launch(args: readonly string[], { env = {}, cwd, program = ours }: LaunchOptions) {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, DATABASE_URL: '', ...env },
    stdio: 'pipe',
    ...(cwd === undefined ? {} : { cwd }),
  });
  let out = '';
  let err = '';
  const watchers = new Set<() => void>();
  child.stdout.on('data', (chunk) => {
    out += chunk;
    for (const watch of watchers) watch();
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, out, err })));
  const text = (part: string) =>
    new Promise<string>((resolve) => {
      const watch = () => {
        if (!out.includes(part)) return;
        watchers.delete(watch);
        resolve(out);
      };
      watchers.add(watch);
      watch();
    });
  return { child, ended, text };
}

/** A killed service leaves its database running: the next start would adopt it, and so does the clean-up, to stop it. */
async function removeData(dataDir: string, hasDatabase: boolean): Promise<void> {
  try {
    if (!hasDatabase) return;
    const server = await startEmbeddedPostgres({ dataDir });
    await server.stop({ deadlineMs: 0 });
    await rm(homeOf(server), { recursive: true, force: true });
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}
