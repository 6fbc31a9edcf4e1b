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
 * @throws HttpError as {@link readBody} tells.
 */
export async function withBody<T>(
  request: IncomingMessage,
  gzip: boolean,
  limits: GatewayLimits,
  allowance: BodyAllowance,
  use: (body: Buffer) => Promise<T>,
): Promise<T> {
  let held: HeldBody | undefined;
  try {
    return await use(
      await new Promise((onBody, onBodyFailed) => {
        held = readBody(request, gzip, limits, allowance, { onBody, onBodyFailed });
      }),
    );
  } finally {
    held?.release();
  }
}

/** Who is told of a body, once: an object rather than functions, because there is one for each of many small requests. */
export interface BodyListener {
  onBody(body: Buffer): void;
  onBodyFailed(error: HttpError): void;
}

/** The memory that holds a body. */
export interface HeldBody {
  /** Gives it back to the allowance, once, whether or not the body is there. */
  release(): void;
}

/**
 * Reads a body. The memory that holds it counts against the allowance until it is released.
 *
 * The listener is told of an HttpError 413 above `maxBodyBytes` (before or after inflation), 400 when the gzip is broken or the client
 * left, 503 without room.
 *
 * @throws HttpError 413 when more is announced.
 */
export function readBody(
  request: IncomingMessage,
  gzip: boolean,
  limits: GatewayLimits,
  allowance: BodyAllowance,
  listener: BodyListener,
): HeldBody {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limits.maxBodyBytes) throw tooLarge(limits);
  const reader = new BodyReader(request, gzip || announced === 0 ? limits.maxBodyBytes : announced, limits, allowance, listener);
  // The listener stays for good: a late error of a stream that was given up must not crash the process.
  request.on('error', (error) => reader.stop(error instanceof HttpError ? error : incomplete()));
  if (gzip) inflate(request, reader, limits);
  else reader.follow(request);
  return reader;
}

/** Hands what a request carries to a reader by way of gunzip. */
function inflate(request: IncomingMessage, reader: BodyReader, limits: GatewayLimits): void {
  const gunzip = createGunzip();
  reader.follow(gunzip);
  gunzip.on('error', () =>
    reader.stop(new HttpError(400, 'INVALID_GZIP', 'content-encoding says gzip, but the body is not a whole gzip stream')),
  );
  // Empty members of gzip inflate to nothing: only what arrives bounds them.
  let arrived = 0;
  request.on('data', (chunk: Buffer) => {
    arrived += chunk.length;
    if (arrived > limits.maxBodyBytes) reader.stop(tooLarge(limits));
  });
  request.pipe(gunzip);
}

/**
 * A body as one block that grows: whoever sends it a byte at a time must not cost a buffer for each. The block doubles, up to the length
 * that is known or allowed; the allowance is asked for all that it holds, filled or not.
 *
 * A class because there is one a request: what it holds lives until the events are on disk.
 */
class BodyReader implements HeldBody {
  readonly #request: IncomingMessage;
  readonly #mostBytes: number;
  readonly #limits: GatewayLimits;
  readonly #allowance: BodyAllowance;
  readonly #listener: BodyListener;
  #source: Readable | undefined;
  #block: Buffer = noBytes;
  #bytes = 0;
  #held = 0;

  constructor(
    request: IncomingMessage,
    mostBytes: number,
    limits: GatewayLimits,
    allowance: BodyAllowance,
    listener: BodyListener,
  ) {
    this.#request = request;
    this.#mostBytes = mostBytes;
    this.#limits = limits;
    this.#allowance = allowance;
    this.#listener = listener;
  }

  /** Reads the body from the request itself, or from what inflates it. */
  follow(source: Readable): void {
    this.#source = source;
    source.on('data', (chunk: Buffer) => this.#add(chunk));
    source.on('end', () => this.#end());
  }

  /** Tells of an error, unless the body is there, or an error was told. */
  stop(error: HttpError): void {
    const source = this.#source;
    if (source === undefined) return;
    this.#source = undefined;
    if (source !== this.#request) {
      this.#request.unpipe();
      source.destroy();
    }
    // What still arrives is read and thrown away: closing with unread bytes would reset the connection before the answer is read.
    this.#request.resume();
    this.#block = noBytes;
    this.release();
    this.#listener.onBodyFailed(error);
  }

  release(): void {
    this.#allowance.give(this.#held);
    this.#held = 0;
  }

  #add(chunk: Buffer): void {
    if (this.#source === undefined) return;
    if (this.#bytes + chunk.length > this.#limits.maxBodyBytes) this.stop(tooLarge(this.#limits));
    else if (!this.#fits(chunk))
      this.stop(overloaded('OVERLOADED', 'too many bytes of requests are under way; send this one again later'));
  }

  #end(): void {
    if (this.#source === undefined) return;
    this.#source = undefined;
    const block = this.#block;
    this.#block = noBytes;
    this.#listener.onBody(block.length === this.#bytes ? block : block.subarray(0, this.#bytes));
  }

  /** Copies a chunk in; false when there is no room for it. */
  #fits(chunk: Buffer): boolean {
    const bytes = this.#bytes;
    const block = this.#block;
    const needed = bytes + chunk.length;
    if (needed > block.length) {
      const capacity = bytes === 0 ? needed : Math.max(needed, Math.min(2 * block.length, this.#mostBytes));
      const more = capacity - block.length;
      if (!this.#allowance.take(more)) return false;
      this.#held += more;
      // Most bodies are one chunk, which need not be copied, unless it is a slice that keeps a larger buffer alive.
      const grown = bytes === 0 && chunk.buffer.byteLength === chunk.length ? chunk : Buffer.allocUnsafeSlow(capacity);
      block.copy(grown, 0, 0, bytes);
      this.#block = grown;
    }
    if (this.#block !== chunk) chunk.copy(this.#block, bytes);
    this.#bytes = needed;
    return true;
  }
}

const noBytes = Buffer.alloc(0);

function incomplete(): HttpError {
  return new HttpError(400, 'INCOMPLETE_BODY', 'the connection ended before the whole body had arrived');
}

function tooLarge(limits: GatewayLimits): HttpError {
  return new HttpError(
    413,
    'BODY_TOO_LARGE',
    `expected a body of at most ${limits.maxBodyBytes} bytes, before and after inflation; send the items in several requests`,
  );
}
