import { expect, test } from 'vitest';
import { createLine } from './offset-line.js';

test('a range takes out who stands in it, at both of its ends, however long it is', () => {
  const line = createLine<{ readonly name: string }>();
  const far = 2 ** 40;
  const offsets = [0, 63, 64, 127, 128, far];
  for (const offset of offsets) line.add(offset, { name: String(offset) });
  const taken: [string, number][] = [];
  const take = (first: number, last: number) => line.take(first, last, ({ name }, offset) => taken.push([name, offset]));
  take(64, 127);
  expect(taken).toEqual([
    ['64', 64],
    ['127', 127],
  ]);
  expect(line.offsets()).toEqual([0, 63, 128, far]);
  take(1, far - 1);
  expect(line.offsets()).toEqual([0, far]);
  take(0, far);
  expect([line.offsets(), taken.map(([, offset]) => offset)]).toEqual([[], [64, 127, 63, 128, 0, far]]);
});

test('several at one offset are taken together, and one leaves without the others', () => {
  const line = createLine<{ readonly name: string }>();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => ({ name }));
  line.add(7, a!);
  line.add(7, a!);
  line.add(7, b!);
  line.add(7, c!);
  line.remove(7, b!);
  line.remove(8, c!);
  line.add(300, b!);
  expect([line.size, line.all().map(({ name }) => name)]).toEqual([2, ['a', 'c', 'b']]);
  line.remove(300, b!);
  const names: string[] = [];
  line.take(7, 7, ({ name }) => names.push(name));
  line.take(7, 7, ({ name }) => names.push(name));
  expect([names, line.offsets(), line.size]).toEqual([['a', 'c'], [], 0]);
  line.add(7, a!);
  line.remove(7, a!);
  expect(line.offsets()).toEqual([]);
});
