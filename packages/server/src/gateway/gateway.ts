/**
 * Gateway: the HTTP data plane. `POST /v1/streams/:stream/events` puts events into the durable log, `GET /read` reads keys
 * through the batching client, `/healthz` and `/readyz` say how it is. Every error is JSON.
 */

import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type FastifyInstance, fastify } from 'fastify';
import { systemEnv } from 'sluice';
import type { Log } from 'sluice/log';
import { type Admission, createAdmission } from './admission.js';
import { createBodyAllowance } from './body.js';
import { type Callers, createCallers } from './caller.js';
import { clientError } from './client-error.js';
import type { Settled } from './committed.js';
import { countReceipt, createCounters, type GatewayCounters } from './counters.js';
import { unansweredOn } from './departure.js';
import { type Answer, createEventsRoute, type EventsRouteParts, isEventsRequest, type StreamRules } from './events-route.js';
import { HttpError, overloaded, sendError } from './http-error.js';
import { createIntake } from './intake.js';
import { defaultLimits, type GatewayLimits } from './limits.js';
import { listen } from './listen.js';
import { openApi } from './openapi.js';
import {
  continueUnlessRefused,
  protocolOptions,
  protocolProblem,
  refuseProtocolErrors,
  timeouts,
  toOriginForm,
} from './protocol.js';
import type { ReadKeys } from './read.js';
import { createReads } from './read-routes.js';
import { type ReadTarget, readTarget } from './read-target.js';
import { errorAnswer, reply } from './reply.js';
import { addTailRoute } from './tail-route.js';
import { unknownRoute } from './unknown-route.js';
import { createUnreadAnswers, type UnreadAnswers } from './unread-answers.js';

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
  /** The groups that read a stream: a receipt names dead letters by them. Default: none is known, and it tells their places in the log. */
  readonly groups?: (stream: string) => readonly string[];
  /** While the log holds as much as it may, how long that is likely to last, in milliseconds: events are answered with 503. Default: never. */
  readonly logFullForMs?: () => number | undefined;
  /** Order keys and schemas of streams. Default: none. */
  readonly streams?: (stream: string) => StreamRules | undefined;
  /** The key-value client behind `GET /read`. Default: none, and `/read` answers 404. */
  readonly read?: ReadKeys;
  /** Version of the service, for the OpenAPI document. Default `'0'`. */
  readonly version?: string;
  /** Clients that may tail streams at once; above it 503. Default 100. */
  readonly maxTails?: number;
  /** Keys that one `POST /read` may ask for; above it 413. Default 10,000. */
  readonly maxReadKeys?: number;
  /** Address to listen on. Default `'127.0.0.1'`: this machine alone. */
  readonly host?: string;
  /** Port to listen on; 0 takes a free one. */
  readonly port: number;
  readonly limits?: Partial<GatewayLimits>;
  /** Connections that may be open; one more is closed at once. Default 10,000. */
  readonly maxConnections?: number;
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

/** What of a gateway can change while it listens. */
export type GatewaySettings = Pick<GatewayOptions, 'limits' | 'ackTimeoutMs' | 'maxConnections'>;

/** A gateway that listens. */
export interface Gateway {
  readonly port: number;
  readonly counters: Readonly<GatewayCounters>;
  /** Requests that have no answer yet. */
  readonly underWay: number;
  /** Bytes of bodies that are held now. */
  readonly heldBodyBytes: number;
  /** Bytes of answers that are held now because their clients do not read. */
  readonly unreadBytes: number;
  /** Takes other limits from now on; what is under way keeps those it began with, where it has read them. */
  configure(settings: GatewaySettings): void;
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
  const limits: { -readonly [K in keyof GatewayLimits]: GatewayLimits[K] } = { ...defaultLimits, ...options.limits };
  let { ackTimeoutMs = defaultAckTimeoutMs } = options;
  const callers = options.callers ?? createCallers([]);
  const admission = options.admission ?? createAdmission({ tenants: {}, maxHeldItems: 100_000, clock: systemEnv().clock });
  const host = options.host ?? '127.0.0.1';
  const direct: DirectRoutes = {};
  const counters = createCounters();
  const servers: Server[] = [];
  const limitConnections = (most = defaultMaxConnections) => {
    for (const server of servers) server.maxConnections = most;
  };
  const app = createServer(limits, direct, (server) => {
    servers.push(server.on('drop', () => counters.refusedConnections++));
    limitConnections(options.maxConnections);
  });
  const intake = createIntake(app.server);
  const allowance = createBodyAllowance(() => limits.maxHeldBodyBytes);
  const unread = createUnreadAnswers({ maxBytes: maxUnreadBytes, maxMs: limits.requestTimeoutMs });

  const guard = (request: IncomingMessage, response: ServerResponse) => {
    counters.requests++;
    intake.begin(response);
    cutIfFarAhead(request);
    if (intake.stopped)
      throw overloaded('SHUTTING_DOWN', 'the service is shutting down; send the request again later', 5_000, {
        connection: 'close',
      });
    checkUrl(request.url ?? '', limits);
  };
  addHooks(app, guard, counters, unread, options.logger);
  refuseProtocolErrors(app);
  direct.events = eventsHandler(
    {
      logFullForMs: options.logFullForMs,
      ...{
        log: options.log,
        settled: options.settled,
        groups: options.groups,
        streams: options.streams,
        limits,
        allowance,
        callers,
        admission,
      },
      ackTimeoutMs: () => ackTimeoutMs,
      onReceipt: (receipt) => countReceipt(counters, receipt),
    },
    guard,
    counters,
    unread,
    options.logger,
  );
  direct.reads = createReads({
    ...{ read: options.read, callers, limits, allowance, counters, guard, unread, logger: options.logger },
    maxKeys: options.maxReadKeys ?? 10_000,
  });
  const tails = addTailRoute(app, { log: options.log, callers, maxTails: options.maxTails ?? 100 });
  const document = openApi(limits, options.version ?? '0');
  app.get('/openapi.json', async () => document);
  addHealth(app, () =>
    intake.stopped ? { ok: false, reasons: ['the service is shutting down'] } : (options.ready?.() ?? { ok: true, reasons: [] }),
  );

