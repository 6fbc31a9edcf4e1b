/** Read routes: `GET /read?keys=…`, `POST /read` for long lists of keys, and `GET /key/:key`, over the batching client. */

import type { FastifyInstance } from 'fastify';
import { type BodyAllowance, withBody } from './body.js';
import type { Callers } from './caller.js';
import { signalOf } from './departure.js';
import { HttpError } from './http-error.js';
import type { GatewayLimits } from './limits.js';
import { bodyFormat, isGzip } from './media-type.js';
import { checkParameters, isSet } from './parameters.js';
import { answerRead, type ReadKeys } from './read.js';
import { keysQuery, readQuery } from './read-query.js';

/** What the routes are made of. */
export interface ReadRoutesParts {
  readonly read: ReadKeys | undefined;
  readonly callers: Callers;
  readonly limits: GatewayLimits;
  readonly allowance: BodyAllowance;
  /** Keys that one request may ask for. */
  readonly maxKeys: number;
  readonly counters: { reads: number; readInvalid: number };
}

/** Adds the routes. */
export function addReadRoutes(
  app: FastifyInstance,
  { read, callers, limits, allowance, maxKeys, counters }: ReadRoutesParts,
): void {
  const known = (): ReadKeys => {
    if (read !== undefined) return read;
    throw new HttpError(404, 'READ_NOT_CONFIGURED', 'no key-value backend is configured; start with --read-upstream URL');
  };
  // Whoever may not read learns nothing of what there is to read.
  const readable = async (request: { readonly headers: Parameters<Callers['of']>[0] }) => {
    counters.reads++;
    callers.of(request.headers, 'read');
  };

  app.get('/read', { preHandler: readable }, async (request, reply) => {
    const { query } = request as { query: { partial?: string } };
    checkParameters(query, ['keys', 'key', 'partial']);
    const answer = await answerRead(
      readQuery(request.raw.url ?? ''),
      known(),
      signalOf(reply.raw),
      isSet('partial', query.partial),
    );
    counters.readInvalid += answer.invalid;
    return reply.code(answer.status).type('application/json; charset=utf-8').send(answer.body);
  });

  app.post('/read', { preHandler: readable }, async (request, reply) => {
    if (bodyFormat(request.headers['content-type']) !== 'json')
      throw new HttpError(415, 'UNSUPPORTED_TYPE', 'expected application/json: an array of keys');
    const gzip = isGzip(request.headers['content-encoding']);
    const { query } = request as { query: { partial?: string } };
    checkParameters(query, ['partial']);
    const answer = await withBody(request.raw, gzip, limits, allowance, (body) =>
      answerRead(keysQuery(body, maxKeys), known(), signalOf(reply.raw), isSet('partial', query.partial)),
    );
    counters.readInvalid += answer.invalid;
    return reply.code(answer.status).type('application/json; charset=utf-8').send(answer.body);
  });

  app.get<{ Params: { key: string }; Querystring: Record<string, string> }>(
    '/key/:key',
    { preHandler: readable },
    async (request, reply) => {
      const { key } = request.params;
      checkParameters(request.query, []);
      const one = { keys: [key], select: <V>(found: ReadonlyMap<string, V>) => new Map(found) };
      const answer = await answerRead(one, known(), signalOf(reply.raw), false);
      counters.readInvalid += answer.invalid;
      if (answer.body === '{}') throw new HttpError(404, 'KEY_NOT_FOUND', 'there is no such key');
      return reply.type('application/json; charset=utf-8').send(answer.body);
    },
  );
}
