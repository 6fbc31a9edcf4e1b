/** Protocol: what HTTP/1.1 itself demands of a request, refused as JSON where Node would answer with an empty body. */

import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { HttpError } from './http-error.js';

/** Options of a server whose requests {@link refuseProtocolErrors} looks at. */
export const protocolOptions = { requireHostHeader: false } as const;

/**
 * How long a request may take to arrive: its headers at most a minute. Node looks at its connections every 30 seconds unless told
 * otherwise, so that a bound of one second would be one of half a minute.
 */
export function timeouts(requestTimeoutMs: number) {
  return {
    requestTimeout: requestTimeoutMs,
    headersTimeout: Math.min(60_000, requestTimeoutMs),
    connectionsCheckingInterval: Math.min(30_000, Math.max(50, requestTimeoutMs / 4)),
  };
}

/** Refuses a request without `Host` with 400, and an unknown `Expect` with 417. The server needs {@link protocolOptions}. */
export function refuseProtocolErrors(app: FastifyInstance): void {
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.addHook('onRequest', async (request) => {
    const problem = protocolProblem(request.raw);
    if (problem !== undefined) throw problem;
  });
}

/** What HTTP/1.1 refuses in a request, if anything. */
export function protocolProblem({ headers, httpVersionMajor, httpVersionMinor }: IncomingMessage): HttpError | undefined {
  if (httpVersionMajor !== 1 || httpVersionMinor < 1) return undefined;
  if (headers.host === undefined) return refusal(400, 'MISSING_HOST', 'expected the header Host, which HTTP/1.1 demands');
  // Node has answered an Expect that it knows.
  if (headers.expect === undefined || /(?:^|\W)100-continue(?:$|\W)/i.test(headers.expect)) return undefined;
  return refusal(417, 'EXPECTATION_FAILED', 'expected no header Expect other than 100-continue; send the request without it');
}

/** The body may or may not follow: what comes next on the connection cannot be told from it. */
function refusal(status: number, code: string, message: string): HttpError {
  return new HttpError(status, code, message, { connection: 'close' });
}
