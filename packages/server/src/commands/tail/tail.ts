/** `sluice tail`: events as they come. A connection that is lost comes back behind the last event that was printed. */

import { setTimeout as pause } from 'node:timers/promises';
import { failure, type SluiceError } from 'sluice';
import { Client } from 'undici';
import { type CommandIo, sentence, UsageError } from '../command-io.js';
import { connectionFailure } from '../connection.js';
import { interruptible } from '../interrupt.js';
import { errorIn, jsonObject } from '../json-object.js';
import { plain } from '../log/print.js';
import { createRetryNotes } from '../push/retry-notes.js';
import { type GatewayFlags, keyHeaders, prefixOf, wantsKey } from '../service-flags.js';
import { createEventStream, type ServerEvent } from './event-stream.js';

/** Options of {@link tail}. */
export interface TailOptions extends GatewayFlags {
  readonly stream: string;
  /** `start`, `end`, or an offset. */
  readonly from: string;
  /** Default: all. */
  readonly partition?: number;
  /** Ends it after so many events. Default: never. */
  readonly count?: number;
  readonly io: CommandIo;
  /** Ends it, as SIGINT does. */
  readonly signal?: AbortSignal;
  /** First wait before a connection is opened again, in milliseconds; it doubles up to 5 s. Default 200. */
  readonly reconnectMs?: number;
  /** How long nothing may come before it says, once, that it waits. Default 1,000. */
  readonly quietMs?: number;
}

/** The gateway sends something every 15 seconds: after three times that it is gone. */
const silenceMs = 45_000;

/** Prints events until SIGINT, or until nobody reads them; resolves with the exit code. */
export function tail({ signal, ...options }: TailOptions): Promise<number> {
  const { stream, url, io, reconnectMs = 200 } = options;
  if (!/^[A-Za-z0-9_.-]{1,128}$/.test(stream))
    throw new UsageError('expected a stream name of 1 to 128 letters, digits, dots, hyphens and underscores');
  const unread = new AbortController();
  io.stdout.once?.('error', () => unread.abort());
  return interruptible(
    async (interrupted) => {
      const client = new Client(new URL(url).origin, { connectTimeout: 10_000, headersTimeout: 30_000, bodyTimeout: silenceMs });
      const onRetry = createRetryNotes((text) => io.stderr.write(`sluice tail: ${text}\n`));
      const place: Place = { lastId: '', printed: 0, everHeard: false, isToldToWait: false };
      try {
        for (let attempt = 0; !interrupted.aborted; attempt++) {
          const heardBefore = place.printed;
          const problem = await hear(client, options, place, interrupted);
          if (problem === undefined) return 0;
          if (problem.class === 'permanent' || !place.everHeard) throw problem;
          if (place.printed > heardBefore) attempt = 0;
          const delayMs = Math.max(Math.min(reconnectMs * 2 ** attempt, 5_000), problem.retryAfterMs ?? 0);
          onRetry(problem.message, delayMs);
          await pause(delayMs, undefined, { signal: interrupted }).catch(() => {});
        }
        return 0;
      } finally {
        await client.destroy();
      }
    },
    AbortSignal.any([unread.signal, ...(signal === undefined ? [] : [signal])]),
  );
}

/** How far a tail is. */
interface Place {
  lastId: string;
  printed: number;
  /** The gateway has begun to send: from then on a loss is passing trouble. */
  everHeard: boolean;
  /** It was said that nothing has come yet. */
  isToldToWait: boolean;
}

/** Prints what one connection brings; resolves with why it ended, or `undefined` when the tail is to end. */
async function hear(client: Client, options: TailOptions, place: Place, signal: AbortSignal): Promise<SluiceError | undefined> {
  const { url, stream, key, from, partition, count = Number.POSITIVE_INFINITY } = options;
  const { origin } = new URL(url);
  const query = new URLSearchParams({ from, ...(partition === undefined ? {} : { partition: String(partition) }) });
  const path = `${prefixOf(new URL(url))}/v1/streams/${stream}/events?${query}`;
  const resume = place.lastId === '' ? {} : { 'last-event-id': place.lastId };
  let quiet: NodeJS.Timeout | undefined;
  try {
    const { statusCode, headers, body } = await client.request({
      ...{ method: 'GET', path, signal },
      headers: { accept: 'text/event-stream', ...keyHeaders(key), ...resume },
    });
    if (statusCode !== 200) return refusal(origin, statusCode, headers, await body.text());
    if (!String(headers['content-type']).startsWith('text/event-stream')) return notAGateway(origin, statusCode);
    place.everHeard = true;
    const events = createEventStream(place.lastId);
    quiet = setTimeout(() => tellToWait(place, options.io), options.quietMs ?? 1_000);
    for await (const bytes of body) {
      const all = events.push(bytes as Buffer).slice(0, count - place.printed);
      options.io.stdout.write(all.map((event) => `${eventLine(event, options)}\n`).join(''));
      place.printed += all.length;
      place.lastId = events.lastId;
      if (place.printed >= count) {
        body.destroy();
        return undefined;
      }
    }
    return failure(`${origin} has ended the stream`, { code: 'REPLY_LOST', class: 'unknown' });
  } catch (error) {
    if (signal.aborted) return undefined;
    return connectionFailure(error, { address: origin, option: '--url' });
  } finally {
    clearTimeout(quiet);
  }
}

/** An empty stream looks like a command that hangs. */
function tellToWait(place: Place, io: CommandIo): void {
  if (place.printed > 0 || place.isToldToWait) return;
  place.isToldToWait = true;
  io.stderr.write('sluice tail: no event yet; waiting for the next one, until Ctrl-C.\n');
}

function refusal(
  address: string,
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  text: string,
): SluiceError {
  const error = errorIn(jsonObject(text));
  if (error === undefined || error.code === 'NOT_FOUND') return notAGateway(address, status);
  const { code, message } = error;
  if (status === 401) return failure(wantsKey, { code });
  const retryAfterMs = Math.min(Number(headers['retry-after'] ?? 0) || 0, 60) * 1_000;
  const passing = status === 429 || status >= 500;
  return failure(sentence(message).slice(0, -1), { code, class: passing ? 'transient' : 'permanent', retryAfterMs });
}

function notAGateway(address: string, status: number): SluiceError {
  return failure(`${address} is not a Sluice gateway (it answered ${status}); give the gateway's address with --url`, {
    code: 'NOT_A_GATEWAY',
  });
}

/** An event is one line, whatever its payload. On a terminal, what that would act on is escaped. */
function eventLine({ id, data }: ServerEvent, { json = false, io }: TailOptions): string {
  // Between the values of a JSON text, a line break means as much as a space; inside a string there is none.
  const line = data.replaceAll(/[\r\n]/g, ' ');
  if (!json) return io.stdout.isTTY === true ? plain(line) : line;
  const body = isJson(line) ? `"event":${line}` : `"payload":${JSON.stringify(data)}`;
  return `{"position":${JSON.stringify(id)},${body}}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
