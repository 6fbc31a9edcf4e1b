import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createEventStream } from './event-stream.js';

const bytes = (text: string) => new TextEncoder().encode(text);

test('events are parsed the same wherever the bytes are cut', () => {
  const text =
    'id: 0:0\n\n: still here\n\nid: 0:1\ndata: {"a":\ndata: "ö€😀"}\n\nid: 0:2\r\ndata:x\r\n\r\nevent: y\nid: 0:3\rdata: z\r\r';
  const all = bytes(`${text}:end\n\n`);
  const expected = [
    { id: '0:1', data: '{"a":\n"ö€😀"}' },
    { id: '0:2', data: 'x' },
    { id: '0:3', data: 'z' },
  ];
  fc.assert(
    fc.property(fc.array(fc.nat(all.length)), (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), all.length];
      const stream = createEventStream();
      const events = places.flatMap((place, i) => (i === 0 ? [] : stream.push(all.subarray(places[i - 1], place))));
      expect(events).toEqual(expected);
    }),
  );
});

test('an event that is cut off is not behind us: its id does not count', () => {
  const stream = createEventStream('0:4');
  expect(stream.push(bytes('id: 0:5\ndata: a\n\nid: 0:6\ndata: b\n'))).toEqual([{ id: '0:5', data: 'a' }]);
  expect(stream.lastId).toBe('0:5');
});

test('an id without an event moves the place on', () => {
  const stream = createEventStream();
  expect(stream.push(bytes('id: 0:9\n\n'))).toEqual([]);
  expect(stream.lastId).toBe('0:9');
});

test('a line without an end is bounded', () => {
  const stream = createEventStream();
  const part = new Uint8Array(16 * 1024 * 1024).fill(0x78);
  expect(() => {
    for (let i = 0; i < 5; i++) stream.push(part);
  }).toThrow(RangeError);
});
