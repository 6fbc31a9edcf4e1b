/** The suite for logs: consumer groups. */

import { type GroupPosition, maxInFlightRanges, maxSettledRanges, type OffsetRange } from '../log/position.js';
import { rangesOf } from '../log/ranges.js';
import { all, append, codeOf, dead, event, type LogSuite, many, settle } from './exercise-log-support.js';

/** Tests of consumer groups. */
export function exerciseGroups({ name, describe, expect, test, testRestart }: LogSuite): void {
  describe(`${name}: consumer groups`, () => {
    testRestart('keeps a group where it settled, restarts included', async (log, restarted) => {
      await append(log, 's', many('a', 10));
      expect(await log.position('g', 's', 0)).toBe(undefined);
      expect(await log.claim('g', 's', 0)).toMatchObject({
        position: { cursor: 0, settledAbove: [] },
        suspects: [],
        uncleanStarts: [],
      });
      const position: GroupPosition = { cursor: 3, settledAbove: rangesOf([5, 6, 9]) };
      await settle(log, 'g', 's', position);
      const again = await restarted();
      expect(await again.position('g', 's', 0)).toEqual(position);
      expect((await again.read('s', 0, 3, all)).map((r) => r.offset)).toEqual([3, 4, 5, 6, 7, 8, 9]);
    });

    testRestart('drops what every group has settled, and never uses an offset again', async (log, restarted) => {
      await append(log, 's', many('a', 5));
      await append(log, 's', many('b', 5));
      expect(await log.createGroup('slow', 's')).toBe(true);
      expect(await log.createGroup('slow', 's', 'end')).toBe(false);
      await settle(log, 'fast', 's', { cursor: 10, settledAbove: [] });
      expect((await log.read('s', 0, 0, all)).length).toBe(10);
      await settle(log, 'slow', 's', { cursor: 7, settledAbove: [] });
      const left = (await log.read('s', 0, 0, all)).map((r) => r.offset);
      expect(left[0]! >= 5 && left.at(-1) === 9).toBe(true);
      await settle(log, 'slow', 's', { cursor: 10, settledAbove: [] });
      expect(await log.read('s', 0, 0, all)).toEqual([]);
      const again = await restarted();
      expect(await again.streams()).toEqual([
        { stream: 's', partition: 0, firstOffset: 10, nextOffset: 10, bytes: 0, oldestAt: null },
      ]);
      expect((await append(again, 's', [event('c')]))[0]!.offset).toBe(10);
      expect((await again.claim('new', 's', 0)).position).toEqual({ cursor: 10, settledAbove: [] });
      expect((await again.read('s', 0, 0, all)).map((r) => r.id)).toEqual(['c']);
    });

    test('keeps everything for a group that was made before the stream and has settled nothing', async (log) => {
      await log.createGroup('early', 'later');
      await append(log, 'later', many('a', 3));
      await settle(log, 'g', 'later', { cursor: 3, settledAbove: [] });
      expect((await log.read('later', 0, 0, all)).length).toBe(3);
      expect(await log.position('early', 'later', 0)).toEqual({ cursor: 0, settledAbove: [] });
    });

    test('R-181: R-182: lets groups stand where they like: one that settles nothing delays no other, nor the appends', async (log) => {
      await append(log, 's', many('a', 4));
      await log.createGroup('stuck', 's');
      await settle(log, 'fast', 's', { cursor: 4, settledAbove: [] });
      await append(log, 's', many('b', 4));
      await settle(log, 'fast', 's', { cursor: 8, settledAbove: [] });
      const lags = await Promise.all(['stuck', 'fast'].map(async (group) => (await log.lag(group, 's'))[0]!.items));
      expect(lags).toEqual([8, 0]);
      expect((await log.groups({ stream: 's' })).map((info) => info.cursor).sort()).toEqual([0, 8]);
      expect((await log.groups({ group: 'fast' })).length).toBe(1);
      expect(await log.groups({ stream: 'other' })).toEqual([]);
    });

    test('says the lag in items, bytes and age, without what is settled above the cursor', async (log) => {
      expect(await log.lag('nobody', 's')).toEqual([]);
      await append(log, 's', many('a', 10, { receivedAt: 1_700_000_000_000, payload: Buffer.alloc(500) }));
      await log.createGroup('g', 's');
      const [before] = await log.lag('g', 's');
      const { bytes } = (await log.streams())[0]!;
      expect(before!.items === 10 && before!.bytes === bytes && before!.oldestMs >= 5_000).toBe(true);
      await settle(log, 'g', 's', { cursor: 4, settledAbove: [{ first: 7, last: 9 }] });
      const [after] = await log.lag('g', 's');
      expect(after!.items).toBe(3);
      expect(Math.abs(after!.bytes - (bytes * 3) / 10) < 2).toBe(true);
      await settle(log, 'g', 's', { cursor: 10, settledAbove: [] });
      expect(await log.lag('g', 's')).toEqual([{ partition: 0, items: 0, bytes: 0, oldestMs: 0 }]);
    });

    test('refuses positions and ranges that cannot be, and moves nothing then', async (log) => {
      await append(log, 's', many('a', 5));
      const claim = await log.claim('g', 's', 0);
      const settled = (cursor: number, ...settledAbove: OffsetRange[]) =>
        codeOf(log.settle(claim, { position: { cursor, settledAbove } }));
      for (const cursor of [6, -1, 0.5, Number.NaN]) expect(await settled(cursor)).toBe('INVALID_VALUE');
      expect(await settled(0, { first: 3, last: 5 })).toBe('INVALID_VALUE');
      expect(await settled(0, { first: 3, last: 2 })).toBe('INVALID_VALUE');
      const many10001 = Array.from({ length: maxSettledRanges + 1 }, () => ({ first: 2, last: 2 }));
      expect(await settled(0, ...many10001)).toBe('INVALID_VALUE');
      expect(await codeOf(log.settle(claim, { delivered: [{ first: 0, last: 9 }] }))).toBe('INVALID_VALUE');
      expect(
        await codeOf(
          log.inFlight(
            claim,
            Array.from({ length: maxInFlightRanges + 1 }, () => ({ first: 0, last: 0 })),
          ),
        ),
      ).toBe('INVALID_VALUE');
      expect(await codeOf(log.skip(claim, { first: 0, last: 5 }))).toBe('INVALID_VALUE');
      expect(await codeOf(log.claim('g', 's', 1))).toBe('INVALID_VALUE');
      expect(await codeOf(log.claim('', 's', 0))).toBe('INVALID_VALUE');
      expect(await log.position('g', 's', 0)).toEqual({ cursor: 0, settledAbove: [] });
    });

    test('never goes back by a settlement, joins what touches, and moves the cursor over what is settled', async (log) => {
      await append(log, 's', many('a', 10));
      await log.createGroup('keeps', 's');
      const claim = await log.claim('g', 's', 0);
      await log.settle(claim, { position: { cursor: 5, settledAbove: [] } });
      await log.settle(claim, {
        position: {
          cursor: 2,
          settledAbove: [
            { first: 5, last: 6 },
            { first: 8, last: 8 },
            { first: 9, last: 9 },
          ],
        },
      });
      expect(await log.position('g', 's', 0)).toEqual({ cursor: 7, settledAbove: [{ first: 8, last: 9 }] });
    });
  });

  describe(`${name}: owners`, () => {
    testRestart(
      'fences an owner once the partition is claimed again, restarts included, and moves nothing for it',
      async (log, restarted) => {
        await append(log, 's', many('a', 3));
        const old = await log.claim('g', 's', 0);
        const again = await restarted();
        const now = await again.claim('g', 's', 0);
        expect(now.epoch > old.epoch).toBe(true);
        const [record] = await again.read('s', 0, 0, all);
        const position = { cursor: 3, settledAbove: [] };
        expect(await codeOf(again.settle(old, { position, dead: [dead(record!, 'X')] }))).toBe('FENCED');
        expect(await codeOf(again.inFlight(old, [{ first: 0, last: 0 }]))).toBe('FENCED');
        expect(await codeOf(again.skip(old, { first: 0, last: 0 }))).toBe('FENCED');
        await again.release(old);
        expect([again.letters.items, (await again.position('g', 's', 0))!.cursor]).toEqual([0, 0]);
        await again.settle(now, { position });
        expect((await again.position('g', 's', 0))!.cursor).toBe(3);
      },
    );

    test('fences the owners of a group that was deleted, even when it was made again', async (log) => {
      const old = await log.claim('g', 's', 0);
      await log.deleteGroup('g', 's');
      expect(await codeOf(log.settle(old, {}))).toBe('FENCED');
      await log.claim('g', 's', 0);
      expect(await codeOf(log.settle(old, {}))).toBe('FENCED');
    });

    testRestart(
      'R-169: counts a crash for each record that was in flight and is not settled, and none after a release',
      async (log, restarted) => {
        await append(log, 's', many('a', 20));
        const first = await log.claim('g', 's', 0);
        await log.inFlight(first, [{ first: 0, last: 1 }]);
        await log.inFlight(first, [{ first: 2, last: 9 }]);
        await log.settle(first, { position: { cursor: 0, settledAbove: [{ first: 4, last: 5 }] } });
        const second = await (await restarted()).claim('g', 's', 0);
        expect(second.suspects).toEqual([
          { first: 2, last: 3, crashes: 1 },
          { first: 6, last: 9, crashes: 1 },
        ]);
        expect(second.uncleanStarts.length).toBe(1);
        const log2 = await restarted();
        const third = await log2.claim('g', 's', 0);
        expect([third.suspects.map(({ crashes }) => crashes), third.uncleanStarts.length]).toEqual([[1, 1], 2]);
        await log2.inFlight(third, [{ first: 8, last: 12 }]);
        const log3 = await restarted();
        const fourth = await log3.claim('g', 's', 0);
        expect(fourth.suspects).toEqual([
          { first: 2, last: 3, crashes: 1 },
          { first: 6, last: 7, crashes: 1 },
          { first: 8, last: 9, crashes: 2 },
          { first: 10, last: 12, crashes: 1 },
        ]);
        await log3.settle(fourth, { position: { cursor: 9, settledAbove: [{ first: 11, last: 11 }] } });
        await log3.inFlight(fourth, [{ first: 15, last: 15 }]);
        await log3.release(fourth);
        const fifth = await (await restarted()).claim('g', 's', 0);
        expect(fifth.suspects).toEqual([
          { first: 9, last: 9, crashes: 2 },
          { first: 10, last: 10, crashes: 1 },
          { first: 12, last: 12, crashes: 1 },
        ]);
        expect(fifth.uncleanStarts).toEqual([]);
      },
    );

    testRestart(
      'puts a group elsewhere by seek, forgets what was settled above, and fences its owner',
      async (log, restarted) => {
        await log.createGroup('keeps', 's');
        await append(log, 's', many('a', 10));
        const claim = await settle(log, 'g', 's', { cursor: 4, settledAbove: [{ first: 6, last: 6 }] });
        expect(await log.seek('g', 's', 0, { offset: 2 })).toEqual({ cursor: 2, settledAbove: [] });
        expect(await codeOf(log.settle(claim, {}))).toBe('FENCED');
        const again = await restarted();
        expect(await again.position('g', 's', 0)).toEqual({ cursor: 2, settledAbove: [] });
        expect((await again.seek('g', 's', 0, 'end')).cursor).toBe(10);
        expect((await again.seek('g', 's', 0, 'start')).cursor).toBe(0);
        expect((await again.seek('g', 's', 0, { offset: 99 })).cursor).toBe(10);
        expect((await again.claim('g', 's', 0)).uncleanStarts).toEqual([]);
      },
    );

    testRestart('gives up a range by skip alone, counts it, and delivers nothing of it again', async (log, restarted) => {
      await log.createGroup('keeps', 's');
      await append(log, 's', many('a', 10));
      const claim = await settle(log, 'g', 's', { cursor: 2, settledAbove: [{ first: 5, last: 5 }] });
      expect(await log.skip(claim, { first: 1, last: 3 })).toEqual({ cursor: 4, settledAbove: [{ first: 5, last: 5 }] });
      expect(await log.skip(claim, { first: 8, last: 8 })).toMatchObject({ cursor: 4 });
      const [info] = await (await restarted()).groups({ group: 'g' });
      expect(info).toMatchObject({ cursor: 4, rangesAbove: 2, settledAbove: 2, skipped: 3, expired: 0, owned: true });
    });
  });
}
