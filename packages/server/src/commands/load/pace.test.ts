import { TestClock } from 'sluice/testing';
import { expect, test } from 'vitest';
import { pace } from './pace.js';

const never = new AbortController().signal;

test('each is due at an even distance from the first, and fired then', async () => {
  const clock = new TestClock();
  const fired: [number, number][] = [];
  const start = clock.now();
  const done = pace({ clock, intervalMs: 2.5, count: 5, signal: never }, (dueAt) =>
    fired.push([dueAt - start, clock.now() - start]),
  );
  await clock.advance(10);
  await done;
  expect(fired.map(([dueAt]) => dueAt)).toEqual([0, 2.5, 5, 7.5, 10]);
  expect(fired.every(([dueAt, at]) => at >= dueAt)).toBe(true);
});

test('what comes late is fired with the moment at which it was due: nothing is left out, nothing is put off', async () => {
  let now = 0;
  const due: number[] = [];
  const waits: (() => void)[] = [];
  const after = (_ms: number, fn: () => void) => {
    waits.push(fn);
    return () => {};
  };
  const clock = { now: () => now, after };
  const done = pace({ clock, intervalMs: 1, count: 1_201, signal: never }, (dueAt) => due.push(dueAt));
  now = 1_200;
  const turns: number[] = [];
  for (let turn = waits.shift(); turn !== undefined; turn = waits.shift()) {
    turn();
    turns.push(due.length);
  }
  await done;
  expect(due).toEqual(Array.from({ length: 1_201 }, (_, i) => i));
  // Answers are read between two turns.
  expect(turns).toEqual([501, 1_001, 1_201]);
});

test('an interrupt ends it, also one that came before', async () => {
  const clock = new TestClock();
  const stop = new AbortController();
  let fired = 0;
  const done = pace({ clock, intervalMs: 10, count: 100, signal: stop.signal }, () => fired++);
  await clock.advance(20);
  stop.abort();
  await done;
  await clock.advance(100);
  expect(fired).toBe(3);
  await pace({ clock, intervalMs: 10, count: 100, signal: stop.signal }, () => fired++);
  expect(fired).toBe(3);
});
