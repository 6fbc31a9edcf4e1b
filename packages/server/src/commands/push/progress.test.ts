import { expect, test } from 'vitest';
import { createProgress } from './progress.js';

function progress(isTTY: boolean, totalBytes?: number) {
  let now = 0;
  const written: string[] = [];
  const shown = createProgress({ write: (text: string) => written.push(text), isTTY }, totalBytes, () => now);
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
