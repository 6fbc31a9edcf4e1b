/** What the HTTP parser refuses before there is a request, answered as JSON like everything else. */

import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { lastResponseOn, responsesOn, whenGone } from './departure.js';
import { errorBody, HttpError } from './http-error.js';
import type { GatewayLimits } from './limits.js';

type KnownLimits = Pick<GatewayLimits, 'maxUrlBytes' | 'requestTimeoutMs'>;

/**
 * The handler of a server's `clientError`. The refusal comes behind the answers to the good requests before it: in their place a client
 * would take it for the answer to one of them.
 */
export function clientError(limits: KnownLimits): (error: Error, socket: Socket) => void {
  const refused = new WeakSet<Socket>();
  return (thrown, socket) => {
    const error: ParserError = thrown;
    // After a reset there is nobody to answer; what follows a refusal is refused with it.
    if (error.code === 'ECONNRESET' || socket.destroyed || refused.has(socket)) return;
    refused.add(socket);
    const last = lastResponseOn(socket);
    const cut = last?.req.complete === false ? last : undefined;
    const ahead = responsesOn(socket).filter((response) => response !== cut);
    // An endless answer is not waited for, nor is anything put into the middle of it.
    if (ahead.some((response) => response.headersSent && !response.writableEnded)) return void socket.destroy();
    // What has arrived of its body is let go now, not when those ahead have their answers: whoever reads it answers, in its turn.
    if (ahead.length > 0 && cut !== undefined && cut.req.listenerCount('error') > 0)
      cut.req.emit('error', asHttpError(error, limits));
    let left = ahead.length + 1;
    const answered = (): void => {
      if (--left > 0 || socket.destroyed) return;
      // A request that was refused before its body had arrived has its answer, or gets it now.
      if (socket.writable && cut?.headersSent !== true) socket.write(refusal(error, limits));
      socket.destroySoon();
    };
    for (const response of ahead) whenGone(response, answered);
    answered();
  };
}

function refusal(error: ParserError, limits: KnownLimits): string {
  const { status, code, message } = asHttpError(error, limits);
  const body = errorBody(code, message);
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}`;
  return `${head}\r\nConnection: close\r\n\r\n${body}`;
}

type ParserError = Error & { readonly code?: string; readonly rawPacket?: Buffer };

function asHttpError(error: ParserError, limits: KnownLimits): HttpError {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return lastAnswer(408, 'REQUEST_TIMEOUT', `the request did not arrive within ${limits.requestTimeoutMs} ms`);
  if (error.code !== 'HPE_HEADER_OVERFLOW') return lastAnswer(400, 'BAD_REQUEST', 'this is not a valid HTTP request');
  return isUrlTooLong(error.rawPacket?.toString('latin1') ?? '', limits)
    ? lastAnswer(
        414,
        'URL_TOO_LONG',
        `expected a URL of at most ${limits.maxUrlBytes} bytes, and headers of at most 64 KiB with it`,
      )
    : lastAnswer(431, 'HEADERS_TOO_LARGE', 'the headers of the request are too large');
}

/** It says that its connection closes: whoever reads a body answers with it as with any other refusal. */
function lastAnswer(status: number, code: string, message: string): HttpError {
  return new HttpError(status, code, message, { connection: 'close' });
}

/**
 * Whether it is the URL that is too long, by the packet at which the parser gave up: Node keeps no more. In the midst of one long word nobody
 * can tell, and whoever asks for too many keys can do more about it than whoever has too large a cookie.
 */
function isUrlTooLong(packet: string, { maxUrlBytes }: KnownLimits): boolean {
  const end = packet.indexOf('\n');
  if (end === -1) return true;
  const [, start, url] = /^([A-Z]+ )?(\S*) HTTP\/\d\.\d\r?$/.exec(packet.slice(0, end)) ?? [];
  return url !== undefined && (start === undefined || url.length > maxUrlBytes);
}
