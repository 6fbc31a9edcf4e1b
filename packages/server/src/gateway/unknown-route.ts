/** Unknown route: what is said to a request that no route takes. */

import type { FastifyRequest } from 'fastify';
import { HttpError } from './http-error.js';

/** 404, or 405 with `Allow` where the path takes another method. */
export function unknownRoute(request: FastifyRequest): HttpError {
  const path = (request.raw.url ?? '').split('?', 1)[0]!;
  const allowed = /^\/v1\/streams\/[^/]*\/events$/.test(path)
    ? ['GET', 'HEAD', 'POST']
    : path === '/read'
      ? ['GET', 'HEAD', 'POST']
      : ['/healthz', '/readyz', '/openapi.json'].includes(path) || path.startsWith('/key/')
        ? ['GET', 'HEAD']
        : undefined;
  if (allowed === undefined || allowed.includes(request.method)) {
    const sentence =
      allowed === undefined
        ? 'there is nothing here; events go to POST /v1/streams/STREAM/events, reads to GET /read?keys=k1,k2'
        : 'there is nothing here; a slash in a key is written %2F, as in /key/a%2Fb';
    return new HttpError(404, 'NOT_FOUND', sentence);
  }
  const sentence = `use ${listed(allowed)}, not ${request.method}`;
  return new HttpError(405, 'METHOD_NOT_ALLOWED', sentence, { allow: allowed.join(', ') });
}

function listed(methods: readonly string[]): string {
  return `${methods.slice(0, -1).join(', ')} or ${methods.at(-1)}`;
}
