/** The suite for logs: streams with partitions, positions by time, retention. */

import type { Log } from '../log/log.js';
import { all, append, codeOf, event, type LogSuite, many, settle } from './exercise-log-support.js';
import { testEnv } from './test-env.js';

/** Tests of streams, partitions, time and retention. */
export function exerciseStreams({ name, describe, expect, test, testRestart }: LogSuite): void {
  describe(`${name}: streams and partitions`, () => {
    testRestart(
      'R-176: R-177: keeps the events of a key in one partition, in order, over appends and restarts',
      async (log, restarted) => {
        expect((await log.defineStream('s', { partitions: 4 })).partitions).toBe(4);
        const keys = Array.from({ length: 40 }, (_, i) => `key${i}`);
        const first = await append(
          log,
          's',
          keys.map((key) => event(`a-${key}`, { key })),
        );
        const again = await restarted();
        const second = await append(again, 's', keys.map((key) => event(`b-${key}`, { key })).reverse());
        expect([...second].reverse().map((each) => each.partition)).toEqual(first.map((each) => each.partition));
        expect([...new Set(first.map((each) => each.partition))].sort()).toEqual([0, 1, 2, 3]);
        for (let partition = 0; partition < 4; partition++) {
          const records = await again.read('s', partition, 0, all);
          expect(records.map((record) => record.offset)).toEqual(records.map((_, offset) => offset));
          expect(records.every((record) => record.partition === partition)).toBe(true);
          for (const key of new Set(records.map((record) => record.key))) {
            expect(records.filter((record) => record.key === key).map((record) => record.id)).toEqual([`a-${key}`, `b-${key}`]);
          }
        }
      },
    );

    test('keeps the events without a key of one append together, and lets appends take turns', async (log) => {
      await log.defineStream('s', { partitions: 3 });
      const partitions: number[] = [];
      for (let i = 0; i < 6; i++) {
        const places = await append(log, 's', many(`a${i}-`, 5));
        expect(new Set(places.map((each) => each.partition)).size).toBe(1);
        partitions.push(places[0]!.partition);
      }
      expect([...partitions].sort()).toEqual([0, 0, 1, 1, 2, 2]);
    });

    test('knows a duplicate whatever partition it would go to, and says where the original is', async (log) => {
      await log.defineStream('s', { partitions: 8 });
      const [original] = await append(log, 's', [event('a', { key: 'one' })]);
      const [other] = await append(log, 's', [event('a', { key: 'another key' })]);
      expect(other).toEqual({ ...original, duplicate: true });
    });

    testRestart(
      'fixes the number of partitions, changes the rest, and has the settings after a restart',
      async (log, restarted) => {
        expect((await log.streamSettings('s')).partitions).toBe(1);
        await log.defineStream('s', { partitions: 2, ids: { maxItems: 5 } });
        expect(await codeOf(log.defineStream('s', { partitions: 3 }))).toBe('INVALID_OPTION');
        expect(await codeOf(log.defineStream('s', { partitions: 0 }))).toBe('INVALID_OPTION');
        expect(await codeOf(log.defineStream('t', { partitions: 1_025 }))).toBe('INVALID_OPTION');
        expect(await codeOf(log.defineStream('t', { retention: { policy: 'expire' } }))).toBe('INVALID_OPTION');
        await log.defineStream('s', { retention: { maxBytes: 1_000 } });
        const again = await restarted();
        expect(await again.streamSettings('s')).toEqual({
          partitions: 2,
          retention: { maxAgeMs: Number.POSITIVE_INFINITY, maxBytes: 1_000, policy: 'keep' },
          ids: { maxItems: 5, maxAgeMs: 7 * 24 * 3_600_000 },
        });
        expect((await again.streams()).map((info) => [info.stream, info.partition])).toEqual([
          ['s', 0],
          ['s', 1],
        ]);
      },
    );

    testRestart('keeps its id over a restart', async (log, restarted) => {
      const { id } = log;
      expect(/^[0-9a-f-]{36}$/.test(id)).toBe(true);
      expect((await restarted()).id).toBe(id);
    });

    test('widens and narrows the window of ids while it is in use', async (log) => {
      await log.defineStream('s', { ids: { maxItems: 2 } });
      await append(log, 's', many('a', 6));
      await log.defineStream('s', { ids: { maxItems: 4 } });
      await append(log, 's', [event('b')]);
      // The last four were noted, whatever the window was then.
      expect((await append(log, 's', [event('b'), event('a5')])).map((each) => each.duplicate)).toEqual([true, true]);
      await log.defineStream('s', { ids: { maxItems: 1 } });
      expect((await append(log, 's', [event('a5'), event('a5')])).map((each) => each.duplicate)).toEqual([false, true]);
    });
  });

  const timed = testEnv();
  describe(`${name}: time`, () => {
    test(
      'finds the first offset that was appended at or after a time',
      async (log) => {
        const times: number[] = [];
        for (let i = 0; i < 12; i++) {
          times.push(timed.clock.wall());
          await append(log, 's', many(`a${i}-`, 3));
          await timed.clock.advance(10);
        }
        const found = await Promise.all(times.map((time) => log.offsetAt('s', 0, time)));
        expect(found).toEqual(times.map((_, i) => i * 3));
        expect(await log.offsetAt('s', 0, times[4]! + 1)).toBe(15);
        expect(await log.offsetAt('s', 0, 0)).toBe(0);
        expect(await log.offsetAt('s', 0, times[11]! + 1)).toBe(36);
        expect(await log.offsetAt('unknown', 0, 0)).toBe(0);
        await log.createGroup('late', 's', { time: times[6]! });
        expect((await log.position('late', 's', 0))!.cursor).toBe(18);
      },
      { env: timed },
    );
  });

  exerciseRetention({ name, describe, expect, test, testRestart } as LogSuite);
}

