/** Rows in the formats of COPY and unnest(): what goes in comes back, and what cannot is refused by item. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { columnArrays } from './arrays.js';
import type { ColumnType, Kind } from './catalogue.js';
import { binaryRows } from './copy-binary.js';
import { copyLine, textChunks, textRows, type WrittenColumn } from './rows.js';

const noLimit = 1 << 30;

function columnOf<T>(type: ColumnType, value: (item: T) => unknown): WrittenColumn<T> {
  const sql = { typeText: '', castText: '', stageText: '', typeOid: 0, notNull: false, hasDefault: false, generated: false };
  return {
    ...sql,
    isForeign: false,
    isAlikeInStage: true,
    name: 'c',
    collate: '',
    type,
    value: value as WrittenColumn<T>['value'],
  };
}

/** One row of these values, in the text format. */
function line(values: readonly unknown[], kind: Kind = 'text'): string {
  const columns = values.map((value) => columnOf<null>({ kind }, () => value));
  const { fields } = textRows([null], columns, noLimit);
  return textChunks(fields.map(copyLine)).join('');
}

function refusalOf(value: unknown, kind: Kind = 'text'): string | undefined {
  const columns = [columnOf<null>({ kind }, () => value)];
  const [inText, inBinary] = [textRows([null], columns, noLimit), binaryRows([null], columns, noLimit, 0)];
  const refused = inText.refused.get(0)?.message;
  // Both formats refuse the same, but binary may leave what it takes to text.
  if (inBinary !== undefined || refused !== undefined) expect(inBinary?.refused.get(0)?.message).toBe(refused);
  return refused;
}

/** The text format as the manual defines it: what the server reads from a line. */
function decode(text: string): (string | null)[][] {
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  const letters: Record<string, string> = { t: '\t', n: '\n', r: '\r', '\\': '\\' };
  return lines.map((row) =>
    row
      .split('\t')
      .map((field) => (field === '\\N' ? null : field.replace(/\\(.)/g, (_, letter: string) => letters[letter] ?? `?${letter}`))),
  );
}

describe('the text format of COPY', () => {
  test('escapes the backslash and the separators, and nothing else', () => {
    expect(line(['a\\b', 'a\tb', 'a\nb', 'a\rb', '"\'é😀', '', null, undefined])).toBe(
      'a\\\\b\ta\\tb\ta\\nb\ta\\rb\t"\'é😀\t\t\\N\t\\N\n',
    );
    expect(line(['\\.', '\\N'])).toBe('\\\\.\t\\\\N\n');
  });

  test('any text and null come back as they were', () => {
    const text = fc.option(fc.oneof(fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[\\\t\n\rNx."]*$/)), { nil: null });
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { minLength: 1 }), (rows) => {
        const clean = rows.map((row) => row.map((value) => value?.replaceAll('\0', '') ?? null));
        expect(decode(textChunks(clean.map(copyLine)).join(''))).toEqual(clean);
      }),
    );
  });

  test('writes numbers, booleans, bytes, dates, JSON and arrays as PostgreSQL reads them', () => {
    const bytes = Buffer.from([9, 9, 0, 255]).subarray(1);
    expect(line([1.5, -0, 1e21, Number.NaN, 2n ** 70n, true, false])).toBe(
      '1.5\t0\t1e+21\tNaN\t1180591620717411303424\ttrue\tfalse\n',
    );
    expect(line([bytes])).toBe('\\\\x0900ff\n');
    expect(
      line([new Date('2024-02-29T01:02:03.004Z'), new Date('+012345-01-02T00:00:00Z'), new Date('-000043-03-15T00:00:00Z')]),
    ).toBe('2024-02-29T01:02:03.004Z\t12345-01-02T00:00:00.000Z\t0044-03-15T00:00:00.000Z BC\n');
    expect(line([{ a: [1, 'b'] }, '{"a":1}', Buffer.from('[2]'), 5, true, [1]], 'jsonb')).toBe(
      '{"a":[1,"b"]}\t{"a":1}\t[2]\t5\ttrue\t[1]\n',
    );
    const { fields } = textRows(
      [['a"b', null, 'NULL', '', 'x,y', '\\']],
      [columnOf({ kind: 'other', element: { kind: 'text', oid: 25 } }, (v) => v)],
      noLimit,
    );
    expect(fields).toEqual([['{"a\\"b",NULL,"NULL","","x,y","\\\\"}']]);
  });

  test('cuts large batches into chunks of whole rows of 64 KiB or more', () => {
    const chunks = textChunks(Array.from({ length: 1000 }, () => `${'x'.repeat(999)}\n`));
    expect(chunks.length).toBeGreaterThan(10);
    for (const chunk of chunks.slice(0, -1)) {
      expect(chunk.length).toBeGreaterThanOrEqual(64 * 1024);
      expect(chunk.at(-1)).toBe(10);
    }
    expect(Buffer.concat(chunks).length).toBe(1_000_000);
  });
});

