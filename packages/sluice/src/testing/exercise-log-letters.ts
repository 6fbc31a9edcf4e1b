/** The suite for logs: dead letters. */

import type { GroupPosition } from '../log/position.js';
import { rangesOf } from '../log/ranges.js';
import { all, append, dead, event, type LogSuite, many, page, plain, settle } from './exercise-log-support.js';

/** Tests of dead letters. */
export function exerciseLetters({ name, describe, expect, test, testRestart }: LogSuite): void {
  describe(`${name}: dead letters`, () => {
    testRestart('parks the original bytes with the reason, and has them after a restart', async (log, restarted) => {
      const payload = Uint8Array.of(123, 0, 255);
      await append(log, 's', [event('good'), event('bad', { payload, tenant: 'acme', time: '2026-01-01T00:00:00Z' })]);
      const [, record] = await log.read('s', 0, 0, all);
      await settle(log, 'g', 's', { cursor: 2, settledAbove: [] }, { delivered: rangesOf([0]), dead: [dead(record!, 'FIRST')] });
      const again = await restarted();
      expect(again.letters.items).toBe(1);
      const letter = (await again.letters.get('g/s/0/1'))!;
      expect(letter).toMatchObject({
        id: 'g/s/0/1',
        group: 'g',
        code: 'FIRST',
        class: 'permanent',
        message: 'refused',
        attempts: 3,
        timeouts: 1,
        crashes: 2,
        tries: [{ at: 10, class: 'transient', code: 'DOWN', message: 'no answer' }],
        state: 'parked',
        redrives: 0,
        redrivenAt: null,
        firstFailedAt: 10,
        lastFailedAt: 20,
      });
      expect(plain(letter.record)).toEqual(plain(record!));
      expect((await page(again, { group: 'g' })).length).toBe(1);
      expect(await page(again, { group: 'other' })).toEqual([]);
      expect(await page(again, { stream: 'other' })).toEqual([]);
      expect((await page(again, { stream: 's' })).map((l) => l.id)).toEqual(['g/s/0/1']);
    });

    test('replaces a letter that is parked again, and removes it once its record was delivered', async (log) => {
      await append(log, 's', many('a', 3));
      const records = await log.read('s', 0, 0, all);
      const stays: GroupPosition = { cursor: 0, settledAbove: rangesOf([1, 2]) };
      await settle(log, 'g', 's', stays, { dead: [dead(records[1]!, 'FIRST'), dead(records[2]!, 'FIRST')] });
      await settle(log, 'g', 's', stays, { dead: [dead(records[1]!, 'SECOND')] });
      await settle(log, 'other', 's', stays, { dead: [dead(records[1]!, 'THIRD')] });
      expect(log.letters.items).toBe(3);
      expect((await log.letters.get('g/s/0/1'))!.code).toBe('SECOND');
      await settle(log, 'g', 's', stays, { delivered: rangesOf([1]) });
      expect(log.letters.items).toBe(2);
      expect(await log.letters.get('g/s/0/1')).toBe(undefined);
      expect((await log.letters.get('other/s/0/1'))!.code).toBe('THIRD');
      expect((await page(log, { stream: 's' }, 1)).length).toBe(1);
    });
  });
}
