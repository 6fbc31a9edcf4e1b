/** Control plane: health, metrics, and what streams, pipelines and dead letters look like. Apart from the data plane. */

import type { AddressInfo } from 'node:net';
import { type FastifyRequest, fastify } from 'fastify';
import type { DeadLetter, Log } from 'sluice/log';
import type { Readiness } from '../gateway/gateway.js';
import { type HttpError, sendError } from '../gateway/http-error.js';
import { listenFailure } from '../gateway/listen-error.js';
import { protocolOptions, refuseProtocolErrors } from '../gateway/protocol.js';
import type { Pipeline } from '../pipelines/pipeline.js';

/** What a control plane is made of. */
export interface ControlOptions {
  readonly log: Log;
  readonly pipelines: () => readonly Pipeline[];
  readonly ready: () => Readiness;
  /** Who may look and act. Default: whoever can connect. */
  readonly authorize?: (request: FastifyRequest) => void;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  readonly host: string;
  readonly port: number;
}

/** What a load balancer asks, which has no key. */
const openRoutes = ['/healthz', '/readyz'];

/** A control plane that listens. */
export interface Control {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Starts the control plane.
 *
 * @throws SluiceError `LISTEN_FAILED`
 */
export async function createControl(options: ControlOptions): Promise<Control> {
  const { log, pipelines, ready, authorize, metrics, host, port } = options;
  const app = fastify({ forceCloseConnections: true, http: { ...protocolOptions } });
  refuseProtocolErrors(app);
  app.setErrorHandler((error: HttpError, request, reply) => sendError(error, request, reply));
  app.addHook('onRequest', async (request) => {
    if (!openRoutes.includes(request.url.split('?', 1)[0]!)) authorize?.(request);
  });
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const { ok, reasons } = ready();
    return reply.code(ok ? 200 : 503).send({ status: ok ? 'ready' : 'not ready', reasons });
  });
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  app.get('/v1/streams', async () => ({ streams: await log.streams() }));
  app.get('/v1/pipelines', async () => ({ pipelines: await Promise.all(pipelines().map(pipelineJson)) }));
  app.get<{ Querystring: { stream?: string; group?: string; limit?: string } }>('/v1/dead-letters', async (request, reply) => {
    const { stream, group, limit = '100' } = request.query;
    if (!/^[1-9]\d{0,3}$/.test(limit)) {
      return reply.code(400).send({ error: { code: 'INVALID_LIMIT', message: 'expected limit to be a number from 1 to 9999' } });
    }
    const filter = { ...(stream === undefined ? {} : { stream }), ...(group === undefined ? {} : { group }) };
    const { letters } = await log.letters.page({ filter, limit: Number(limit) });
    return { count: log.letters.items, deadLetters: letters.map(letterJson) };
  });
  app.setNotFoundHandler((request, reply) =>
    reply
      .code(404)
      .send({ error: { code: 'NOT_FOUND', message: `there is no ${request.method} ${request.url.split('?')[0]} here` } }),
  );
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    throw listenFailure(error, host, port);
  }
  return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
}

async function pipelineJson({ name, stream, group, consumer, problem }: Pipeline): Promise<object> {
  const { problem: failure, ...status } = consumer.status();
  return { name, stream, group, ...status, failure, problem: problem(), lag: await consumer.lag() };
}

/** The operator who looks at a dead letter needs its payload: as text, byte for byte where it is UTF-8. */
function letterJson({ record, ...letter }: DeadLetter): object {
  const { payload, ...origin } = record;
  return { ...letter, record: { ...origin, payload: Buffer.from(payload).toString('utf8') } };
}
