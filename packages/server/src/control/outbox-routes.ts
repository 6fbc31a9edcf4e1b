/** Outbox routes: how outboxes are doing, and their dead letters, which lie in a table beside each of them. */

import type { FastifyInstance } from 'fastify';
import type { OutboxLetter, OutboxLetterFilter } from 'sluice/postgres';
import { HttpError } from '../gateway/http-error.js';
import { checkParameters, isSet } from '../gateway/parameters.js';
import type { RunningOutbox } from '../outboxes/outboxes.js';
import { numberOf } from './letter-filter.js';
import { outboxAnswer } from './outbox-answer.js';

interface Named {
  readonly Params: { readonly name: string };
  readonly Querystring: Readonly<Record<string, string | readonly string[]>>;
}

/** Adds the routes. */
export function addOutboxRoutes(app: FastifyInstance, { outboxes }: { readonly outboxes: () => readonly RunningOutbox[] }): void {
  const find = (name: string): RunningOutbox => {
    const all = outboxes();
    const found = all.find((outbox) => outbox.name === name);
    if (found !== undefined) return found;
    const known = all.map((outbox) => outbox.name).join(', ');
    throw new HttpError(404, 'OUTBOX_NOT_FOUND', `there is no outbox of this name; there is ${known === '' ? 'none' : known}`);
  };

  app.get('/v1/outboxes', async () => ({ outboxes: outboxes().map(outboxJson) }));
  app.get<Named>('/v1/outboxes/:name/dead-letters', async ({ params, query }) => {
    const outbox = find(params.name);
    const filter = letterFilter(query, []);
    if (filter.limit !== undefined && filter.limit > 9_999)
      throw new HttpError(400, 'INVALID_LIMIT', 'expected limit to be a number from 1 to 9999');
    return { deadLetters: (await outboxAnswer(outbox.name, outbox.letters(filter))).map(letterJson) };
  });
  app.post<Named>('/v1/outboxes/:name/redrive', async ({ params, query }) => {
    const outbox = find(params.name);
    return { redriven: await outboxAnswer(outbox.name, outbox.redrive(letterFilter(query, []))) };
  });
  app.delete<Named>('/v1/outboxes/:name/dead-letters', async ({ params, query }) => {
    const outbox = find(params.name);
    const filter = letterFilter(query, ['all']);
    if (filter.ids === undefined && filter.code === undefined && !isSet('all', query.all as string | undefined))
      throw new HttpError(400, 'FILTER_NEEDED', 'say which letters, or all=true: what is purged is gone');
    return { purged: await outboxAnswer(outbox.name, outbox.purge(filter)) };
  });
}

function letterFilter(query: Named['Querystring'], others: readonly string[]): OutboxLetterFilter {
  checkParameters(query, ['code', 'id', 'limit', ...others]);
  const { code, id, limit } = query;
  const one = (name: string, value: string | readonly string[]): string => {
    if (typeof value === 'string') return value;
    throw new HttpError(400, 'INVALID_FILTER', `expected one ${name}`);
  };
  return {
    ...(code === undefined ? {} : { code: one('code', code) }),
    ...(id === undefined ? {} : { ids: [id].flat() }),
    ...(limit === undefined ? {} : { limit: numberOf('limit', one('limit', limit)) }),
  };
}

function outboxJson({ name, stats, problem, lag }: RunningOutbox): object {
  const { delivered = 0, dead = 0 } = stats() ?? {};
  return { name, delivered, dead, lag: lag(), problem: problem() };
}

/** The operator who looks at a dead letter needs its payload: as text, byte for byte where it is UTF-8. */
function letterJson({ payload, ...letter }: OutboxLetter): object {
  return { ...letter, payload: Buffer.from(payload).toString('utf8') };
}
