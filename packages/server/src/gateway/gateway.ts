/**
 * Gateway: the HTTP data plane. `POST /v1/streams/:stream/events` puts events into the durable log, `GET /read` reads keys
 * through the batching client, `/healthz` and `/readyz` say how it is. Every error is JSON.
 */

import type { AddressInfo } from 'node:net';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Log } from 'sluice/log';
import { createBodyAllowance, withBody } from './body.js';
import { clientError } from './client-error.js';
import { whenGone } from './departure.js';
import { idSource } from './event-id.js';
import { HttpError, overloaded, sendError } from './http-error.js';
import { createIntake, type Intake } from './intake.js';
import { defaultLimits, type GatewayLimits } from './limits.js';
import { listenFailure } from './listen-error.js';
import { bodyFormat, isGzip } from './media-type.js';
import { protocolOptions, refuseProtocolErrors } from './protocol.js';
import { answerRead, type ReadKeys } from './read.js';
import { type AckLevel, ackLevels, type Receipt, receiptStatus } from './receipt.js';
import { receive, type Settled } from './receive.js';
import { splitItems } from './split.js';

/** Whether the service can do its work, and if not, why. */
export interface Readiness {
  readonly ok: boolean;
  readonly reasons: readonly string[];
}

/** Where the gateway tells of its own failures; a pino logger is one. It is never given a payload, a key or a URL's query. */
export interface GatewayLogger {
  error(details: object, message: string): void;
}

/** What a gateway is made of. */
export interface GatewayOptions {
  readonly log: Log;
  /**
   * The wait for the pipeline that reads a stream, or `undefined` when none does: `ack=committed` is refused with 400 then.
   * Default: no stream has one.
   */
  readonly settled?: (stream: string) => Settled | undefined;
  /** The key-value client behind `GET /read`. Default: none, and `/read` answers 404. */
  readonly read?: ReadKeys;
  /** Address to listen on. Default `'127.0.0.1'`: this machine alone. */
  readonly host?: string;
  /** Port to listen on; 0 takes a free one. */
  readonly port: number;
  readonly limits?: Partial<GatewayLimits>;
  /** How long `ack=committed` waits for the pipeline, in milliseconds. Default 10,000. */
  readonly ackTimeoutMs?: number;
  /** What `/readyz` answers. Default: always ready. */
  readonly ready?: () => Readiness;
  readonly logger?: GatewayLogger;
}

/** What a gateway has counted since it started. */
export interface GatewayCounters {
  /** Requests on any path. */
  requests: number;
  /** Items put into the log, or into its memory. */
  accepted: number;
  /** Items that the log knew already. */
  duplicates: number;
  /** Items refused by index. */
  rejected: number;
  /** Refused items by code. */
  readonly rejectedByCode: Map<string, number>;
  /** Requests answered with 503. */
  overloaded: number;
  /** Requests of `/read`. */
  reads: number;
  /** Keys that `/read` left out because the backend's value is not a number. */
  readInvalid: number;
}

