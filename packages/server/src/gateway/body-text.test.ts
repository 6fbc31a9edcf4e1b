import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bodyText } from './body-text.js';
import { readEvent } from './event.js';
import { idSource } from './event-id.js';
import { defaultLimits } from './limits.js';
import { splitItems } from './split.js';

const options = { idSource: idSource(undefined), tenant: '_', receivedAt: 1, limits: defaultLimits };

// Escapes of what PostgreSQL cannot store, characters of one to four bytes, bytes that are no text, and lines that are no JSON.
const text = fc.string({ unit: fc.constantFrom('a', '\\u0000', '\\ud800', '\\u0041', '\\\\', 'é', '€', '😀') });
const line = fc.oneof(
  text.map((inner) => Buffer.from(`{"id":"1","a":"${inner}"}`)),
  fc.constantFrom('{', '[1]', '{"id":{}}', '{"id":1}', 'null').map((json) => Buffer.from(json)),
  fc.constantFrom('ff', '7b226964223a22c3227d', '7b226964223a22eda080227d').map((hex) => Buffer.from(hex, 'hex')),
);

test('an item is read the same whether its body is decoded at once or its own bytes are', () => {
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), fc.nat(3), (lines, before) => {
      // A body is often a slice of a larger buffer.
      const whole = Buffer.concat([Buffer.alloc(before, ' '), ...lines.flatMap((one) => [one, Buffer.from('\r\n')])]);
      const body = whole.subarray(before);
      const items = splitItems(body, 'ndjson', 10);
      const texts = bodyText(body);
      const alone = items.map((item) => bodyText(Buffer.concat([item, Buffer.from('é')])));
      for (const [index, item] of items.entries())
        expect(readEvent(item, index, texts, options)).toEqual(readEvent(item, index, alone[index]!, options));
    }),
    { numRuns: 1_000 },
  );
});

test('a large body is not decoded as a whole, and read all the same', () => {
  const body = Buffer.from(`{"id":"1","pad":"${'x'.repeat(300_000)}\\u0000"}\n{"id":"2"}`);
  const items = splitItems(body, 'ndjson', 10);
  const read = items.map((item, index) => readEvent(item, index, bodyText(body), options));
  expect(read).toMatchObject([{ code: 'INVALID_TEXT' }, { id: '2' }]);
});
