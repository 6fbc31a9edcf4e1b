/** Stream routes: what lies in the log, how far the groups are, and what tenants have under way. */

import type { FastifyInstance } from 'fastify';
import type { Log } from 'sluice/log';
import type { Admission } from '../gateway/admission.js';
import { checkParameters } from '../gateway/parameters.js';

/** Adds the routes. */
export function addStreamRoutes(
  app: FastifyInstance,
  { log, admission }: { readonly log: Log; readonly admission: Admission },
): void {
  app.get('/v1/streams', async () => ({ streams: await log.streams() }));
  app.get<{ Querystring: { stream?: string; group?: string } }>('/v1/groups', async ({ query }) => {
    checkParameters(query, ['stream', 'group']);
    const { stream, group } = query;
    const groups = await log.groups({ ...(stream === undefined ? {} : { stream }), ...(group === undefined ? {} : { group }) });
    const lags = new Map<string, Awaited<ReturnType<Log['lag']>>>();
    for (const one of groups) {
      const name = `${one.group}/${one.stream}`;
      if (!lags.has(name)) lags.set(name, await log.lag(one.group, one.stream));
    }
    return {
      groups: groups.map((one) => ({
        ...one,
        lag: lags.get(`${one.group}/${one.stream}`)!.find(({ partition }) => partition === one.partition),
      })),
    };
  });
  app.get('/v1/tenants', async () => ({ limit: admission.limit, heldItems: admission.heldItems, tenants: admission.tenants() }));
}
