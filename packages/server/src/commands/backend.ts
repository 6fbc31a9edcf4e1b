/** `sluice backend`: the reference key-value backend, in the foreground. */

import { readFile } from 'node:fs/promises';
import { type Backend, sampleData, startBackend } from '../backend/backend.js';
import { type CommandIo, processIo, UsageError } from './command-io.js';
import { untilStopped } from './until-stopped.js';

/** Options of {@link backend}. */
export interface BackendCommandOptions {
  /** Default 9000; 0 takes a free one. */
  readonly port?: number;
  /** Default `'127.0.0.1'`. */
  readonly host?: string;
  /** JSON of an object from key to value, or the path of a file that holds it. Default: two sample keys. */
  readonly data?: string;
  /** Milliseconds. Default 0. */
  readonly latencyMs?: number;
  /** 0 to 1. Default 0. */
  readonly failRate?: number;
  readonly dropKeys?: readonly string[];
  readonly status?: number;
  /** Stops it, as SIGTERM does. */
  readonly signal?: AbortSignal;
  /** Told once it listens. */
  readonly onListening?: (backend: Backend) => void;
  readonly io?: CommandIo;
}

/**
 * Serves until SIGINT or SIGTERM; resolves with the exit code.
 *
 * @throws UsageError when the data cannot be read; SluiceError `LISTEN_FAILED`.
 */
export async function backend(options: BackendCommandOptions): Promise<number> {
  const io = options.io ?? processIo();
  const host = options.host ?? '127.0.0.1';
  const data = options.data === undefined ? sampleData : await readData(options.data);
  const { latencyMs = 0, failRate = 0, dropKeys = [], status = 200 } = options;
  const running = await startBackend({ data, host, port: options.port ?? 9_000, latencyMs, failRate, dropKeys, status });
  const origin = `http://${host.includes(':') ? `[${host}]` : host}:${running.port}`;
  const keys = Object.keys(data);
  io.stdout.write(
    `sluice backend: ${keys.length} ${keys.length === 1 ? 'key' : 'keys'} at ${origin}/read?keys=${keys.slice(0, 2).map(encodeURIComponent).join(',')}\n`,
  );
  io.stdout.write(`sluice backend: every hit with its time at ${origin}/_log\n`);
  options.onListening?.(running);
  await untilStopped(options.signal);
  await running.close();
  return 0;
}

async function readData(data: string): Promise<Readonly<Record<string, unknown>>> {
  const inline = data.trimStart().startsWith('{');
  let text = data;
  if (!inline) {
    text = await readFile(data, 'utf8').catch((error: Error) => {
      throw new UsageError(`--data: ${data} cannot be read (${error.message}); give a file, or JSON such as '{"foo":12}'`);
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--data: ${inline ? 'the argument' : data} is not valid JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError(`--data: expected a JSON object from key to value, such as '{"foo":12,"bar":100}'`);
  }
  return value as Record<string, unknown>;
}
