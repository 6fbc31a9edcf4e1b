/** The reference key-value backend: `GET /read?keys=k1,k2` over a fixed table, with latency and failures on demand, and a log of every hit. */

import { setTimeout as delay } from 'node:timers/promises';
import { fastify } from 'fastify';
import { HttpError, sendError } from '../gateway/http-error.js';
import { listen } from '../gateway/listen.js';
import { protocolOptions, refuseProtocolErrors } from '../gateway/protocol.js';
import { queryOf, readQuery, toJsonObject } from '../gateway/read-query.js';

/** What a backend serves, and how badly. */
export interface BackendOptions {
  /** The table: a value for each key. Numbers by contract; other values are sent as they are, to see what a client does. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Address to listen on. Default `'127.0.0.1'`. */
  readonly host?: string;
  /** Port to listen on; 0 takes a free one. */
  readonly port: number;
  /** How long each answer of `/read` takes at least, in milliseconds. Default 0. */
  readonly latencyMs?: number;
  /** Which share of the requests of `/read` fails with 500: 0 to 1. Default 0. */
  readonly failRate?: number;
  /** Keys that are left out of every answer, as if they did not exist. */
  readonly dropKeys?: readonly string[];
  /** Status of every answer of `/read`; one of 400 or above comes with an error as its body. Default 200. */
  readonly status?: number;
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: () => number;
}

/** One hit of `/read`. */
export interface BackendHit {
  /** When it came, in epoch milliseconds. */
  readonly atMs: number;
  /** The raw URL. */
  readonly url: string;
}

/** A backend that listens. */
export interface Backend {
  readonly port: number;
  /** The last 100,000 hits, oldest first: what `GET /_log` answers. */
  readonly hits: readonly BackendHit[];
  close(): Promise<void>;
}

/** What the reference backend knows when it is given nothing. */
export const sampleData: Readonly<Record<string, number>> = { foo: 12, bar: 100 };

const maxHits = 100_000;
// Higher than the gateway's limit, so that it is the client who has to split.
const maxUrlBytes = 16_000;

/**
 * Starts a backend.
 *
 * @throws SluiceError `LISTEN_FAILED` when the port or the address cannot be used.
 */
export async function startBackend(options: BackendOptions): Promise<Backend> {
  const { host = '127.0.0.1', latencyMs = 0, failRate = 0, status = 200, random = Math.random } = options;
  const dropped = new Set(options.dropKeys);
  const data = new Map(Object.entries(options.data).filter(([key]) => !dropped.has(key)));
  const hits: BackendHit[] = [];
  const closing = new AbortController();
  const app = fastify({ logger: false, http: { ...protocolOptions, maxHeaderSize: 64 * 1024 }, forceCloseConnections: true });
  refuseProtocolErrors(app);
  app.setErrorHandler((error: Error, request, reply) => sendError(error as HttpError, request, reply));
  app.setNotFoundHandler(() => {
    throw new HttpError(404, 'NOT_FOUND', 'there is nothing here; ask for GET /read?keys=k1,k2 or GET /_log');
  });

  app.get('/read', async (request, reply) => {
    const url = request.raw.url ?? '';
    if (hits.length === maxHits) hits.splice(0, maxHits / 10);
    hits.push({ atMs: Date.now(), url });
    if (latencyMs > 0) await delay(latencyMs, undefined, { signal: closing.signal }).catch(() => Promise.reject(stopping()));
    if (failRate > 0 && random() < failRate) throw new HttpError(500, 'INJECTED', 'this failure was asked for with --fail');
    if (status >= 400) throw new HttpError(status, 'INJECTED', 'this status was asked for with --status');
    if (url.length > maxUrlBytes) throw new HttpError(414, 'URL_TOO_LONG', `expected a URL of at most ${maxUrlBytes} bytes`);
    const query = readQuery(queryOf(url));
    const found = new Map(query.keys.filter((key) => data.has(key)).map((key) => [key, data.get(key)]));
    return reply
      .code(status)
      .type('application/json; charset=utf-8')
      .send(toJsonObject(query.select(found)));
  });
  app.get('/_log', async () => hits);

  const listening = await listen(app, host, options.port);
  return {
    port: listening,
    hits,
    async close() {
      closing.abort();
      await app.close();
    },
  };
}

function stopping(): HttpError {
  return new HttpError(503, 'SHUTTING_DOWN', 'the backend is shutting down');
}
