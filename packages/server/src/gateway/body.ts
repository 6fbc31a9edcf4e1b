/** Body: what a request carries, read whole and inflated, within two bounds: its own and that of all requests together. */

import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { HttpError, overloaded } from './http-error.js';
import type { GatewayLimits } from './limits.js';

/** Counts the bytes of bodies under way, so that many requests at once cannot exhaust the memory. */
export interface BodyAllowance {
  /** Bytes held now. */
  readonly heldBytes: number;
  /** Takes `bytes` more; false when there is no room for them. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** An allowance of `maxBytes`. */
export function createBodyAllowance(maxBytes: number): BodyAllowance {
  let held = 0;
  return {
    get heldBytes() {
      return held;
    },
    take(bytes) {
      if (held + bytes > maxBytes) return false;
      held += bytes;
      return true;
    },
    give(bytes) {
      held -= bytes;
    },
  };
}

/**
 * Reads a body and runs `use` with it; its bytes count against the allowance until `use` has ended.
 *
 * @throws HttpError 413 above `maxBodyBytes` (before or after inflation), 400 when the gzip is broken or the client left, 503
 * without room.
 */
export async function withBody<T>(
  request: IncomingMessage,
  gzip: boolean,
  limits: GatewayLimits,
  allowance: BodyAllowance,
  use: (body: Buffer) => Promise<T>,
): Promise<T> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limits.maxBodyBytes) throw tooLarge(limits);
  let held = 0;
  const take = (bytes: number): boolean => {
    if (!allowance.take(bytes)) return false;
    held += bytes;
    return true;
  };
  try {
    return await use(await read(request, gzip, limits, take));
  } finally {
    allowance.give(held);
  }
}

function read(request: IncomingMessage, gzip: boolean, limits: GatewayLimits, take: (bytes: number) => boolean): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const gunzip = gzip ? createGunzip() : undefined;
    const source: Readable = gunzip ?? request;
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = (error: Error): void => {
      source.removeListener('data', onData);
      if (gunzip !== undefined) {
        request.unpipe(gunzip);
        gunzip.destroy();
      }
      // What still arrives is read and thrown away: closing with unread bytes would reset the connection before the answer is read.
      request.resume();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > limits.maxBodyBytes) stop(tooLarge(limits));
      else if (take(chunk.length)) chunks.push(chunk);
      else stop(overloaded('OVERLOADED', 'too many bytes of requests are under way; send this one again later'));
    };
    source.on('data', onData);
    source.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)));
    // The listener stays for good: a late error of a stream that was given up must not crash the process.
    request.on('error', () =>
      stop(new HttpError(400, 'INCOMPLETE_BODY', 'the connection ended before the whole body had arrived')),
    );
    if (gunzip === undefined) return;
    gunzip.on('error', () =>
      stop(new HttpError(400, 'INVALID_GZIP', 'content-encoding says gzip, but the body is not a whole gzip stream')),
    );
    request.pipe(gunzip);
  });
}

function tooLarge(limits: GatewayLimits): HttpError {
  return new HttpError(
    413,
    'BODY_TOO_LARGE',
    `expected a body of at most ${limits.maxBodyBytes} bytes after inflation; send the items in several requests`,
  );
}