describe('what cannot be a row', () => {
  test('is refused in words that name the column', () => {
    expect(refusalOf('a\0b')).toBe('column c: PostgreSQL text cannot hold a NUL character.');
    expect(refusalOf(`${'x'.repeat(100)}\0`)).toMatch(/NUL/);
    expect(refusalOf('\ud83d')).toMatch(/surrogate/);
    expect(refusalOf(`\ude00\ud83d${'x'.repeat(100)}`)).toMatch(/surrogate/);
    expect(refusalOf(new Date(Number.NaN), 'timestamptz')).toMatch(/invalid/);
    expect(refusalOf({})).toMatch(/got object/);
    expect(refusalOf(['a'])).toMatch(/got an array/);
    expect(refusalOf(Symbol('x'), 'jsonb')).toMatch(/cannot hold a symbol/);
    expect(refusalOf(new Uint8Array([0xff]), 'json')).toMatch(/UTF-8/);
  });

  test('the NUL escape is refused in jsonb alone, and only where it is one', () => {
    expect(refusalOf('{"a":"\\u0000"}', 'jsonb')).toMatch(/jsonb/);
    expect(refusalOf(Buffer.from('{"a":"\\u0000"}'), 'jsonb')).toMatch(/jsonb/);
    expect(refusalOf({ a: '\0' }, 'jsonb')).toMatch(/jsonb/);
    expect(refusalOf('{"a":"\\\\\\u0000"}', 'jsonb')).toMatch(/jsonb/);
    expect(refusalOf('{"a":"\\\\u0000"}', 'jsonb')).toBeUndefined();
    expect(refusalOf('{"a":"\\u0000"}', 'json')).toBeUndefined();
  });

  test('is refused item by item: the others are rows, in order', () => {
    const column = columnOf<string>({ kind: 'text' }, (item) => {
      if (item === 'throw') throw new TypeError('no such member');
      return item;
    });
    const items = ['a', 'b\0', 'c', 'throw', 'x'.repeat(200)];
    const { fields, refused } = textRows(items, [column], 100);
    expect(fields).toEqual([['a'], ['c']]);
    expect([...refused].map(([index, { code }]) => [index, code])).toEqual([
      [1, 'INVALID_VALUE'],
      [3, 'INVALID_VALUE'],
      [4, 'ITEM_TOO_LARGE'],
    ]);
    expect(refused.get(3)?.cause).toBeInstanceOf(TypeError);
    const binary = binaryRows(items, [column], 100, 0);
    expect(binary?.rows).toBe(2);
    expect([...(binary?.refused ?? [])].map(([index, { code }]) => [index, code])).toEqual(
      [...refused].map(([index, { code }]) => [index, code]),
    );
    // What was refused left nothing behind: two rows of one field.
    expect(binary?.data.subarray(19)).toEqual(Buffer.from([0, 1, 0, 0, 0, 1, 97, 0, 1, 0, 0, 0, 1, 99, 255, 255]));
  });
});

test('R-142: the binary format begins with its signature, 32 bits of flags and an empty extension, and ends with -1', () => {
  const binary = binaryRows([], [columnOf<null>({ kind: 'text' }, () => '')], noLimit, 0);
  expect(binary?.data).toEqual(Buffer.from('5047434f50590aff0d0a00 00000000 00000000 ffff'.replaceAll(' ', ''), 'hex'));
});

test('a value that only the server can read sends the batch as text', () => {
  const inBinary = (kind: Kind, value: unknown) =>
    binaryRows([null], [columnOf<null>({ kind }, () => value)], noLimit, 0) !== undefined;
  expect(inBinary('timestamptz', 'tomorrow')).toBe(false);
  expect(inBinary('timestamptz', '2024-02-30T00:00:00Z')).toBe(false);
  expect(inBinary('timestamptz', '2024-02-29T23:59:59.123456+05:30')).toBe(true);
  expect(inBinary('int4', 2 ** 31)).toBe(false);
  expect(inBinary('int4', 1.5)).toBe(false);
  expect(inBinary('int8', 2n ** 63n)).toBe(false);
  expect(inBinary('numeric', 'NaN')).toBe(false);
  expect(inBinary('numeric', 1e-7)).toBe(false);
  expect(inBinary('float4', 1e300)).toBe(false);
  expect(inBinary('bool', 'yes')).toBe(false);
  expect(inBinary('uuid', 'not one')).toBe(false);
});

test('columns become array literals, element by element in quotes', () => {
  expect(
    columnArrays(
      [
        ['a', null],
        ['b"c', '\\'],
        ['', 'NULL'],
      ],
      2,
    ),
  ).toEqual(['{"a","b\\"c",""}', '{NULL,"\\\\","NULL"}']);
});
