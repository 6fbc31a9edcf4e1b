/** Letter routes: dead letters by page, by what they failed with, one by one; and how they are removed. */

import type { FastifyInstance } from 'fastify';
import type { DeadLetter, Log } from 'sluice/log';
import { HttpError } from '../gateway/http-error.js';
import { isSet } from '../gateway/parameters.js';
import { letterFilter, numberOf } from './letter-filter.js';

type Query = Readonly<Record<string, string>>;

/** Adds the routes. */
export function addLetterRoutes(app: FastifyInstance, { log }: { readonly log: Log }): void {
  app.get<{ Querystring: Query }>('/v1/dead-letters', async ({ query }) => {
    const { limit = '100', after } = query;
    const bound = numberOf('limit', limit);
    if (bound < 1 || bound > 9_999) throw new HttpError(400, 'INVALID_LIMIT', 'expected limit to be a number from 1 to 9999');
    const filter = letterFilter(query, ['limit', 'after']);
    const page = await log.letters.page({ filter, limit: bound, ...(after === undefined ? {} : { after }) });
    return { count: log.letters.items, bytes: log.letters.bytes, deadLetters: page.letters.map(letterJson), next: page.next };
  });
  app.get<{ Querystring: Query }>('/v1/dead-letters/groups', async ({ query }) => ({
    groups: await log.letters.groups(letterFilter(query, [])),
  }));
  app.get<{ Params: { '*': string } }>('/v1/dead-letters/letters/*', async ({ params }) => {
    const letter = await log.letters.get(params['*']);
    if (letter === undefined) throw new HttpError(404, 'LETTER_NOT_FOUND', 'there is no dead letter of this id');
    return letterJson(letter);
  });
  app.delete<{ Querystring: Query }>('/v1/dead-letters', async ({ query }) => {
    const filter = letterFilter(query, ['all', 'dry']);
    if (Object.keys(filter).length === 0 && !isSet('all', query.all))
      throw new HttpError(400, 'FILTER_NEEDED', 'say which letters, or all=true: what is purged is gone');
    const matching = (await log.letters.groups(filter)).reduce((sum, group) => sum + group.items, 0);
    if (isSet('dry', query.dry)) return { matching, purged: 0 };
    let purged = 0;
    for (let some = 1; some > 0; purged += some) some = await log.letters.purge(filter);
    return { matching, purged };
  });
}

/** The operator who looks at a dead letter needs its payload: as text, byte for byte where it is UTF-8. */
function letterJson({ record, ...letter }: DeadLetter): object {
  const { payload, ...origin } = record;
  return { ...letter, record: { ...origin, payload: Buffer.from(payload).toString('utf8') } };
}
