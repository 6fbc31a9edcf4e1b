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

/** An allowance of what `maxBytes` answers when it is asked. */
export function createBodyAllowance(maxBytes: () => number): BodyAllowance {
  let held = 0;
  return {
    get heldBytes() {
      return held;
    },
    take(bytes) {
      if (held + bytes > maxBytes()) return false;
      held += bytes;
      return true;
    },
    give(bytes) {
      held -= bytes;
    },
  };
}

/**
 * Reads a body and runs `use` with it; the memory that holds it counts against the allowance until `use` has ended.
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
    const announced = gzip ? 0 : Number(request.headers['content-length'] ?? 0);
    const block = createBlock(announced > 0 ? announced : limits.maxBodyBytes, take);
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
      if (block.bytes + chunk.length > limits.maxBodyBytes) stop(tooLarge(limits));
      else if (!block.add(chunk))
        stop(overloaded('OVERLOADED', 'too many bytes of requests are under way; send this one again later'));
    };
    source.on('data', onData);
    source.once('end', () => resolve(block.content()));
    // The listener stays for good: a late error of a stream that was given up must not crash the process.
    request.on('error', () =>
      stop(new HttpError(400, 'INCOMPLETE_BODY', 'the connection ended before the whole body had arrived')),
    );
    if (gunzip === undefined) return;
    gunzip.on('error', () =>
      stop(new HttpError(400, 'INVALID_GZIP', 'content-encoding says gzip, but the body is not a whole gzip stream')),
    );
    // Empty members of gzip inflate to nothing: only what arrives bounds them.
    let arrived = 0;
    request.on('data', (chunk: Buffer) => {
      arrived += chunk.length;
      if (arrived > limits.maxBodyBytes && !gunzip.destroyed) stop(tooLarge(limits));
    });
    request.pipe(gunzip);
  });
}

/** A body as one block that grows: whoever sends it a byte at a time must not cost a buffer for each. */
interface Block {
  readonly bytes: number;
  /** Copies a chunk in; false when there is no room for it. */
  add(chunk: Buffer): boolean;
  content(): Buffer;
}

/** The block doubles, up to the length that is known or allowed; `take` is asked for all that it holds, filled or not. */
function createBlock(maxBytes: number, take: (bytes: number) => boolean): Block {
  let block: Buffer = Buffer.alloc(0);
  let bytes = 0;
  return {
    get bytes() {
      return bytes;
    },
    add(chunk) {
      const needed = bytes + chunk.length;
      if (needed > block.length) {
        const capacity = bytes === 0 ? needed : Math.max(needed, Math.min(2 * block.length, maxBytes));
        if (!take(capacity - block.length)) return false;
        // Most bodies are one chunk, which need not be copied, unless it is a slice that keeps a larger buffer alive.
        const grown = bytes === 0 && chunk.buffer.byteLength === chunk.length ? chunk : Buffer.allocUnsafeSlow(capacity);
        block.copy(grown, 0, 0, bytes);
        block = grown;
      }
      if (block !== chunk) chunk.copy(block, bytes);
      bytes = needed;
      return true;
    },
    content: () => block.subarray(0, bytes),
  };
}

function tooLarge(limits: GatewayLimits): HttpError {
  return new HttpError(
    413,
    'BODY_TOO_LARGE',
    `expected a body of at most ${limits.maxBodyBytes} bytes, before and after inflation; send the items in several requests`,
  );
}
