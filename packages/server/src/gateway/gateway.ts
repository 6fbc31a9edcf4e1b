/**
 * Gateway: the HTTP data plane. `POST /v1/streams/:stream/events` puts events into the durable log, `GET /read` reads keys
 * through the batching client, `/healthz` and `/readyz` say how it is. Every error is JSON.
 */

import type { AddressInfo } from 'node:net';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { systemEnv } from 'sluice';
import type { Log } from 'sluice/log';
import { type Admission, createAdmission, type Entry, type Refused } from './admission.js';
import { createBodyAllowance, withBody } from './body.js';
import { type Callers, createCallers } from './caller.js';
import { clientError } from './client-error.js';
import { whenGone } from './departure.js';
import { idSource } from './event-id.js';
import { HttpError, overloaded, sendError, tooMany } from './http-error.js';
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
  /** Who may do what. Default: everyone may do everything, as the tenant `_`. */
  readonly callers?: Callers;
  /** Who gets in when there is much to do. Default: no bounds by tenant, and at most 100,000 items under way. */
  readonly admission?: Admission;
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
  const callers = options.callers ?? createCallers([]);
  const admission = options.admission ?? createAdmission({ tenants: {}, maxHeldItems: 100_000, clock: systemEnv().clock });
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
  addEvents(app, { ...options, limits, counters, callers, admission });
  addRead(app, options.read, counters, callers);
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
  readonly callers: Callers;
  readonly admission: Admission;
  readonly limits: GatewayLimits;
  readonly counters: GatewayCounters;
}

function addEvents(app: FastifyInstance, route: EventsRoute): void {
  const { log, settled, limits, ackTimeoutMs = 10_000, counters, callers, admission } = route;
  const allowance = createBodyAllowance(limits.maxHeldBodyBytes);
  app.post('/v1/streams/:stream/events', async (request, reply) => {
    const { tenant } = callers.of(request.headers, 'write');
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
    const event = { idSource: idSource(id), tenant, receivedAt: Date.now(), limits };
    const signal = signalOf(reply);
    const entry = letIn(admission, tenant);
    whenGone(reply.raw, entry.leave);
    const receipt = await withBody(request.raw, gzip, limits, allowance, (body) => {
      const items = splitItems(body, format, limits.maxItems);
      refuseIf(entry.take(items.length), tenant);
      return receive(items, {
        log,
        stream,
        ack: asked as AckLevel,
        settled: wait,
        ackTimeoutMs,
        onStored: entry.stored,
        event,
        signal,
      });
    });
    count(counters, receipt);
    return reply.code(receiptStatus(receipt, asked as AckLevel)).send(receipt);
  });
}

function letIn(admission: Admission, tenant: string): Entry {
  const entry = admission.enter(tenant);
  if ('reason' in entry) refuseIf(entry, tenant);
  return entry as Entry;
}

const refusals: Readonly<Record<Refused['reason'], string>> = {
  rate: 'it sends more items a second than it may',
  requests: 'it has as many requests under way as it may',
  items: 'it has as many items under way as it may',
  share: 'the service is busy, and it has its share of what may be under way',
  full: 'as many items are under way as the log takes in time',
};

/** What the service cannot take is 503; what this tenant may not, while others may, is 429. */
function refuseIf(refused: Refused | undefined, tenant: string): void {
  if (refused === undefined) return;
  const { reason, retryAfterMs } = refused;
  const rest = `${refusals[reason]}; nothing of this request was stored; send it again after Retry-After`;
  if (reason === 'full' || (reason === 'share' && tenant === '_')) throw overloaded('OVERLOADED', rest, retryAfterMs);
  throw tooMany(`the tenant ${tenant}: ${rest}`, retryAfterMs);
}

function count(counters: GatewayCounters, receipt: Receipt): void {
  counters.accepted += receipt.accepted;
  counters.duplicates += receipt.duplicates;
  counters.rejected += receipt.rejected;
  for (const { code } of receipt.errors) {
    if (code !== 'DEAD_LETTERED') counters.rejectedByCode.set(code, (counters.rejectedByCode.get(code) ?? 0) + 1);
  }
}

function addRead(app: FastifyInstance, read: ReadKeys | undefined, counters: GatewayCounters, callers: Callers): void {
  app.get('/read', async (request, reply) => {
    counters.reads++;
    callers.of(request.headers, 'read');
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
