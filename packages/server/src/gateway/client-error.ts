/** What the HTTP parser refuses before there is a request, answered as JSON like everything else. */

import type { Socket } from 'node:net';
import { errorBody } from './http-error.js';
import type { GatewayLimits } from './limits.js';

/** The handler of a server's `clientError`. */
export function clientError(limits: GatewayLimits): (error: Error, socket: Socket) => void {
  return (thrown, socket) => {
    const error: ParserError = thrown;
    // After a reset there is nobody to answer; the parser may also fail while an answer is being written.
    if (error.code === 'ECONNRESET' || socket.destroyed) return;
    const { status, code, message } = problem(error, limits);
    const body = errorBody(code, message);
    if (socket.writable) {
      const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}`;
      socket.write(`${head}\r\nConnection: close\r\n\r\n${body}`);
    }
    socket.destroySoon();
  };
}

type ParserError = Error & { readonly code?: string; readonly rawPacket?: Buffer };

function problem(error: ParserError, limits: GatewayLimits): { status: string; code: string; message: string } {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return {
      status: '408 Request Timeout',
      code: 'REQUEST_TIMEOUT',
      message: `the request did not arrive within ${limits.requestTimeoutMs} ms`,
    };
  }
  if (error.code !== 'HPE_HEADER_OVERFLOW')
    return { status: '400 Bad Request', code: 'BAD_REQUEST', message: 'this is not a valid HTTP request' };
  const start = error.rawPacket?.subarray(0, limits.maxUrlBytes).toString('latin1') ?? '';
  if (!start.includes('\n')) {
    return { status: '414 URI Too Long', code: 'URL_TOO_LONG', message: `expected a URL of at most ${limits.maxUrlBytes} bytes` };
  }
  return {
    status: '431 Request Header Fields Too Large',
    code: 'HEADERS_TOO_LARGE',
    message: 'the headers of the request are too large',
  };
}
