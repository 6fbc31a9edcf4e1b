import { createMemoryLog } from 'sluice/log';
import { testEnv } from 'sluice/testing';
import { expect, it } from 'vitest';
import { watchLogBound } from './log-bound.js';

function watched() {
  const env = testEnv();
  const now = { free: 100, bytes: 0, maxBytes: 50, looks: 0 };
  const disk = { path: '', fileBytes: () => 0, freeBytes: () => now.free };
  const streams = async () => {
    now.looks++;
    return [info()];
  };
  const info = () => ({ stream: 's', partition: 0, firstOffset: 0, nextOffset: 1, bytes: now.bytes, oldestAt: 1 });
  const log = { ...createMemoryLog({ env }), facets: { disk }, streams };
  const lines: string[] = [];
  const logger = { warn: (_: object, message: string) => void lines.push(message) };
  const bound = watchLogBound({ log, bounds: () => ({ maxBytes: now.maxBytes, reserveBytes: 64 }), logger, clock: env.clock });
  return { env, now, bound, lines };
}

it('names a disk that is full while it is, and warns when that begins and when it ends', async () => {
  const { env, now, bound, lines } = watched();
  await env.clock.advance(5_000);
  expect([bound.problem, lines]).toEqual([undefined, []]);
  now.free = 64;
  await env.clock.advance(5_000);
  expect(bound.problem).toBe(
    'LOG_FULL: less than 64 bytes (log.reserveBytes) are free on the disk of the log; events are refused',
  );
  // What the disk has no room for the log itself refuses.
  expect(bound.isFull).toBe(false);
  now.free = 65;
  await env.clock.advance(5_000);
  expect(bound.problem).toBeUndefined();
  expect(lines).toEqual([
    'less than 64 bytes (log.reserveBytes) are free on the disk of the log: events are refused until there is room.',
    'the log has room again: events are taken.',
  ]);
  bound.stop();
  expect(env.clock.timers).toBe(0);
});

it('names log.maxBytes that is reached', async () => {
  const { env, now, bound, lines } = watched();
  now.bytes = 50;
  await env.clock.advance(2_000);
  expect([bound.isFull, bound.problem]).toEqual([true, 'LOG_FULL: the log holds log.maxBytes (50); events are refused']);
  expect(lines).toHaveLength(1);
  bound.stop();
});

it('says how long it is full: as long again while nothing goes, then by the rate at which it shrinks', async () => {
  const { env, now, bound } = watched();
  now.maxBytes = 1_000;
  now.bytes = 2_000;
  await env.clock.advance(1_000);
  expect(bound.fullForMs).toBe(1_000);
  await env.clock.advance(6_000);
  expect(bound.fullForMs).toBeGreaterThanOrEqual(6_000);
  expect(bound.fullForMs).toBeLessThanOrEqual(7_000);
  now.bytes = 1_799;
  await env.clock.advance(1_000);
  expect(bound.fullForMs).toBeCloseTo((800 / 201) * 1_000, 3);
  now.bytes = 999;
  await env.clock.advance(1_000);
  expect([bound.isFull, bound.fullForMs]).toEqual([false, undefined]);
  bound.stop();
});

it('looks once a second, ten times where little is left, and once again when it is full', async () => {
  const { env, now, bound } = watched();
  const looksIn = async (bytes: number) => {
    now.bytes = bytes;
    await env.clock.advance(1_000);
    const before = now.looks;
    await env.clock.advance(10_000);
    return now.looks - before;
  };
  now.maxBytes = 2 ** 30;
  expect(await looksIn(0)).toBe(10);
  expect(await looksIn(2 ** 30 - 1)).toBe(100);
  expect(await looksIn(2 ** 30)).toBe(10);
  bound.stop();
});
