/** Lines: cuts a stream of bytes at its line feeds, in bounded memory, and inflates it when it is gzip. */

import { createGunzip } from 'node:zlib';

/** One line of the input. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without the line feed, otherwise as it is: a carriage return before it belongs to the line. `undefined` when too long. */
  readonly bytes: Buffer | undefined;
}

/** Longest line in bytes: above it the line is refused, since the gateway takes 10 MiB a request. */
export const maxLineBytes = 8 * 1024 * 1024;

const lineFeed = 0x0a;

/** The lines of an input. A last line without a line feed is a line; an empty rest is none. */
export async function* readLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Line, void, undefined> {
  let number = 0;
  let parts: Buffer[] = [];
  let partBytes = 0;
  const take = (part: Buffer): void => {
    partBytes += part.length;
    if (partBytes <= maxLineBytes) parts.push(part);
    else parts = [];
  };
  const finish = (): Line => {
    const bytes = partBytes > maxLineBytes ? undefined : parts.length === 1 ? parts[0]! : Buffer.concat(parts, partBytes);
    parts = [];
    partBytes = 0;
    return { number: ++number, bytes };
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let feed = chunk.indexOf(lineFeed); feed !== -1; feed = chunk.indexOf(lineFeed, start)) {
      take(chunk.subarray(start, feed));
      start = feed + 1;
      yield finish();
    }
    if (start < chunk.length) take(chunk.subarray(start));
  }
  if (partBytes > 0) yield finish();
}

/** The bytes of an input, inflated when they start as gzip does. */
export async function* inflated(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const source = chunks[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await source.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const rest = joined(head, source);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return yield* rest;
  const gunzip = createGunzip();
  const feeding = feed(rest, gunzip);
  for await (const chunk of gunzip) yield chunk as Buffer;
  await feeding;
}

async function* joined(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function feed(chunks: AsyncIterable<Buffer>, gunzip: ReturnType<typeof createGunzip>): Promise<void> {
  try {
    for await (const chunk of chunks) {
      if (gunzip.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        gunzip.once('drain', resolve);
        gunzip.once('close', resolve);
      });
      if (gunzip.destroyed) return;
    }
    gunzip.end();
  } catch (error) {
    gunzip.destroy(error as Error);
  }
}
