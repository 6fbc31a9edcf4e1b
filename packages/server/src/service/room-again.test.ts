import { expect, it } from 'vitest';
import { roomAgain } from './room-again.js';

const mebibyte = 2 ** 20;

it('goes by the rate at which the log shrinks', () => {
  const room = roomAgain();
  for (let second = 0; second <= 4; second++) room.look(second * 1_000, (24 - second) * mebibyte);
  expect(room.afterMs(4_000)).toBeCloseTo(20_000, 3);
  for (let second = 5; second <= 8; second++) room.look(second * 1_000, (20 - 2 * (second - 4)) * mebibyte);
  expect(room.afterMs(8_000)).toBeGreaterThan(6_000);
  expect(room.afterMs(8_000)).toBeLessThan(9_000);
});

it('while nothing moves says as long again, a second at least and ten at most', () => {
  const room = roomAgain();
  const answers: number[] = [];
  for (let second = 100; second <= 130; second++) {
    room.look(second * 1_000, mebibyte);
    answers.push(room.afterMs(second * 1_000));
  }
  expect(answers.slice(0, 12)).toEqual([1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10].map((seconds) => seconds * 1_000));
  expect(answers.at(-1)).toBe(10_000);
});

it('begins anew when it shrinks after a stand-still, stands still again, or has had room', () => {
  const room = roomAgain();
  for (let second = 0; second <= 60; second++) room.look(second * 1_000, 10 * mebibyte);
  room.look(61_000, 9 * mebibyte);
  expect(room.afterMs(61_000)).toBeCloseTo(9_000, 3);
  room.look(62_000, 7 * mebibyte);
  expect(room.afterMs(62_000)).toBeLessThan(7_000);
  // Between two pieces it goes by what it knows; after five seconds that says nothing any more.
  for (let second = 63; second <= 68; second++) room.look(second * 1_000, 7 * mebibyte);
  expect(room.afterMs(68_000)).toBe(6_000);
  room.look(69_000, -1);
  room.look(99_000, mebibyte);
  expect(room.afterMs(99_000)).toBe(1_000);
});

it('is never more than half a minute, nor less than a second, however slowly or fast it shrinks', () => {
  const slow = roomAgain();
  slow.look(0, 100 * mebibyte);
  slow.look(1_000, 100 * mebibyte - 1);
  expect(slow.afterMs(1_000)).toBe(30_000);
  const fast = roomAgain();
  fast.look(0, 100 * mebibyte);
  fast.look(1_000, 1);
  expect(fast.afterMs(1_000)).toBe(1_000);
});