function exerciseRetention({ name, describe, expect, test }: LogSuite): void {
  const firstOffsets = async (log: Log) => (await log.streams()).map((info) => info.firstOffset);

  describe(`${name}: retention`, () => {
    const aged = testEnv();
    test(
      'R-229: keeps settled records until they are older than maxAgeMs, and unsettled ones for ever',
      async (log) => {
        await log.defineStream('s', { retention: { maxAgeMs: 100 } });
        await log.createGroup('g', 's');
        await append(log, 's', many('a', 5));
        await aged.clock.advance(60);
        await append(log, 's', many('b', 5));
        await settle(log, 'g', 's', { cursor: 8, settledAbove: [] });
        await log.retain();
        expect(await firstOffsets(log)).toEqual([0]);
        await aged.clock.advance(40);
        expect(await log.retain()).toMatchObject({ records: 5, expired: 0, letters: 0 });
        expect(await firstOffsets(log)).toEqual([5]);
        await aged.clock.advance(10_000);
        await log.retain();
        expect((await log.read('s', 0, 8, all)).map((record) => record.offset)).toEqual([8, 9]);
      },
      { env: aged },
    );

    const alone = testEnv();
    test(
      'keeps a stream that no group reads when it has no bound, and bounds it when it has one',
      async (log) => {
        await append(log, 'unbounded', many('a', 5));
        await log.defineStream('bounded', { retention: { maxAgeMs: 100 } });
        await append(log, 'bounded', many('a', 5));
        await alone.clock.advance(200);
        await log.retain();
        expect((await log.read('unbounded', 0, 0, all)).length).toBe(5);
        expect((await log.read('bounded', 0, 0, all)).length).toBe(0);
      },
      { env: alone },
    );

    const expiring = testEnv();
    test(
      "removes what a group has not settled under 'expire', moves the group on, and counts it for that group",
      async (log) => {
        await log.defineStream('s', { retention: { maxAgeMs: 100, policy: 'expire' } });
        await append(log, 's', many('a', 6));
        await settle(log, 'half', 's', { cursor: 2, settledAbove: [{ first: 4, last: 4 }] });
        await settle(log, 'done', 's', { cursor: 6, settledAbove: [] });
        await expiring.clock.advance(100);
        await append(log, 's', many('b', 2));
        expect(await log.retain()).toMatchObject({ records: 6, expired: 3 });
        const byGroup = (await log.groups()).map(({ group, cursor, expired }) => [group, cursor, expired]);
        expect(byGroup.sort((a, b) => (a[0]! < b[0]! ? -1 : 1))).toEqual([
          ['done', 6, 0],
          ['half', 6, 3],
        ]);
        expect(expiring.eventsOf('expired').map(({ group, items }) => [group, items])).toEqual([['half', 3]]);
        expect((await log.read('s', 0, 0, all)).map((record) => record.offset)).toEqual([6, 7]);
      },
      { env: expiring },
    );

    test('holds a partition at maxBytes as it grows, and never removes what a group needs', async (log) => {
      const payload = Buffer.alloc(1_000);
      await log.defineStream('s', { retention: { maxBytes: 20_000 } });
      for (let i = 0; i < 50; i++) await append(log, 's', [event(`a${i}`, { payload })]);
      const [info] = await log.streams();
      expect(info!.bytes <= 20_000 && info!.bytes > 17_000 && info!.nextOffset === 50).toBe(true);
      await log.createGroup('g', 's');
      for (let i = 50; i < 100; i++) await append(log, 's', [event(`a${i}`, { payload })]);
      expect((await log.streams())[0]!.firstOffset).toBe(info!.firstOffset);
      await settle(log, 'g', 's', { cursor: 100, settledAbove: [] });
      expect((await log.streams())[0]!.bytes <= 20_000).toBe(true);
    });

    test('removes at once what the last group of a stream has held when that group is deleted', async (log) => {
      await append(log, 's', many('a', 3));
      await settle(log, 'done', 's', { cursor: 3, settledAbove: [] });
      expect((await log.streams())[0]!.firstOffset).toBe(3);
      await log.createGroup('slow', 's');
      await append(log, 's', many('b', 3));
      await settle(log, 'done', 's', { cursor: 6, settledAbove: [] });
      expect((await log.streams())[0]!.firstOffset).toBe(3);
      expect(await log.deleteGroup('slow', 's')).toBe(true);
      expect(await log.deleteGroup('slow', 's')).toBe(false);
      expect((await log.streams())[0]!.firstOffset).toBe(6);
    });
  });
}
