/** `sluice push`: a file or standard input into a stream, batched, with ids that make it safe to repeat. */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { createBatcher } from 'sluice';
import { findId, idSource } from '../gateway/event-id.js';
import type { AckLevel } from '../gateway/receipt.js';
import { type CommandIo, processIo, UsageError } from './command-io.js';
import { createDelivery } from './push/deliver.js';
import { createLedger, type Ledger, type PushItem } from './push/ledger.js';
import { inflated, maxLineBytes, readLines } from './push/lines.js';
import { createProgress } from './push/progress.js';
import { printResult } from './push/result.js';
import { wrapLines } from './push/wrap.js';

/** Options of {@link push}. */
export interface PushOptions {
  readonly stream: string;
  /** A path, or `-` for standard input. gzip is recognised by its first bytes. Default `-`. */
  readonly file?: string;
  /** The gateway. Default `http://127.0.0.1:8080`. */
  readonly url?: string;
  /** Default `'durable'`. */
  readonly ack?: AckLevel;
  /** The field that holds the id of each event, or `hash`. Default: the gateway's, the field `id`. Not with `lines`. */
  readonly id?: string;
  /** Each line is text, and is wrapped as `{ "id", "line" }`. Default false: each line is an event. */
  readonly lines?: boolean;
  /** Part of the ids of wrapped lines. Default: the base name of the file, or `stdin`. */
  readonly source?: string;
  /** Items a request, 1 to 10,000. Default 500. A request also ends at 1 MiB. */
  readonly batch?: number;
  /** Requests in flight, 1 to 64. Default 4. */
  readonly concurrency?: number;
  /** How often a request is sent again after 429, 503 or a lost connection. Default 10, which is about 40 seconds. */
  readonly retries?: number;
  /** First line to send, from 1. Default 1. */
  readonly fromLine?: number;
  /** Print the summary as JSON. Default false. */
  readonly json?: boolean;
  /** Ends the push after the requests in flight, as SIGINT does. */
  readonly signal?: AbortSignal;
  readonly io?: CommandIo;
}

const batchBytes = 1024 * 1024;

/**
 * Sends an input and prints what became of it. Resolves with the exit code: 0 when every item was taken at the level asked for,
 * 1 when any was refused, parked or not delivered.
 *
 * Reads ahead by a few batches only. After an error the lines that were acknowledged are named, and how to go on.
 *
 * @throws UsageError when the file cannot be read or an option is wrong.
 */
export async function push(options: PushOptions): Promise<number> {
  const io = options.io ?? processIo();
  const ack = options.ack ?? 'durable';
  const target = targetOf(options, ack);
  const input = await openInput(options, io);
  const stop = new AbortController();
  const onStop = (): void => stop.abort();
  options.signal?.addEventListener('abort', onStop, { once: true });
  if (options.signal?.aborted === true) onStop();
  stop.signal.addEventListener('abort', () => input.stream.destroy(), { once: true });

  const startedAt = performance.now();
  const ledger = createLedger((options.fromLine ?? 1) - 1, ack);
  const progress = createProgress(io.stderr, input.totalBytes);
  const problem = await run(options, { ...target, ledger, input, stop, progress });
  progress.end();
  input.stream.destroy();
  options.signal?.removeEventListener('abort', onStop);
  const interrupted = options.signal?.aborted === true;
  return printResult(io, {
    summary: ledger.summary(),
    ack,
    seconds: (performance.now() - startedAt) / 1_000,
    problem: problem ?? (interrupted ? 'interrupted' : undefined),
    repeatable: options.lines === true || options.id !== undefined,
    json: options.json ?? false,
  });
}

interface Input {
  readonly stream: Readable;
  readonly source: string;
  readonly totalBytes: number | undefined;
  bytesRead: number;
}

interface Run {
  readonly url: URL;
  readonly path: string;
  readonly ledger: Ledger;
  readonly input: Input;
  readonly stop: AbortController;
  readonly progress: ReturnType<typeof createProgress>;
}