/** A gateway that listens. */
export interface Gateway {
  readonly port: number;
  readonly counters: Readonly<GatewayCounters>;
  /** Requests that have no answer yet. */
  readonly underWay: number;
  /**
   * Takes no new connections and answers new requests on open ones with 503 `SHUTTING_DOWN`. Resolves once the requests under
   * way have their answers, or after `graceMs` (default 10,000). Idempotent.
   */
  stopIntake(graceMs?: number): Promise<void>;
  /** Stops the intake at once and cuts what is still connected. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a gateway.
 *
 * @throws SluiceError `LISTEN_FAILED` when the port or the address cannot be used.
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const limits = { ...defaultLimits, ...options.limits };
  const host = options.host ?? '127.0.0.1';
  const app = createServer(limits);
  const intake = createIntake(app.server);
  const counters: GatewayCounters = {
    requests: 0,
    accepted: 0,
    duplicates: 0,
    rejected: 0,
    rejectedByCode: new Map(),
    overloaded: 0,
    reads: 0,
    readInvalid: 0,
  };

  addHooks(app, { limits, intake, counters, logger: options.logger });
  refuseProtocolErrors(app);
  addEvents(app, { ...options, limits, counters });
  addRead(app, options.read, counters);
  addHealth(app, () =>
    intake.stopped ? { ok: false, reasons: ['the service is shutting down'] } : (options.ready?.() ?? { ok: true, reasons: [] }),
  );

  try {
    await app.listen({ host, port: options.port });
  } catch (error) {
    await app.close();
    throw listenFailure(error, host, options.port);
  }
  return {
    port: (app.server.address() as AddressInfo).port,
    counters,
    get underWay() {
      return intake.underWay;
    },
    stopIntake: (graceMs = 10_000) => intake.stop(graceMs),
    async close() {
      await intake.stop(0);
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

function createServer(limits: GatewayLimits): FastifyInstance {
  const app = fastify({
    logger: false,
    // Larger than the longest URL, so that a longer one is answered with 414 by us, not with 431 by the parser.
    http: { ...protocolOptions, maxHeaderSize: 64 * 1024 },
    requestTimeout: limits.requestTimeoutMs,
    routerOptions: {
      maxParamLength: limits.maxUrlBytes,
      querystringParser: (text) => Object.fromEntries(new URLSearchParams(text)),
    },
    clientErrorHandler: clientError(limits),
    frameworkErrors: (error, request, reply) => void sendError(error, request, reply),
  });
  // The body is read by the route that wants it, within its bounds.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.setNotFoundHandler((request) => {
    throw unknownRoute(request);
  });
  return app;
}

interface Hooks {
  readonly limits: GatewayLimits;
  readonly intake: Intake;
  readonly counters: GatewayCounters;
  readonly logger: GatewayLogger | undefined;
}

function addHooks(app: FastifyInstance, { limits, intake, counters, logger }: Hooks): void {
  app.addHook('onRequest', async (request, reply) => {
    counters.requests++;
    intake.begin(reply.raw);
    if (intake.stopped) {
      reply.header('connection', 'close');
      throw overloaded('SHUTTING_DOWN', 'the service is shutting down; send the request again later', 5_000);
    }
    if (Buffer.byteLength(request.raw.url ?? '') > limits.maxUrlBytes) {
      throw new HttpError(
        414,
        'URL_TOO_LONG',
        `expected a URL of at most ${limits.maxUrlBytes} bytes; ask for fewer keys in one request`,
      );
    }
  });
  app.addHook('onResponse', async (_request, reply) => {
    if (reply.statusCode === 503) counters.overloaded++;
  });
  app.setErrorHandler((error: Error, request, reply) => {
    const answer = sendError(error as HttpError, request, reply);
    if (reply.statusCode >= 500 && !(error instanceof HttpError)) {
      logger?.error({ method: request.method, route: request.routeOptions.url, err: error }, 'a request failed');
    }
    return answer;
  });
}

function unknownRoute(request: FastifyRequest): HttpError {
  const path = (request.raw.url ?? '').split('?', 1)[0]!;
  const allowed = /^\/v1\/streams\/[^/]*\/events$/.test(path)
    ? ['POST']
    : ['/read', '/healthz', '/readyz'].includes(path)
      ? ['GET', 'HEAD']
      : undefined;
  if (allowed === undefined) {
    return new HttpError(
      404,
      'NOT_FOUND',
      'there is nothing here; events go to POST /v1/streams/STREAM/events, reads to GET /read?keys=k1,k2',
    );
  }
  const sentence = `use ${allowed.join(' or ')}, not ${request.method}`;
  return new HttpError(405, 'METHOD_NOT_ALLOWED', sentence, { allow: allowed.join(', ') });
}

interface EventsRoute extends GatewayOptions {
  readonly limits: GatewayLimits;
  readonly counters: GatewayCounters;
}

function addEvents(app: FastifyInstance, { log, settled, limits, ackTimeoutMs = 10_000, counters }: EventsRoute): void {
  const allowance = createBodyAllowance(limits.maxHeldBodyBytes);
  app.post('/v1/streams/:stream/events', async (request, reply) => {
    const { stream } = request.params as { stream: string };
    const { ack: asked = 'durable', id } = request.query as { ack?: string; id?: string };
    if (!/^[A-Za-z0-9_.-]{1,128}$/.test(stream)) {
      throw new HttpError(
        400,
        'INVALID_STREAM',
        'expected a stream name of 1 to 128 letters, digits, dots, hyphens and underscores',
      );
    }
    if (!ackLevels.includes(asked as AckLevel)) {
      throw new HttpError(
        400,
        'INVALID_ACK',
        `expected ack to be one of ${ackLevels.join(', ')}; got ${JSON.stringify(asked.slice(0, 40))}`,
      );
    }
    if (id === '') throw new HttpError(400, 'INVALID_ID_FIELD', 'expected id to name a field, or to be hash; it is empty');
    const wait = settled?.(stream);
    // Nothing is wrong with that, but who mistyped the name of a stream learns of it.
    if (wait === undefined) void reply.header('sluice-pipeline', 'none');
    if (asked === 'committed' && wait === undefined) {
      throw new HttpError(
        400,
        'NO_PIPELINE',
        `no pipeline reads the stream ${stream}, so that committed can never be reached; ask for durable`,
      );
    }
    const format = bodyFormat(request.headers['content-type']);
    const gzip = isGzip(request.headers['content-encoding']);
    const event = { idSource: idSource(id), tenant: '_', receivedAt: Date.now(), limits };
    const signal = signalOf(reply);
    const receipt = await withBody(request.raw, gzip, limits, allowance, (body) =>
      receive(splitItems(body, format, limits.maxItems), {
        log,
        stream,
        ack: asked as AckLevel,
        settled: wait,
        ackTimeoutMs,
        event,
        signal,
      }),
    );
    count(counters, receipt);
    return reply.code(receiptStatus(receipt, asked as AckLevel)).send(receipt);
  });
}

function count(counters: GatewayCounters, receipt: Receipt): void {
  counters.accepted += receipt.accepted;
  counters.duplicates += receipt.duplicates;
  counters.rejected += receipt.rejected;
  for (const { code } of receipt.errors) {
    if (code !== 'DEAD_LETTERED') counters.rejectedByCode.set(code, (counters.rejectedByCode.get(code) ?? 0) + 1);
  }
}

function addRead(app: FastifyInstance, read: ReadKeys | undefined, counters: GatewayCounters): void {
  app.get('/read', async (request, reply) => {
    counters.reads++;
    if (read === undefined)
      throw new HttpError(404, 'READ_NOT_CONFIGURED', 'no key-value backend is configured; start with --read-upstream URL');
    const { body, invalid } = await answerRead(request.raw.url ?? '', read, signalOf(reply));
    counters.readInvalid += invalid;
    return reply.type('application/json; charset=utf-8').send(body);
  });
}

function addHealth(app: FastifyInstance, ready: () => Readiness): void {
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const { ok, reasons } = ready();
    return reply.code(ok ? 200 : 503).send({ status: ok ? 'ready' : 'not ready', reasons });
  });
}

/** Aborted when the client leaves before its answer. */
function signalOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  whenGone(reply.raw, () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
