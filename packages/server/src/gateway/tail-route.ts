/** Tail route: `GET /v1/streams/:stream/events` sends records as they are appended, as server-sent events, until the client leaves. */

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { Log, LogRecord } from 'sluice/log';
import type { Caller, Callers } from './caller.js';
import { signalOf } from './departure.js';
import { HttpError } from './http-error.js';
import { checkParameters } from './parameters.js';

/** What the route is made of. */
export interface TailRouteParts {
  readonly log: Log;
  readonly callers: Callers;
  /** Clients that may tail at once; above it 503. */
  readonly maxTails: number;
}

/** The tails that run. */
export interface Tails {
  readonly running: number;
  /** Ends them all: the service stops. */
  end(): void;
}

const page = { maxItems: 500, maxBytes: 1024 * 1024 };
/** A comment now and then tells proxies, and us, that the client is still there. */
const beatMs = 15_000;

/**
 * Adds the route. `?from=start|end` (default end) or `?from=OFFSET&partition=N`; a client that comes back with `Last-Event-ID` goes on behind
 * it. A caller sees the events of its own tenant, one with the scope admin all.
 */
export function addTailRoute(app: FastifyInstance, { log, callers, maxTails }: TailRouteParts): Tails {
  const running = new Set<AbortController>();
  app.get<{ Params: { stream: string }; Querystring: { from?: string; partition?: string } }>(
    '/v1/streams/:stream/events',
    async (request, reply) => {
      const caller = callers.of(request.headers, 'read');
      const { stream } = request.params;
      checkParameters(request.query, ['from', 'partition']);
      if (running.size >= maxTails)
        throw new HttpError(503, 'OVERLOADED', `${maxTails} clients tail already; come back later`, { 'retry-after': '5' });
      const infos = (await log.streams()).filter((info) => info.stream === stream);
      if (infos.length === 0)
        throw new HttpError(404, 'STREAM_NOT_FOUND', 'there is no such stream; it is made when its first event comes');
      const positions = startOf(request.query, request.headers['last-event-id'], infos);
      reply.hijack();
      // The headers leave at once: a client knows that it is heard before the first event comes.
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' });
      if (request.method === 'HEAD') return void reply.raw.end();
      const ended = new AbortController();
      running.add(ended);
      const signal = AbortSignal.any([signalOf(reply.raw), ended.signal]);
      // And where it stands: it goes on from there, though it may lose us before the first event comes.
      reply.raw.write(`id: ${idOf(positions)}\n\n`);
      try {
        await tail(log, stream, positions, visibleTo(caller), reply.raw, signal);
      } finally {
        running.delete(ended);
        reply.raw.end();
      }
    },
  );
  return {
    get running() {
      return running.size;
    },
    end() {
      for (const one of running) one.abort();
    },
  };
}

type Positions = Map<number, number>;

/** Where to begin in each partition. The id of an event names all of them: `0:17,1:4`. */
function startOf(
  { from = 'end', partition }: { readonly from?: string; readonly partition?: string },
  lastEventId: string | string[] | undefined,
  infos: readonly { readonly partition: number; readonly firstOffset: number; readonly nextOffset: number }[],
): Positions {
  const wanted = partition === undefined ? infos : infos.filter((info) => String(info.partition) === partition);
  if (wanted.length === 0)
    throw new HttpError(400, 'INVALID_PARTITION', `expected partition to be from 0 to ${infos.length - 1}`);
  if (typeof lastEventId === 'string' && /^\d+:\d+(,\d+:\d+)*$/.test(lastEventId)) {
    const seen = new Map(lastEventId.split(',').map((pair) => pair.split(':').map(Number) as [number, number]));
    return new Map(wanted.map((info) => [info.partition, seen.get(info.partition) ?? info.firstOffset]));
  }
  if (from === 'start') return new Map(wanted.map((info) => [info.partition, info.firstOffset]));
  if (from === 'end') return new Map(wanted.map((info) => [info.partition, info.nextOffset]));
  if (/^\d{1,15}$/.test(from)) return new Map(wanted.map((info) => [info.partition, Number(from)]));
  throw new HttpError(400, 'INVALID_FROM', 'expected from to be start, end, or an offset');
}

function visibleTo({ tenant, scopes }: Caller): (record: LogRecord) => boolean {
  return scopes.includes('admin') ? () => true : (record) => record.tenant === tenant;
}

async function tail(
  log: Log,
  stream: string,
  positions: Positions,
  isVisible: (record: LogRecord) => boolean,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  let wake = () => {};
  const stopListening = log.onAppended(stream, () => wake());
  const beat = setInterval(() => response.write(': still here\n\n'), beatMs);
  signal.addEventListener('abort', () => wake(), { once: true });
  try {
    while (!signal.aborted) {
      const news = new Promise<void>((resolve) => {
        wake = resolve;
      });
      let read = 0;
      for (const [partition, from] of positions) {
        const records = await log.read(stream, partition, from, page);
        read += records.length;
        for (const record of records) {
          if (signal.aborted) return;
          positions.set(partition, record.offset + 1);
          // One page is in memory at most, and a slow client waits for itself alone.
          if (isVisible(record) && !response.write(eventText(record, positions))) await drained(response, signal);
        }
      }
      if (read === 0) await news;
    }
  } finally {
    clearInterval(beat);
    stopListening();
  }
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<unknown> {
  return once(response, 'drain', { signal }).catch(() => {});
}

/** Every line of the payload is a line of `data` (HTML standard, section 9.2.6). */
function eventText({ payload }: LogRecord, positions: Positions): string {
  const data = Buffer.from(payload)
    .toString('utf8')
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join('');
  return `id: ${idOf(positions)}\n${data}\n`;
}

/** The next offset of each partition. */
function idOf(positions: Positions): string {
  return [...positions].map(([partition, offset]) => `${partition}:${offset}`).join(',');
}
