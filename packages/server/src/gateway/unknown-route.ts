/** Unknown route: what is said to a request that no route takes. */

import type { FastifyRequest } from 'fastify';
import { HttpError, methodNotAllowed } from './http-error.js';

/** 404, or 405 with `Allow` where the path takes another method. */
export function unknownRoute(request: FastifyRequest): HttpError {
  const allowed = methodsOf((request.raw.url ?? '').split('?', 1)[0]!);
  if (allowed !== undefined && !allowed.includes(request.method)) return methodNotAllowed(allowed, request.method);
  const hint =
    allowed === undefined
      ? 'events go to POST /v1/streams/STREAM/events, reads to GET /read?keys=k1,k2'
      : 'a slash in a key is written %2F, as in /key/a%2Fb';
  return new HttpError(404, 'NOT_FOUND', `there is nothing here; ${hint}`);
}

/** The methods that a path takes, if it is one of ours. */
function methodsOf(path: string): readonly string[] | undefined {
  if (path === '/read' || /^\/v1\/streams\/[^/]*\/events$/.test(path)) return ['GET', 'HEAD', 'POST'];
  if (['/healthz', '/readyz', '/openapi.json'].includes(path) || path.startsWith('/key/')) return ['GET', 'HEAD'];
  return undefined;
}
