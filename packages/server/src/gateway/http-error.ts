/** Errors of the HTTP borders: a status, a stable code, a sentence that says what to do. Every one of them is answered as JSON. */

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';

/** Headers of an answer, by name. */
export type AnswerHeaders = Readonly<Record<string, string>>;

/** A refusal of a whole request. Answered as `{ "error": { "code", "message" } }`. */
export class HttpError extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: AnswerHeaders;

  constructor(status: number, code: string, message: string, headers: AnswerHeaders = {}) {
    // An answer, not a fault: nobody reads its stack, and under overload it would be a tenth of what a refusal costs.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
    this.name = 'HttpError';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** 503 with `Retry-After`: whole seconds, at least 1. `retryAfterMs` is what is known about when there is room again. */
export function overloaded(code: string, message: string, retryAfterMs = 1_000, headers: AnswerHeaders = {}): HttpError {
  return new HttpError(503, code, message, { ...retryAfter(retryAfterMs), ...headers });
}

/** 429 with `Retry-After`: this caller has more under way, or sends more, than it may now. */
export function tooMany(message: string, retryAfterMs: number): HttpError {
  return new HttpError(429, 'TENANT_LIMIT', message, retryAfter(retryAfterMs));
}

/** `Retry-After` knows whole seconds only; `retry-after-ms` says the same to whoever can wait for less. */
function retryAfter(ms: number): AnswerHeaders {
  return { 'retry-after': String(Math.max(1, Math.ceil(ms / 1_000))), 'retry-after-ms': String(Math.max(1, Math.ceil(ms))) };
}

/** The JSON body of an error. */
export function errorBody(code: string, message: string): string {
  return JSON.stringify({ error: { code, message } });
}

/** Answers with an error; what is not an {@link HttpError} is told by its own status, and never with more than its message. */
export function sendError(error: FastifyError | HttpError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = asHttpError(error);
  return reply
    .code(known.status)
    .headers(known.headers)
    .type('application/json; charset=utf-8')
    .send(errorBody(known.code, known.message));
}

/** Any error as one that can be answered with: of what we did not expect, nothing is told. */
export function asHttpError(error: FastifyError | HttpError): HttpError {
  return error instanceof HttpError ? error : fromFramework(error);
}

function fromFramework(error: FastifyError): HttpError {
  if (error.code === 'FST_ERR_BAD_URL')
    return new HttpError(400, 'INVALID_URL', 'the path of the URL is not valid percent-encoded UTF-8');
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new HttpError(415, 'UNSUPPORTED_TYPE', 'no body of this content-type is taken here; send the request without one');
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) return new HttpError(status, 'BAD_REQUEST', error.message);
  return new HttpError(500, 'INTERNAL', 'the gateway failed to answer this request; its log says why');
}

/** 405, with `Allow`: the methods that a path takes, and the one that it was asked with. */
export function methodNotAllowed(allowed: readonly string[], method: string): HttpError {
  const others = allowed.slice(0, -1).join(', ');
  const listed = others === '' ? allowed[0] : `${others} or ${allowed.at(-1)}`;
  return new HttpError(405, 'METHOD_NOT_ALLOWED', `use ${listed}, not ${method}`, { allow: allowed.join(', ') });
}
