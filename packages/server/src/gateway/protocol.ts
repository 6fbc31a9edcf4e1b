/** Protocol: what HTTP/1.1 itself demands of a request, refused as JSON where Node would answer with an empty body. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
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

/**
 * Refuses what {@link protocolProblem} finds, and lets no header be lost: Node would drop those behind the thousandth without a word, a
 * coding or a key among them. The bytes of all bound them. The server needs {@link protocolOptions}.
 */
export function refuseProtocolErrors(app: FastifyInstance): void {
  app.server.maxHeadersCount = 0;
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.addHook('onRequest', async (request) => {
    const problem = protocolProblem(request.raw);
    if (problem !== undefined) throw problem;
  });
}

/** Takes the origin from a URL that is absolute (RFC 9112, section 3.2.2): whatever host it names, it was sent here. */
export function toOriginForm(request: IncomingMessage): void {
  const { url = '' } = request;
  if (url.charCodeAt(0) === slash) return;
  const origin = /^https?:\/\/[^/?#]*/i.exec(url);
  if (origin === null) return;
  const rest = url.slice(origin[0].length);
  request.url = rest.charCodeAt(0) === slash ? rest : `/${rest}`;
}

const slash = 47;

/**
 * Answers `Expect: 100-continue`, for a handler of `checkContinue`: whoever asks before it sends a body is told to send it, unless `begin` has
 * refused the request already. Then the connection ends with the answer, for nobody knows whether a body follows.
 */
export function continueUnlessRefused(response: ServerResponse, begin: () => void): void {
  const { shouldKeepAlive } = response;
  response.shouldKeepAlive = false;
  begin();
  if (response.headersSent) return;
  response.shouldKeepAlive = shouldKeepAlive;
  response.writeContinue();
}

/**
 * What HTTP/1.1 refuses in a request, if anything: a version, a coding or an `Expect` that nobody here knows, no `Host` or several. Nothing
 * behind such a request on its connection is acted on, for where it ends may be seen otherwise by a proxy in front.
 */
export function protocolProblem(request: IncomingMessage): HttpError | undefined {
  const socket: Refused = request.socket;
  const problem = socket[refused] === true ? behindRefused() : problemOf(request);
  if (problem !== undefined) socket[refused] = true;
  return problem;
}

/** A property of the socket, and not a WeakSet of sockets: it is asked for with each request. */
const refused = Symbol('a request of the connection was refused');

interface Refused extends Socket {
  [refused]?: true;
}

/** Its answer is never sent: the connection ends with the one before. */
function behindRefused(): HttpError {
  return refusal(400, 'BAD_REQUEST', 'a request before this one on the connection was refused');
}

function problemOf({ headers, rawHeaders, httpVersionMajor, httpVersionMinor }: IncomingMessage): HttpError | undefined {
  if (httpVersionMajor !== 1) return refusal(505, 'HTTP_VERSION_NOT_SUPPORTED', 'expected HTTP/1.1 or HTTP/1.0');
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && httpVersionMinor === 0)
    return refusal(400, 'BAD_REQUEST', 'expected Content-Length, for HTTP/1.0 has no Transfer-Encoding');
  if (coding !== undefined && coding.toLowerCase() !== 'chunked')
    return refusal(
      501,
      'UNKNOWN_CODING',
      'expected Transfer-Encoding to be chunked and nothing else; Content-Encoding says gzip',
    );
  if (hostsIn(rawHeaders) > 1) return refusal(400, 'SEVERAL_HOSTS', 'expected one header Host, got several');
  if (httpVersionMinor === 0) return undefined;
  if (headers.host === undefined) return refusal(400, 'MISSING_HOST', 'expected the header Host, which HTTP/1.1 demands');
  // Node has answered an Expect that it knows.
  if (headers.expect === undefined || /(?:^|\W)100-continue(?:$|\W)/i.test(headers.expect)) return undefined;
  return refusal(417, 'EXPECTATION_FAILED', 'expected no header Expect other than 100-continue; send the request without it');
}

/** Of several, `headers` keeps the first. */
function hostsIn(rawHeaders: readonly string[]): number {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts;
}

/** The body may or may not follow: what comes next on the connection cannot be told from it. */
function refusal(status: number, code: string, message: string): HttpError {
  return new HttpError(status, code, message, { connection: 'close' });
}
