import { expect, test } from 'vitest';
import { createRetryNotes } from './retry-notes.js';

function notes() {
  let now = 0;
  const printed: string[] = [];
  const note = createRetryNotes(
    (text) => printed.push(text),
    () => now,
  );
  const advance = (ms: number) => {
    now += ms;
  };
  return { note, printed, advance };
}

test('a problem of several requests is one line, told again while it lasts', () => {
  const { note, printed, advance } = notes();
  for (let ms = 0; ms < 20_000; ms += 250) {
    for (let request = 0; request < 4; request++) note('nothing answers', 5_000);
    advance(250);
  }
  expect(printed).toEqual(['nothing answers; trying again in 5.0 s.', 'nothing answers; trying again in 5.0 s.']);
});

test('another problem is another line, at most one a second', () => {
  const { note, printed, advance } = notes();
  note('shutting down', 200);
  note('nothing answers', 200);
  advance(1_000);
  note('nothing answers', 400);
  note('shutting down', 400);
  expect(printed).toEqual(['shutting down; trying again in 0.2 s.', 'nothing answers; trying again in 0.4 s.']);
});
