/** The text format of COPY: what goes in comes back, and what cannot is refused by item. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeRows } from './copy-text.js';
import type { PostgresValue } from './options.js';

type Columns = Parameters<typeof encodeRows<unknown>>[1];

function encode(values: readonly PostgresValue[], type = 'text'): string {
  const columns: Columns = values.map((value, index) => [`c${index}`, { type, value: () => value }]);
  return Buffer.concat(encodeRows([null], columns).chunks).toString();
}

function refusalOf(value: unknown, type = 'text'): string | undefined {
  const { rows, refused } = encodeRows([null], [['c', { type, value: () => value as PostgresValue }]]);
  expect(rows).toBe(refused === undefined ? 1 : 0);
  return refused?.[0]?.message;
}

/** The text format as the manual defines it: what the server reads from a line. */
function decode(text: string): (string | null)[][] {
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  const letters: Record<string, string> = { t: '\t', n: '\n', r: '\r', '\\': '\\' };
  return lines.map((line) =>
    line
      .split('\t')
      .map((field) => (field === '\\N' ? null : field.replace(/\\(.)/g, (_, letter: string) => letters[letter] ?? `?${letter}`))),
  );
}

describe('encodeRows', () => {
  test('escapes the backslash and the separators, and nothing else', () => {
    expect(encode(['a\\b', 'a\tb', 'a\nb', 'a\rb', '"\'é😀', '', null])).toBe('a\\\\b\ta\\tb\ta\\nb\ta\\rb\t"\'é😀\t\t\\N\n');
    expect(encode(['\\.', '\\N'])).toBe('\\\\.\t\\\\N\n');
  });

  test('any text and null come back as they were', () => {
    const text = fc.option(fc.oneof(fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[\\\t\n\rNx."]*$/)), { nil: null });
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { minLength: 1 }), (rows) => {
        const clean = rows.map(
          (row) => row.map((value) => value?.replaceAll('\0', '') ?? null) as [string | null, string | null],
        );
        const { chunks } = encodeRows(clean, [
          ['a', { type: 'text', value: (row) => row[0] }],
          ['b', { type: 'text', value: (row) => row[1] }],
        ]);
        expect(decode(Buffer.concat(chunks).toString())).toEqual(clean);
      }),
    );
  });

  test('writes numbers, booleans, bytes and dates as PostgreSQL reads them', () => {
    const bytes = Buffer.from([9, 9, 0, 255]).subarray(1);
    expect(encode([1.5, -0, 1e21, Number.NaN, 2n ** 70n, true, false])).toBe(
      '1.5\t0\t1e+21\tNaN\t1180591620717411303424\tt\tf\n',
    );
    expect(encode([bytes])).toBe('\\\\x0900ff\n');
    expect(
      encode([new Date('2024-02-29T01:02:03.004Z'), new Date('+012345-01-02T00:00:00Z'), new Date('-000043-03-15T00:00:00Z')]),
    ).toBe('2024-02-29T01:02:03.004Z\t12345-01-02T00:00:00.000Z\t0044-03-15T00:00:00.000Z BC\n');
  });

  test('refuses what PostgreSQL cannot hold, and says in which column', () => {
    expect(refusalOf('a\0b')).toBe('column c: PostgreSQL text cannot hold a NUL character.');
    expect(refusalOf('\ud83d')).toMatch(/surrogate/);
    expect(refusalOf('\ude00\ud83d')).toMatch(/surrogate/);
    expect(refusalOf(new Date(Number.NaN))).toMatch(/invalid/);
    expect(refusalOf(undefined)).toMatch(/got undefined/);
    expect(refusalOf({})).toMatch(/got object/);
  });

  test('refuses the NUL escape in jsonb alone, and only where it is one', () => {
    expect(refusalOf('{"a":"\\u0000"}', 'jsonb')).toMatch(/jsonb/);
    expect(refusalOf('{"a":"\\\\\\u0000"}', 'JSONB')).toMatch(/jsonb/);
    expect(refusalOf('{"a":"\\\\u0000"}', 'jsonb')).toBeUndefined();
    expect(refusalOf('{"a":"\\u0000"}', 'json')).toBeUndefined();
  });

  test('refuses item by item: the others are encoded, and the results keep the order', () => {
    const { chunks, rows, refused } = encodeRows(
      ['a', 'b\0', 'c', 'throw'],
      [
        [
          'c',
          {
            type: 'text',
            value: (item) => {
              if (item === 'throw') throw new TypeError('no such member');
              return item;
            },
          },
        ],
      ],
    );
    expect(Buffer.concat(chunks).toString()).toBe('a\nc\n');
    expect(rows).toBe(2);
    expect(refused?.map((problem) => problem?.code)).toEqual([undefined, 'INVALID_VALUE', undefined, 'INVALID_VALUE']);
    expect(refused?.[3]?.cause).toBeInstanceOf(TypeError);
  });

  test('cuts large batches into chunks of whole rows of 64 KiB or more', () => {
    const items = Array.from({ length: 1000 }, () => 'x'.repeat(999));
    const { chunks } = encodeRows(items, [['c', { type: 'text', value: (item) => item }]]);
    expect(chunks.length).toBeGreaterThan(10);
    for (const chunk of chunks.slice(0, -1)) {
      expect(chunk.length).toBeGreaterThanOrEqual(64 * 1024);
      expect(chunk.at(-1)).toBe(10);
    }
    expect(Buffer.concat(chunks).length).toBe(1_000_000);
  });

  test('nothing to write is no chunk', () => {
    expect(encodeRows([], [['c', { type: 'text', value: () => '' }]])).toEqual({ chunks: [], rows: 0, refused: undefined });
  });
});
