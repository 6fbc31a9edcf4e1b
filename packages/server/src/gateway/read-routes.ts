/**
 * Read routes: `GET /read?keys=…`, `POST /read` for long lists of keys, and `GET /key/:key`, over the batching client. On `node:http`
 * itself, like the events: thousands of reads are answered at once, and a framework would cost as much as they do.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type BodyAllowance, withBody } from './body.js';
import type { Callers } from './caller.js';
import { whenGone } from './departure.js';
import type { Answer } from './events-route.js';
import { HttpError } from './http-error.js';
import type { GatewayLimits } from './limits.js';
import { bodyFormat, isGzip, keyBodies } from './media-type.js';
import { checkParameters } from './parameters.js';
import { protocolProblem } from './protocol.js';
import { answerRead, type Found, type ReadKeys, readError } from './read.js';
import { isPartial, keysQuery, oneKey, queryOf, type ReadQuery, readQuery } from './read-query.js';
import type { ReadTarget } from './read-target.js';
import { createTurns } from './read-turns.js';
import { errorAnswer, reply } from './reply.js';
import type { UnreadAnswers } from './unread-answers.js';

/** What the routes are made of. */
export interface ReadRoutesParts {
  readonly read: ReadKeys | undefined;
  readonly callers: Callers;
  readonly limits: GatewayLimits;
  readonly allowance: BodyAllowance;
  /** Keys that one request may ask for. */
  readonly maxKeys: number;
  readonly counters: { reads: number; readInvalid: number; overloaded: number };
  /** Notes a request, and throws when it is not to be answered. */
  readonly guard: (request: IncomingMessage, response: ServerResponse) => void;
  readonly unread: UnreadAnswers;
  /** Told of failures that nobody expected. */
  readonly logger: { error(details: object, message: string): void } | undefined;
}

/** Makes what answers the requests with a target. */
export function createReads(
  parts: ReadRoutesParts,
): (request: IncomingMessage, response: ServerResponse, target: ReadTarget) => void {
  const { counters, guard, logger, unread } = parts;
  const inTurn = createTurns(answersPerTurn);
  const find = createFinder(parts);
  const send = ({ response, method, route }: Waiting, make: () => Answer): void => {
    let answer: Answer;
    try {
      answer = make();
    } catch (thrown) {
      answer = errorAnswer(thrown, (err) => logger?.error({ method, route, err }, 'a request failed'));
    }
    if (answer.status === 503) counters.overloaded++;
    reply(response, answer, unread);
  };
  return (request, response, target) => {
    const waiting = { response, method: request.method, route: target.route };
    const fail = (thrown: unknown): void => inTurn(() => send(waiting, () => raise(thrown)));
    try {
      guard(request, response);
      const problem = protocolProblem(request);
      if (problem !== undefined) throw problem;
      find(request, response, target).then((make) => inTurn(() => send(waiting, make)), fail);
    } catch (thrown) {
      fail(thrown);
    }
  };
}

/** Two milliseconds' worth of answers. */
const answersPerTurn = 64;

/** A request without its answer. It holds no more than it needs: thousands wait at once, and the garbage collector copies what waits. */
interface Waiting {
  readonly response: ServerResponse;
  readonly method: string | undefined;
  readonly route: string;
}

function raise(thrown: unknown): never {
  throw thrown;
}

/**
 * Looks up what a request asks for. What that resolves with makes the answer, or throws the `HttpError` that is it. Without `async`: its
 * functions would take as much memory for each read that waits as all else of it.
 */
function createFinder({ read, callers, limits, allowance, maxKeys, counters }: ReadRoutesParts) {
  const find = (asked: Asked, response: ServerResponse): Promise<() => Answer> => {
    if (read === undefined) throw notConfigured();
    const told = (found: Found) => () => answerTo(asked, found, counters);
    const failed = (error: unknown) => raise(readError(error));
    return read(asked.query.keys, (leave) => whenGone(response, leave)).then(told, failed);
  };
  return (request: IncomingMessage, response: ServerResponse, target: ReadTarget): Promise<() => Answer> => {
    const { headers } = request;
    counters.reads++;
    // Whoever may not read learns nothing of what there is to read.
    callers.of(headers, 'read');
    const queryText = queryOf(request.url!);
    if (target.by !== 'body') return find(askedBy(target, queryText), response);
    bodyFormat(headers['content-type'], keyBodies);
    const gzip = isGzip(headers['content-encoding']);
    const partial = isPartial(queryText, []);
    return withBody(request, gzip, limits, allowance, async (body) =>
      find({ query: keysQuery(body, maxKeys), partial }, response),
    );
  };
}

function answerTo({ query, partial, mustExist }: Asked, found: Found, counters: { readInvalid: number }): Answer {
  const { status, body, invalid } = answerRead(query, found, partial);
  counters.readInvalid += invalid;
  if (mustExist && body === '{}') throw new HttpError(404, 'KEY_NOT_FOUND', 'there is no such key');
  return { status, body };
}

/** What one request asks for. */
interface Asked {
  readonly query: ReadQuery;
  readonly partial: boolean;
  /** Without the key the answer is 404. */
  readonly mustExist?: boolean;
}

function askedBy(target: ReadTarget, queryText: string): Asked {
  if (target.by === 'path') {
    if (queryText !== '') checkParameters(new URLSearchParams(queryText).keys(), []);
    if (target.key === undefined)
      throw new HttpError(400, 'INVALID_URL', 'the path of the URL is not valid percent-encoded UTF-8');
    return { query: oneKey(target.key), partial: false, mustExist: true };
  }
  const partial = isPartial(queryText, ['keys', 'key']);
  return { query: readQuery(queryText), partial };
}

function notConfigured(): HttpError {
  return new HttpError(404, 'READ_NOT_CONFIGURED', 'no key-value backend is configured; start with --read-upstream URL');
}
