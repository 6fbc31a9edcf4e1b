/** The routes of outboxes, with databases that refuse in every way: what may pass is 503, what somebody must mend is not. */

import { fastify } from 'fastify';
import { failure } from 'sluice';
import { expect, it } from 'vitest';
import { type HttpError, sendError } from '../gateway/http-error.js';
import type { RunningOutbox } from '../outboxes/outboxes.js';
import { addOutboxRoutes } from './outbox-routes.js';

/** An error as `pg` throws those of the server. */
const ofServer = (code: string, message: string) => Object.assign(new Error(message), { code, severity: 'ERROR' });

async function answersOf(error: Error) {
  const refuse = () => Promise.reject(error);
  const outbox = { name: 'shop', letters: refuse, redrive: refuse, purge: refuse } as unknown as RunningOutbox;
  const app = fastify();
  app.setErrorHandler((thrown: HttpError, request, reply) => sendError(thrown, request, reply));
  addOutboxRoutes(app, { outboxes: () => [outbox] });
  const answers = [
    await app.inject({ method: 'GET', url: '/v1/outboxes/shop/dead-letters' }),
    await app.inject({ method: 'POST', url: '/v1/outboxes/shop/redrive' }),
    await app.inject({ method: 'DELETE', url: '/v1/outboxes/shop/dead-letters?all=true' }),
  ];
  await app.close();
  return answers.map((answer) => ({
    status: answer.statusCode,
    retryAfter: answer.headers['retry-after'],
    ...(answer.json() as { readonly error: { readonly code: string; readonly message: string } }).error,
  }));
}

it.each([
  ['a connection that is refused', Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })],
  ['a connection that is lost', new Error('Connection terminated unexpectedly')],
  ['a shutdown', ofServer('57P01', 'terminating connection due to administrator command')],
  ['a start', ofServer('57P03', 'the database system is starting up')],
  ['a statement that takes too long', ofServer('57014', 'canceling statement due to statement timeout')],
  ['too many connections', ofServer('53300', 'sorry, too many clients already')],
  ['a deadlock', ofServer('40P01', 'deadlock detected')],
])('%s may pass, and is 503', async (_name, error) => {
  for (const answer of await answersOf(error))
    expect(answer).toMatchObject({
      status: 503,
      retryAfter: '1',
      code: 'OUTBOX_UNAVAILABLE',
      message: expect.stringContaining(error.message),
    });
});

it.each([
  ['42P01', 'relation "shop_outbox_dead" does not exist', /; make its tables: .* outboxes\.shop\.createTable is false$/],
  ['42501', 'permission denied for table shop_outbox_dead', /; grant its user the right .* outboxes\.shop\.url$/],
  ['42703', 'column "payload" does not exist', /\(PG_42703\)$/],
  ['42601', 'syntax error at or near "FROM"', /\(PG_42601\)$/],
  ['28P01', 'password authentication failed for user "me"', /; correct the user and the password/],
  ['3D000', 'database "shop" does not exist', /; make that database/],
  ['23505', 'duplicate key value violates unique constraint', /\(PG_23505\)$/],
])('what somebody must mend, %s, is not 503, and has its sense', async (state, message, end) => {
  for (const answer of await answersOf(ofServer(state, message))) {
    expect(answer).toMatchObject({ status: 409, retryAfter: undefined, code: 'OUTBOX_UNUSABLE' });
    expect(answer.message).toMatch(`the database of the outbox refuses this: PostgreSQL: ${message} (PG_${state})`);
    expect(answer.message).toMatch(end);
  }
});

it('what the library refuses before it asks the database is not told as the database’s word', async () => {
  const refused = failure('ids must be a list', { code: 'INVALID_OPTION', class: 'rejected' });
  for (const answer of await answersOf(refused)) expect([answer.status, answer.code]).toEqual([500, 'INTERNAL']);
});