/** Reads, batches and sends; resolves with what ended it early, if anything did. */
async function run(options: PushOptions, { url, path, ledger, input, stop, progress }: Run): Promise<string | undefined> {
  const { concurrency = 4, retries = 10, batch = 500 } = options;
  let problem: string | undefined;
  const fail = (error: unknown): void => {
    problem ??= (error as Error).message;
    stop.abort();
  };
  const delivery = createDelivery({
    url,
    path,
    concurrency,
    retries,
    repeatable: (items) => items.every((item) => hasId(item, options)),
    signal: stop.signal,
    onRetry: (reason, delayMs) => progress.note(`${reason}; trying again in ${(delayMs / 1_000).toFixed(1)} s`),
  });
  let settled = 0;
  const batcher = createBatcher<PushItem>({
    name: 'push',
    sink: {
      async write(items) {
        if (stop.signal.aborted) return;
        try {
          await delivery.send(items, (part, receipt) => {
            ledger.settled(part, receipt);
            settled += part.length;
          });
        } catch (error) {
          fail(error);
        }
        progress.update({ settled, bytesRead: input.bytesRead });
      },
    },
    // Long enough to fill a batch from a file, short enough for `tail -f file | sluice push`.
    window: { maxDelayMs: 250 },
    maxItems: batch,
    maxBytes: batchBytes,
    bytesOf: ({ json }) => json.length + 1,
    maxInFlight: concurrency,
    maxHeldItems: batch * (concurrency + 2),
    maxHeldBytes: Math.max(4 * maxLineBytes, batchBytes * (concurrency + 2)),
    timeoutMs: Number.POSITIVE_INFINITY,
  });
  try {
    for await (const item of itemsOf(options, input, ledger)) await batcher.add(item, { signal: stop.signal });
  } catch (error) {
    if (!stop.signal.aborted) fail(readError(error, input.source));
  }
  await batcher.close({ deadlineMs: Number.POSITIVE_INFINITY });
  await delivery.close();
  return problem;
}

async function* itemsOf(options: PushOptions, input: Input, ledger: Ledger): AsyncGenerator<PushItem, void, undefined> {
  const wrap = options.lines === true ? wrapLines(input.source) : undefined;
  const first = options.fromLine ?? 1;
  let after = first - 1;
  for await (const { number: line, bytes } of readLines(inflated(counted(input)))) {
    if (bytes === undefined) {
      if (line < first) continue;
      ledger.read();
      ledger.refused({ line, after }, 'ITEM_TOO_LARGE', `the line is longer than ${maxLineBytes} bytes`);
      after = line;
      continue;
    }
    // Skipped lines are wrapped too: the numbers of equal lines must be those of a push from the start.
    const json = wrap === undefined ? bytes : wrap(bytes);
    if (line < first || (wrap === undefined && isBlank(bytes))) continue;
    ledger.read();
    if ('code' in json) ledger.refused({ line, after }, json.code, json.message);
    else yield { line, after, json };
    after = line;
  }
}

async function* counted(input: Input): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of input.stream as AsyncIterable<Buffer>) {
    input.bytesRead += chunk.length;
    yield chunk;
  }
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

function hasId({ json }: PushItem, options: PushOptions): boolean {
  try {
    return findId(idSource(options.id), JSON.parse(json.toString('utf8')) as Record<string, unknown>, json).kind !== 'absent';
  } catch {
    // The gateway refuses it each time.
    return true;
  }
}

function targetOf(
  { stream, url = 'http://127.0.0.1:8080', id, lines = false }: PushOptions,
  ack: AckLevel,
): { url: URL; path: string } {
  if (!/^[A-Za-z0-9_.-]{1,128}$/.test(stream)) {
    throw new UsageError(
      `expected a stream name of 1 to 128 letters, digits, dots, hyphens and underscores; got ${JSON.stringify(stream)}`,
    );
  }
  if (lines && id !== undefined)
    throw new UsageError('--id cannot be used with --lines, which makes the ids itself; leave one of them away');
  if (id === '') throw new UsageError('--id needs the name of a field, or hash');
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new UsageError(`expected --url to be an address such as http://127.0.0.1:8080; got ${JSON.stringify(url)}`);
  }
  const query = new URLSearchParams({ ack, ...(id === undefined ? {} : { id }) });
  return { url: parsed, path: `${parsed.pathname.replace(/\/$/, '')}/v1/streams/${stream}/events?${query}` };
}

async function openInput({ file = '-', source }: PushOptions, io: CommandIo): Promise<Input> {
  if (file === '-') {
    if (io.stdin.isTTY === true) io.stderr.write('sluice push: reading from the terminal; end with Ctrl-D\n');
    return { stream: io.stdin, source: source ?? 'stdin', totalBytes: undefined, bytesRead: 0 };
  }
  const info = await stat(file).catch((error: unknown) => {
    throw new UsageError(readError(error, file).message);
  });
  if (info.isDirectory()) throw new UsageError(`${file} is a folder; name a file, or - for standard input`);
  const stream = createReadStream(file, { highWaterMark: 256 * 1024 });
  await new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve());
    stream.once('error', (error) => reject(new UsageError(readError(error, file).message)));
  });
  return { stream, source: source ?? basename(file), totalBytes: info.isFile() ? info.size : undefined, bytesRead: 0 };
}

function readError(error: unknown, name: string): Error {
  const { code, message } = error as Error & { code?: string };
  if (code === 'ENOENT') return new Error(`there is no file ${name}; check the path, or use - for standard input`);
  if (code === 'EACCES') return new Error(`${name} may not be read by this user`);
  if (code?.startsWith('Z_') === true) return new Error(`${name} starts as gzip does, but cannot be inflated: ${message}`);
  return new Error(`${name} could not be read: ${message}`);
}
