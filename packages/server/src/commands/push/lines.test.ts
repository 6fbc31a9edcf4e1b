import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inflated, readLines } from './lines.js';

async function* inChunks(bytes: Buffer, chunkBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

async function linesOf(chunks: AsyncIterable<Buffer>): Promise<string[]> {
  const lines: string[] = [];
  for await (const { number, bytes } of readLines(chunks)) {
    expect(number).toBe(lines.length + 1);
    lines.push(bytes?.toString('latin1') ?? 'too long');
  }
  return lines;
}

test('lines come out as they went in, wherever the chunks are cut, gzip or not', async () => {
  const text = fc.array(fc.string({ unit: fc.constantFrom('a', '\r', '\n', '\0', '\u00ff') })).map((parts) => parts.join('\n'));
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 1, max: 7 }), fc.boolean(), async (input, chunkBytes, gzip) => {
      const expected = input.split('\n');
      if (expected.at(-1) === '') expected.pop();
      const bytes = Buffer.from(input, 'latin1');
      const chunks = inflated(inChunks(gzip ? gzipSync(bytes) : bytes, chunkBytes));
      expect(await linesOf(chunks)).toEqual(expected);
    }),
    { numRuns: 200 },
  );
});

test('input that starts like gzip and is not, is an error', async () => {
  await expect(linesOf(inflated(inChunks(Buffer.from([0x1f, 0x8b, 1, 2, 3]), 2)))).rejects.toMatchObject({
    code: 'Z_DATA_ERROR',
  });
});

test('one byte is a line', async () => {
  expect(await linesOf(inflated(inChunks(Buffer.from('x'), 1)))).toEqual(['x']);
});
