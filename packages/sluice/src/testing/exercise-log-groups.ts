/** The suite for logs: consumer groups. */

import type { GroupPosition } from '../log/position.js';
import { rangesOf } from '../log/ranges.js';
import { all, append, event, type LogSuite, many, settle } from './exercise-log-support.js';

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
  });
}
