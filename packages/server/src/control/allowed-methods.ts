/** Allowed methods: with which methods a path of the control plane may be asked, so that a wrong one is not told that there is nothing. */

import type { FastifyInstance } from 'fastify';
import { HttpError, methodNotAllowed } from '../gateway/http-error.js';

/**
 * Notes the routes that are added to `app` from now on.
 *
 * @returns why a request that no route takes is refused: 405 `METHOD_NOT_ALLOWED`, with `Allow`, where its path has other methods, else 404
 * `NOT_FOUND`.
 */
export function noteRoutes(app: FastifyInstance): (method: string, url: string) => HttpError {
  const routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    routes.push({ pattern: patternOf(url), methods: [method].flat() });
  });
  return (method, url) => {
    const path = url.split('?', 1)[0]!;
    const allowed = [...new Set(routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods))];
    if (allowed.length === 0) return new HttpError(404, 'NOT_FOUND', `there is no ${method} ${path} here`);
    return methodNotAllowed(allowed, method);
  };
}

/** `:name` stands for one step of a path, `*` for all that follows. */
function patternOf(route: string): RegExp {
  const steps = route
    .split('/')
    .map((step) => (step === '*' ? '.*' : step.startsWith(':') ? '[^/]+' : step.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')));
  return new RegExp(`^${steps.join('/')}$`);
}
