/** Outbox answer: what the database of an outbox says to a request, and as which status that is told. */

import { SluiceError } from 'sluice';
import { classifyPostgresError } from 'sluice/postgres';
import { HttpError, overloaded } from '../gateway/http-error.js';

/**
 * Waits for an answer of the database of an outbox.
 *
 * @throws HttpError 503 `OUTBOX_UNAVAILABLE` for what may pass by itself; 409 `OUTBOX_UNUSABLE` for what somebody must mend.
 * @throws SluiceError what the library refuses before the database is asked.
 */
export async function outboxAnswer<R>(name: string, asked: Promise<R>): Promise<R> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof SluiceError && error.class === 'rejected') throw error;
    throw refusal(name, classifyPostgresError(error));
  }
}

function refusal(name: string, { code, class: kind, message }: SluiceError): HttpError {
  const text = message.replace(/\.$/, '');
  if (kind === 'transient' || kind === 'unknown')
    return overloaded('OUTBOX_UNAVAILABLE', `the database of the outbox does not answer now: ${text}`);
  const hint = hints.find(([state]) => code.startsWith(state))?.[1](`outboxes.${name}`);
  const what = `the database of the outbox refuses this: ${text} (${code})`;
  return new HttpError(409, 'OUTBOX_UNUSABLE', hint === undefined ? what : `${what}; ${hint}`);
}

/** What mends it, by the first letters of the code; `at` is where the outbox stands in the configuration. */
const hints: readonly (readonly [code: string, hint: (at: string) => string])[] = [
  ['PG_42P01', (at) => `make its tables: the service does at its start, unless ${at}.createTable is false`],
  ['PG_42501', (at) => `grant its user the right to that, or name another in ${at}.url`],
  ['PG_28', (at) => `correct the user and the password in ${at}.url, or in database where it has none`],
  ['PG_3D', (at) => `make that database, or correct ${at}.url, or database where it has none`],
];
