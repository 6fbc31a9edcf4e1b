/** `sluice push`: a file or standard input into a stream, batched, with ids that make it safe to repeat. */

import { createBatcher, type SluiceError } from 'sluice';
import { idSource } from '../gateway/event-id.js';
import { defaultLimits } from '../gateway/limits.js';
import type { AckLevel } from '../gateway/receipt.js';
import { type CommandIo, processIo, UsageError } from './command-io.js';
import { createDelivery } from './push/deliver.js';
import { countMadeIds, lacksId } from './push/ids.js';
import { counted, type Input, openInput, readFailure } from './push/input.js';
import { createLedger, type Ledger, type PushItem } from './push/ledger.js';
import { inflated, maxLineBytes, readLines } from './push/lines.js';
import { createProgress } from './push/progress.js';
import { type PushProblem, printResult } from './push/result.js';
import { createRetryNotes } from './push/retry-notes.js';
import { wrapLines } from './push/wrap.js';
import { keyHeaders } from './service-flags.js';

/** Options of {@link push}. */
export interface PushOptions {
  readonly stream: string;
  /** A path, or `-` for standard input. gzip is recognised by its first bytes. Default `-`. */
  readonly file?: string;
  /** The gateway. Default `http://127.0.0.1:8080`. */
  readonly url?: string;
  /** API key. Default: none. */
  readonly key?: string;
  /** Default `'durable'`. */
  readonly ack?: AckLevel;
  /**
   * The field that holds the id of each event, or `hash`; an event without that field is refused (`NO_ID`). Default: the field `id`,
   * and events without it are sent and counted. Not with `lines`.
   */
  readonly id?: string;
  /** Each line is text, and is wrapped as `{ "id", "line" }`. Default false: each line is an event. */
  readonly lines?: boolean;
  /** Part of the ids of wrapped lines. With `lines` alone. Default: the base name of the file, or `stdin`. */
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
  const input = await openInput(options.file ?? '-', options.source, io);
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
    problem: problem ?? (interrupted ? { message: 'interrupted', againHelps: true } : undefined),
    repeatable: options.lines === true || options.id !== undefined,
    json: options.json ?? false,
  });
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
async function run(options: PushOptions, { url, path, ledger, input, stop, progress }: Run): Promise<PushProblem | undefined> {
  const { concurrency = 4, retries = 10, batch = 500 } = options;
  const ids = idSource(options.id);
  let problem: PushProblem | undefined;
  const fail = ({ message, class: kind }: SluiceError): void => {
    problem ??= { message, againHelps: kind !== 'permanent' };
    stop.abort();
  };
  let saidNoPipeline = false;
  const delivery = createDelivery({
    url,
    path,
    headers: keyHeaders(options.key),
    concurrency,
    retries,
    repeatable: (items) => options.lines === true || !items.some(({ json }) => lacksId(ids, json)),
    signal: stop.signal,
    onRetry: createRetryNotes(progress.note),
    onNoPipeline() {
      if (!saidNoPipeline) progress.note(`no pipeline reads the stream ${options.stream}: its events stay in the log.`);
      saidNoPipeline = true;
    },
  });
  let settled = 0;
  const batcher = createBatcher<PushItem>({
    name: 'push',
    sink: {
      async write(items) {
        if (stop.signal.aborted) return;
        try {
          await delivery.send(items, (part, receipt) => {
            ledger.settled(part, receipt, countMadeIds(ids, part, receipt));
            settled += part.length;
          });
        } catch (error) {
          fail(error as SluiceError);
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
    if (!stop.signal.aborted) fail(readFailure(error, input.name));
  }
  await batcher.close({ deadlineMs: Number.POSITIVE_INFINITY });
  await delivery.close();
  return problem;
}

const tooLong = `expected an item of at most ${defaultLimits.maxItemBytes} bytes (1 MiB); this line is longer`;

async function* itemsOf(options: PushOptions, input: Input, ledger: Ledger): AsyncGenerator<PushItem, void, undefined> {
  const wrap = options.lines === true ? wrapLines(input.source) : undefined;
  const { id } = options;
  const noId = `the event has no field ${JSON.stringify(id)}, which --id names; give it one, or push all of them with --id hash`;
  const needsId = (json: Buffer): boolean => id !== undefined && lacksId(idSource(id), json);
  const first = options.fromLine ?? 1;
  let after = first - 1;
  for await (const { number: line, bytes } of readLines(inflated(counted(input)))) {
    if (bytes === undefined) {
      if (line < first) continue;
      ledger.read();
      ledger.refused({ line, after }, 'ITEM_TOO_LARGE', tooLong);
      after = line;
      continue;
    }
    // Skipped lines are wrapped too: the numbers of equal lines must be those of a push from the start.
    const json = wrap === undefined ? bytes : wrap(bytes);
    if (line < first || (wrap === undefined && isBlank(bytes))) continue;
    ledger.read();
    if ('code' in json) ledger.refused({ line, after }, json.code, json.message);
    else if (needsId(json)) ledger.refused({ line, after }, 'NO_ID', noId);
    else yield { line, after, json };
    after = line;
  }
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

function targetOf(
  { stream, url = 'http://127.0.0.1:8080', id, lines = false, source }: PushOptions,
  ack: AckLevel,
): { url: URL; path: string } {
  if (!/^[A-Za-z0-9_.-]{1,128}$/.test(stream)) {
    throw new UsageError(
      `expected a stream name of 1 to 128 letters, digits, dots, hyphens and underscores; got ${JSON.stringify(stream)}`,
    );
  }
  if (lines && id !== undefined)
    throw new UsageError('--id cannot be used with --lines, which makes the ids itself; leave one of them away');
  if (source !== undefined && !lines)
    throw new UsageError(
      '--source is part of the ids that --lines makes, and means nothing without it; add --lines, or leave it away',
    );
  if (id === '') throw new UsageError('--id needs the name of a field, or hash');
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new UsageError(`expected --url to be an address such as http://127.0.0.1:8080; got ${JSON.stringify(url)}`);
  }
  const query = new URLSearchParams({ ack, ...(id === undefined ? {} : { id }) });
  return { url: parsed, path: `${parsed.pathname.replace(/\/$/, '')}/v1/streams/${stream}/events?${query}` };
}
