/** Reply: how a route on `node:http` itself sends its answer. */

import type { ServerResponse } from 'node:http';
import type { Answer } from './events-route.js';
import { asHttpError, errorBody, HttpError } from './http-error.js';
import type { UnreadAnswers } from './unread-answers.js';

/** Sends an answer, unless the client has left. What is not taken at once is watched by `unread`. */
export function reply(response: ServerResponse, { status, headers, body }: Answer, unread: UnreadAnswers): void {
  if (response.destroyed) return;
  const type = { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(body) };
  response.writeHead(status, headers === undefined ? type : { ...type, ...headers });
  response.end(body);
  unread.note(response);
}

/** The answer that tells of a failure. `onUnknown` is told of one that nobody expected. */
export function errorAnswer(thrown: unknown, onUnknown: (thrown: unknown) => void): Answer {
  const { status, headers, code, message } = asHttpError(thrown as HttpError);
  if (status >= 500 && !(thrown instanceof HttpError)) onUnknown(thrown);
  return { status, headers, body: errorBody(code, message) };
}
