/** Control plane: health, metrics, and everything that an operator looks at and does. Apart from the data plane. */

import { type FastifyInstance, fastify } from 'fastify';
import { SluiceError } from 'sluice';
import type { Log } from 'sluice/log';
import type { Admission } from '../gateway/admission.js';
import type { Callers } from '../gateway/caller.js';
import { clientError } from '../gateway/client-error.js';
import { whenGone } from '../gateway/departure.js';
import type { Readiness } from '../gateway/gateway.js';
import { HttpError, sendError } from '../gateway/http-error.js';
import { defaultLimits } from '../gateway/limits.js';
import { listen } from '../gateway/listen.js';
import { protocolOptions, refuseProtocolErrors, timeouts } from '../gateway/protocol.js';
import type { RunningOutbox } from '../outboxes/outboxes.js';
import type { Pipeline } from '../pipelines/pipeline.js';
import type { Live } from '../service/live.js';
import { noteRoutes } from './allowed-methods.js';
import { addConfigRoutes } from './config-routes.js';
import { refuseForeignPage } from './foreign-page.js';
import { addLetterRoutes } from './letter-routes.js';
import { addOutboxRoutes } from './outbox-routes.js';
import { addPipelineRoutes } from './pipeline-routes.js';
import { addRedriveRoutes } from './redrive-routes.js';
import { addStreamRoutes } from './stream-routes.js';

/** What a control plane is made of. */
export interface ControlOptions {
  readonly log: Log;
  readonly pipelines: () => readonly Pipeline[];
  readonly outboxes: () => readonly RunningOutbox[];
  readonly ready: () => Readiness;
  /** Those among whom somebody has the scope `admin`, which is asked for then. Default: none, and whoever can connect may look and act. */
  readonly callers?: () => Callers | undefined;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  readonly admission: Admission;
  /** The configuration, once the service has started. */
  readonly live: () => Live | undefined;
  /** Stops the service in order, as SIGTERM does. */
  readonly drain: () => void;
  readonly host: string;
  readonly port: number;
}

/** What a load balancer asks, which has no key. */
const openRoutes = ['/healthz', '/readyz'];

/** A control plane that listens. */
export interface Control {
  readonly port: number;
  /** Ends redrives, and from now on answers 503 to all but `/healthz`: before what it looks at is closed. */
  endAnswers(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts the control plane.
 *
 * @throws SluiceError `LISTEN_FAILED`
 */
export async function createControl(options: ControlOptions): Promise<Control> {
  const { host, port } = options;
  const app = createServer();
  refuseProtocolErrors(app);
  app.setErrorHandler((error: HttpError, request, reply) => sendError(refused(error), request, reply));
  let isEnding = false;
  app.addHook('onRequest', async (request) => {
    // What they would look at may be closed already.
    if (isEnding && request.url !== '/healthz')
      throw new HttpError(503, 'SHUTTING_DOWN', 'the service closes its log and its database');
    if (openRoutes.includes(request.url.split('?', 1)[0]!)) return;
    const { method, headers } = request;
    const callers = options.callers?.();
    refuseForeignPage({ method, headers, hasKey: callers !== undefined }, host);
    callers?.of(headers, 'admin');
  });
  const refusalOf = noteRoutes(app);
  addHealth(app, options);
  addStreamRoutes(app, options);
  addPipelineRoutes(app, options);
  addLetterRoutes(app, options);
  addOutboxRoutes(app, options);
  const redrives = addRedriveRoutes(app, options);
  addConfigRoutes(app, options);
  app.post('/v1/drain', async (_request, reply) => {
    options.drain();
    return reply.code(202).send({ draining: true });
  });
  app.setNotFoundHandler((request) => {
    throw refusalOf(request.method, request.url);
  });
  const listening = await listen(app, host, port);
  return {
    port: listening,
    async endAnswers() {
      isEnding = true;
      redrives.cancel();
    },
    async close() {
      redrives.cancel();
      await app.close();
    },
  };
}

/** Operators and scrapers are few. */
const maxConnections = 1_000;

function createServer(): FastifyInstance {
  const { requestTimeout, ...others } = timeouts(defaultLimits.requestTimeoutMs);
  const onClientError = clientError(defaultLimits);
  const app = fastify({
    forceCloseConnections: true,
    requestTimeout,
    http: { ...protocolOptions, ...others },
    clientErrorHandler: (error, socket) => onClientError(error, socket),
    // The id of a dead letter has two names of up to 128 characters in it.
    routerOptions: { maxParamLength: 1_024 },
    frameworkErrors: (error, request, reply) => void sendError(error, request, reply),
  });
  app.server.maxConnections = maxConnections;
  app.addHook('onRequest', async (_request, reply) => whenGone(reply.raw, () => {}));
  return app;
}

/** What the library refuses is the request's fault, and says why. */
function refused(error: HttpError): HttpError {
  if (error instanceof SluiceError && error.class === 'rejected') return new HttpError(400, error.code, error.message);
  return error;
}

function addHealth(app: FastifyInstance, { ready, metrics, live }: ControlOptions): void {
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const { ok, reasons } = ready();
    // It does its work all the same: no reason not to be ready.
    const restartDue = (live()?.restartDue ?? []).map(({ path }) => path);
    return reply
      .code(ok ? 200 : 503)
      .send({ status: ok ? 'ready' : 'not ready', reasons, ...(restartDue.length === 0 ? {} : { restartDue }) });
  });
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
}
