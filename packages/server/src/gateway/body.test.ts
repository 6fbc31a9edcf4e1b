/** What a body costs while it is read. */

import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { createBodyAllowance, withBody } from './body.js';
import { defaultLimits } from './limits.js';

const mebibyte = 1024 * 1024;

/** A request whose body comes in these chunks. */
function request(chunks: Iterable<Buffer>, headers: Record<string, string> = {}): IncomingMessage {
  const stream = Object.assign(new PassThrough({ highWaterMark: 64 * mebibyte }), { headers });
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  return stream as unknown as IncomingMessage;
}

/** A body cut to pieces of this many bytes, each with a memory of its own, as Node's parser gives them. */
function* pieces(body: Buffer, bytes: number): Generator<Buffer> {
  for (let at = 0; at < body.length; at += bytes) yield Buffer.concat([body.subarray(at, at + bytes)]);
}

test('a body in chunks of one byte is held in one block, no larger than twice the body, and all of that is charged', async () => {
  const allowance = createBodyAllowance(() => mebibyte);
  const body = Buffer.from(Array.from({ length: 100_001 }, (_, i) => i % 251));
  await withBody(request(pieces(body, 1)), false, defaultLimits, allowance, async (read) => {
    expect(read.equals(body)).toBe(true);
    expect(read.buffer.byteLength).toBeLessThanOrEqual(2 * body.length);
    expect(allowance.heldBytes).toBe(read.buffer.byteLength);
  });
  expect(allowance.heldBytes).toBe(0);
});

test('no chunk is kept: each is copied as it comes', async () => {
  const stream = Object.assign(new PassThrough(), { headers: {} });
  const chunks = ['first ', 'second ', 'third'].map((text) => Buffer.concat([Buffer.from(text)]));
  const body = withBody(
    stream as unknown as IncomingMessage,
    false,
    defaultLimits,
    createBodyAllowance(() => mebibyte),
    async (read) => String(read),
  );
  for (const chunk of chunks) stream.write(chunk);
  while (stream.readableLength > 0) await new Promise(setImmediate);
  for (const chunk of chunks) chunk.fill('-');
  stream.end();
  expect(await body).toBe('first second third');
});

test.each([1, 7, 1_000, 65_536, 200_000])('a body of a known length in chunks of %i bytes costs just that', async (bytes) => {
  const allowance = createBodyAllowance(() => mebibyte);
  const body = Buffer.from(Array.from({ length: 150_000 }, (_, i) => i % 251));
  const headers = { 'content-length': String(body.length) };
  await withBody(request(pieces(body, bytes), headers), false, defaultLimits, allowance, async (read) => {
    expect(read.equals(body)).toBe(true);
    expect(allowance.heldBytes).toBe(body.length);
  });
  expect(allowance.heldBytes).toBe(0);
});

test('a chunk that is a slice of a larger buffer does not keep that alive', async () => {
  const allowance = createBodyAllowance(() => mebibyte);
  const slice = Buffer.alloc(mebibyte, 'x').subarray(0, 3);
  await withBody(request([slice]), false, defaultLimits, allowance, async (read) => {
    expect([String(read), read.buffer.byteLength]).toEqual(['xxx', 3]);
  });
});

test('what the block has grown to is refused where there is no room for it', async () => {
  const allowance = createBodyAllowance(() => 1_000);
  const use = () => expect.unreachable();
  await expect(withBody(request(pieces(Buffer.alloc(700), 1)), false, defaultLimits, allowance, use)).rejects.toMatchObject({
    status: 503,
  });
  expect(allowance.heldBytes).toBe(0);
});
