import { expect, test } from 'vitest';
import { inkFor } from './ink.js';
import { table } from './table.js';

test('columns are aligned, numbers to the right, whatever the colours', () => {
  const ink = inkFor({ write: () => {}, isTTY: true }, {});
  const rows = [
    { name: 'ä', count: 1_234 },
    { name: 'long name', count: 5 },
  ];
  const text = table(
    [
      { title: 'NAME', cell: ({ name }) => name, ink: (cell) => ink.bad(cell) },
      { title: 'COUNT', cell: ({ count }) => count },
    ],
    rows,
  );
  expect(text).toBe('NAME       COUNT\n\u001b[31mä        \u001b[0m  1,234\n\u001b[31mlong name\u001b[0m      5\n');
});

test('what a terminal acts on is escaped', () => {
  expect(table([{ title: 'A', cell: (row: string) => row }], ['\u001b[2J\n'])).toBe('A\n\\x1b[2J\\x0a\n');
});

test.each([
  [{ isTTY: false }, {}],
  [{ isTTY: true }, { NO_COLOR: '1' }],
  [{ isTTY: true }, { TERM: 'dumb' }],
])('%j with %j has no colours', (output, environment) => {
  expect(inkFor({ write: () => {}, ...output }, environment).good('ok')).toBe('ok');
});
