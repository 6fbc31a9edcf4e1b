import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createProgress } from './progress.js';

beforeEach(() => {
  vi.stubEnv('TERM', 'xterm');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

function progress(isTTY: boolean, totalBytes?: number, columns?: number) {
  let now = 0;
  const written: string[] = [];
  const shown = createProgress(
    { write: (text: string) => written.push(text), isTTY, ...(columns === undefined ? {} : { columns }) },
    totalBytes,
    () => now,
  );
  return {
    shown,
    written,
    advance: (ms: number) => {
      now += ms;
    },
  }; // prettier-ignore
}

test('a terminal shows a bar, ten times a second at most, and takes it away', () => {
  const { shown, written, advance } = progress(true, 1_000);
  advance(1_000);
  shown.update({ settled: 500, bytesRead: 500 });
  shown.update({ settled: 501, bytesRead: 501 });
  shown.note('a note');
  shown.end();
  expect(written).toEqual([
    '\r\u001b[K[###############...............] 500 items acknowledged, 500/s, 50 % read',
    '\r\u001b[K',
    'sluice push: a note\n',
  ]);
});

test.each([
  [75, '[###############...............] 500 items acknowledged, 500/s, 50 % read'],
  [74, '[###############...............] 500 items acknowledged, 500/s, 50 % read'],
  [73, '500 items acknowledged, 500/s, 50 % read'],
  [41, '500 items acknowledged, 500/s, 50 % read'],
  [40, '500 items acknowledged, 500/s, 50 % re…'],
  [1, '…'],
])('a terminal of %i columns shows what has room in one row', (columns, row) => {
  const { shown, written, advance } = progress(true, 1_000, columns);
  advance(1_000);
  shown.update({ settled: 500, bytesRead: 500 });
  expect(written).toEqual([`\r\u001b[K${row}`]);
});

test('a terminal that cannot draw over a line gets whole ones', () => {
  vi.stubEnv('TERM', 'dumb');
  const { shown, written, advance } = progress(true, 1_000);
  advance(5_000);
  shown.update({ settled: 500, bytesRead: 500 });
  expect(written).toEqual(['sluice push: 500 items acknowledged, 100/s, 50 % read\n']);
});

test('elsewhere a plain line is printed every five seconds', () => {
  const { shown, written, advance } = progress(false);
  for (let second = 1; second <= 11; second++) {
    advance(1_000);
    shown.update({ settled: second * 10, bytesRead: 0 });
  }
  shown.end();
  expect(written).toEqual(['sluice push: 50 items acknowledged, 10/s\n', 'sluice push: 100 items acknowledged, 10/s\n']);
});

test('one item is no items', () => {
  const { shown, written, advance } = progress(false);
  advance(5_000);
  shown.update({ settled: 1, bytesRead: 0 });
  expect(written).toEqual(['sluice push: 1 item acknowledged, 0/s\n']);
});