  const listening = await listen(app, host, options.port);
  return {
    port: listening,
    counters,
    get underWay() {
      return intake.underWay;
    },
    get heldBodyBytes() {
      return allowance.heldBytes;
    },
    get unreadBytes() {
      return unread.bytes;
    },
    configure(settings) {
      limitConnections(settings.maxConnections);
      Object.assign(limits, defaultLimits, settings.limits);
      ackTimeoutMs = settings.ackTimeoutMs ?? defaultAckTimeoutMs;
    },
    stopIntake(graceMs = 10_000) {
      tails.end();
      return intake.stop(graceMs);
    },
    async close() {
      tails.end();
      await intake.stop(0);
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/** What answers the requests that do not go through the framework. */
interface DirectRoutes {
  events?: (request: IncomingMessage, response: ServerResponse) => void;
  reads?: (request: IncomingMessage, response: ServerResponse, target: ReadTarget) => void;
}

function createServer(limits: GatewayLimits, direct: DirectRoutes, onServer: (server: Server) => void): FastifyInstance {
  const onClientError = clientError(limits);
  const app = fastify({
    logger: false,
    serverFactory: (handler) => {
      const route = (request: IncomingMessage, response: ServerResponse): void => {
        toOriginForm(request);
        if (isEventsRequest(request)) {
          direct.events!(request, response);
          return;
        }
        const target = readTarget(request);
        if (target === undefined) handler(request, response);
        else direct.reads!(request, response, target);
      };
      const server = createHttpServer({ ...protocolOptions, maxHeaderSize, ...timeouts(limits.requestTimeoutMs) }, route).on(
        'checkContinue',
        (request, response) => continueUnlessRefused(response, () => route(request, response)),
      );
      onServer(server);
      return server;
    },
    routerOptions: {
      maxParamLength: limits.maxUrlBytes,
      querystringParser: (text) => Object.fromEntries(new URLSearchParams(text)),
    },
    // In place of the framework's own, which would answer beside ours.
    clientErrorHandler: (error, socket) => onClientError(error, socket),
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

/** Larger than the longest URL, so that a longer one is answered with 414 by us, not with 431 by the parser. */
const maxHeaderSize = 64 * 1024;

/** An answer with its keys weighs four times as much: with the bodies that may be held it stays below what a small machine has. */
const maxUnreadBytes = 64 * 1024 * 1024;

const defaultMaxConnections = 10_000;

const defaultAckTimeoutMs = 10_000;

type Guard = (request: IncomingMessage, response: ServerResponse) => void;

/** Requests that a client may send on a connection ahead of their answers. Each costs a few kilobytes until it has its answer, and a client needs no window. */
const maxAhead = 1_000;

/** There is nobody to tell: the answer would stand behind a thousand others. What was stored stays. */
function cutIfFarAhead({ socket }: IncomingMessage): void {
  if (unansweredOn(socket) <= maxAhead) return;
  socket.destroy();
  throw overloaded('OVERLOADED', `expected at most ${maxAhead} requests of a connection without their answers`);
}

function checkUrl(url: string, { maxUrlBytes }: GatewayLimits): void {
  if (url.length <= maxUrlBytes && Buffer.byteLength(url) <= maxUrlBytes) return;
  throw new HttpError(414, 'URL_TOO_LONG', `expected a URL of at most ${maxUrlBytes} bytes; ask for fewer keys in one request`);
}

/** Runs the route of the events for a request, and answers it. */
function eventsHandler(
  parts: EventsRouteParts,
  guard: Guard,
  counters: GatewayCounters,
  unread: UnreadAnswers,
  logger: GatewayLogger | undefined,
): (request: IncomingMessage, response: ServerResponse) => void {
  const answer = (response: ServerResponse, its: Answer): void => {
    if (its.status === 503) counters.overloaded++;
    reply(response, its, unread);
  };
  const about = { method: 'POST', route: '/v1/streams/:stream/events' };
  const tellUnknown = (err: unknown): void => logger?.error({ ...about, err }, 'a request failed');
  const fail = (response: ServerResponse, thrown: unknown): void => answer(response, errorAnswer(thrown, tellUnknown));
  const begin = createEventsRoute(parts, { answer, fail });
  return (request, response) => {
    try {
      guard(request, response);
      const problem = protocolProblem(request);
      if (problem !== undefined) throw problem;
      begin(request, response);
    } catch (thrown) {
      fail(response, thrown);
    }
  };
}

function addHooks(
  app: FastifyInstance,
  guard: Guard,
  counters: GatewayCounters,
  unread: UnreadAnswers,
  logger: GatewayLogger | undefined,
): void {
  app.addHook('onRequest', async (request, reply) => guard(request.raw, reply.raw));
  // Within `done` the answer is ended: this hook is the last.
  app.addHook('onSend', (_request, reply, payload, done) => {
    done(null, payload);
    unread.note(reply.raw);
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

function addHealth(app: FastifyInstance, ready: () => Readiness): void {
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const { ok, reasons } = ready();
    return reply.code(ok ? 200 : 503).send({ status: ok ? 'ready' : 'not ready', reasons });
  });
}
