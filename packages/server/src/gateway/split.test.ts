import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memberText } from './member.js';
import { splitItems } from './split.js';
import { isTooDeep, textProblem } from './text.js';

const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/);
// Values whose text holds everything that could mislead the scanner.
const value = fc
  .jsonValue()
  .chain((json) => fc.constantFrom(JSON.stringify(json), JSON.stringify(json, null, 2), JSON.stringify({ '"],[{\\': json })));

test('an array is cut into the texts of its elements', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(space, value, space), { minLength: 1 }), space, (elements, around) => {
      const body = `${around}[${elements.map((parts) => parts.join('')).join(',')}]${around}`;
      expect(splitItems(Buffer.from(body), 'json', 1_000).map(String)).toEqual(elements.map(([, text]) => text));
    }),
  );
});

test('any bytes are cut or refused, and never crash', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('[', ']', '{', '}', ',', '"', '\\', ':', '1', ' ') }), (body) => {
      const whole = parsed(`[${body}]`);
      const items = split(`[${body}]`);
      if (Array.isArray(items) && items.every((item) => parsed(item) !== undefined)) expect(items.map(parsed)).toEqual(whole);
      else expect(whole === undefined || (whole as unknown[]).length === 0).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

test('the text of a member is found where JSON.parse finds its value', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom('id', 'a', '"id":', 'ï'), fc.jsonValue()), fc.boolean(), (object, indented) => {
      const json = Buffer.from(JSON.stringify(object, null, indented ? 1 : 0));
      const text = memberText(json, 'id');
      expect(text === '' ? undefined : JSON.parse(text)).toEqual(JSON.parse(json.toString()).id);
    }),
  );
  expect(memberText(Buffer.from('{"id":1,"\\u0069d": 2 }'), 'id')).toBe('2');
});

test('escapes are read from their start', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('\\', '\0', '\ud800', '\udc00', 'u0000', 'ud800', '😀', 'x') }), (text) => {
      const bad = text.includes('\0') || /\p{Surrogate}/u.test(text);
      const json = Buffer.from(JSON.stringify(text).replaceAll('😀', '\\ud83d\\ude00'));
      expect(textProblem(json) !== undefined).toBe(bad);
    }),
    { numRuns: 1_000 },
  );
});

test('depth is counted outside strings', () => {
  const nested = (levels: number) => Buffer.from(`${'['.repeat(levels)}"]]]]\\"["${']'.repeat(levels)}`);
  expect([isTooDeep(nested(10), 10), isTooDeep(nested(11), 10)]).toEqual([false, true]);
});

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function split(body: string): string[] | undefined {
  try {
    return splitItems(Buffer.from(body), 'json', 1_000).map(String);
  } catch (error) {
    expect(error).toMatchObject({ status: 400 });
    return undefined;
  }
}
