/** Service: the built program as a process, started, stopped and killed again and again on one data folder. */

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How a life of the service ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The service; between two lives there is none. */
export interface SoakedService {
  /** The number of the present life, from 1. */
  readonly life: number;
  /** Bytes of anonymous memory (`RssAnon`); `undefined` where it does not run, or this is no Linux. */
  memory(): number | undefined;
  /** Resolves once it has said that it runs. */
  start(): Promise<void>;
  signal(signal: 'SIGHUP'): void;
  /** Ends it, and waits for the end. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<Ended>;
}

/** How long a start may take on a machine that has much else to do. */
const startMs = 60_000;

/** @param folder that of the configuration. */
export function soakedService(root: string, folder: string): SoakedService {
  let life = 0;
  let child: ChildProcess | undefined;
  let ended: Promise<Ended> | undefined;
  return {
    get life() {
      return life;
    },
    memory: () => (child?.pid === undefined ? undefined : anonymousBytes(child.pid)),
    async start() {
      life++;
      const started = spawn(process.execPath, [join(root, 'packages/server/bin/sluice.js'), 'up'], {
        cwd: folder,
        env: { ...process.env, DATABASE_URL: '', LOG_LEVEL: 'error' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child = started;
      const printed = { out: '', err: '' };
      ended = new Promise((resolve) => started.on('close', (code) => resolve({ code, ...printed })));
      const said = new Promise<void>((resolve) => {
        started.stdout!.on('data', (chunk: Buffer) => {
          printed.out += chunk;
          if (printed.out.includes('Stop with Ctrl-C')) resolve();
        });
      });
      started.stderr!.on('data', (chunk: Buffer) => {
        printed.err = `${printed.err}${chunk}`.slice(-4_000);
      });
      const failed = ended.then(({ code, out, err }) => {
        throw new Error(`the service ended with ${code} in its start:\n${out}${err}`);
      });
      failed.catch(() => {});
      await within(startMs, Promise.race([said, failed]), 'the service did not start');
    },
    signal: (signal) => void child?.kill(signal),
    async end(signal) {
      child?.kill(signal);
      const how = await ended!;
      child = undefined;
      return how;
    },
  };
}

/** Fails after a time with what did not happen. */
export async function within<T>(ms: number, work: Promise<T>, problem: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${problem} within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function anonymousBytes(pid: number): number | undefined {
  try {
    const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}
