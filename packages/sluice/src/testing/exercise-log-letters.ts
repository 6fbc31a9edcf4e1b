/** The suite for logs: dead letters. */

import type { GroupPosition } from '../log/position.js';
import { rangesOf } from '../log/ranges.js';
import { all, append, codeOf, dead, event, type LogSuite, many, page, plain, settle } from './exercise-log-support.js';
import { testEnv } from './test-env.js';

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

    const twice = testEnv();
    testRestart(
      'R-117: a letter that is parked again has its first and its last time, and its age begins anew',
      async (log, restarted) => {
        await append(log, 's', many('a', 2));
        const records = await log.read('s', 0, 0, all);
        const start = twice.clock.wall();
        const first = { firstFailedAt: start - 9, lastFailedAt: start - 1 };
        await log.settle(await log.claim('g', 's', 0), { dead: records.map((record) => dead(record, 'FIRST', first)) });
        await log.letters.markRedriven([(await log.letters.get('g/s/0/0'))!], start);
        await twice.clock.advance(60);
        const last = { firstFailedAt: start + 55, lastFailedAt: start + 58 };
        await log.settle(await log.claim('g', 's', 0), { dead: [dead(records[0]!, 'SECOND', last)] });
        const again = await restarted();
        expect((await again.letters.get('g/s/0/0'))!).toMatchObject({
          ...{ code: 'SECOND', state: 'parked', redrives: 1, redrivenAt: start },
          ...{ firstFailedAt: start - 9, lastFailedAt: start + 58 },
          ...{ firstParkedAt: start, parkedAt: start + 60 },
        });
        expect((await page(again, { parkedFrom: start + 1 })).map(({ id }) => id)).toEqual(['g/s/0/0']);
        expect(await again.letters.groups({ code: 'SECOND' })).toMatchObject([
          { firstParkedAt: start, lastParkedAt: start + 60 },
        ] as object);
        await twice.clock.advance(60);
        expect(await again.retain()).toMatchObject({ letters: 1 });
        expect((await page(again)).map(({ id }) => id)).toEqual(['g/s/0/0']);
      },
      { env: twice, deadLetters: { maxAgeMs: 100 } },
    );

    testRestart('R-117: pages through letters by filter, in a fixed order, and shows one', async (log, restarted) => {
      await log.defineStream('s', { partitions: 2 });
      await append(
        log,
        's',
        Array.from({ length: 40 }, (_, i) => event(`a${i}`, { key: `k${i}`, tenant: i % 4 === 0 ? 'acme' : '_' })),
      );
      for (const partition of [0, 1]) {
        const records = await log.read('s', partition, 0, all);
        const claim = await log.claim('g', 's', partition);
        await log.settle(claim, { dead: records.map((record, i) => dead(record, i % 2 === 0 ? 'EVEN' : 'ODD')) });
      }
      const again = await restarted();
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const next = await again.letters.page({ limit: 7, ...(after === undefined ? {} : { after }) });
        expect(next.letters.length <= 7).toBe(true);
        seen.push(...next.letters.map((letter) => letter.id));
        after = next.next;
      } while (after !== undefined);
      expect([seen.length, new Set(seen).size]).toEqual([40, 40]);
      expect((await page(again, { tenant: 'acme' })).every((letter) => letter.record.tenant === 'acme')).toBe(true);
      expect((await page(again, { tenant: 'acme' })).length).toBe(10);
      expect(
        (await page(again, { code: 'ODD', partition: 1 })).every(({ code, record }) => code === 'ODD' && record.partition === 1),
      ).toBe(true);
      expect((await page(again, { class: 'transient' })).length).toBe(0);
      const ids = [seen[5]!, 'g/s/0/99999', 'nonsense', seen[2]!, seen[7]!, seen[5]!];
      expect((await page(again, { ids })).map(({ id }) => id)).toEqual([seen[2], seen[5], seen[7]]);
      const first = await again.letters.page({ filter: { ids }, limit: 1 });
      const second = await again.letters.page({ filter: { ids }, limit: 1, after: first.next! });
      const third = await again.letters.page({ filter: { ids }, limit: 1, after: second.next! });
      expect([first, second, third].map(({ letters, next }) => [letters[0]!.id, next])).toEqual([
        [seen[2], seen[2]],
        [seen[5], seen[5]],
        [seen[7], undefined],
      ]);
      const last = await again.letters.page({ filter: { stream: 's' }, limit: 40 });
      expect(last.next).toBe(undefined);
      expect((await again.letters.get(seen[3]!))!.id).toBe(seen[3]);
      expect(await again.letters.get('nonsense')).toBe(undefined);
      expect(await codeOf(again.letters.page({ limit: 0 }))).toBe('INVALID_VALUE');
    });

    test('R-116: groups letters by what they failed with, numbers, texts and UUIDs taken out, the most frequent first', async (log) => {
      await append(log, 's', many('a', 6));
      const records = await log.read('s', 0, 0, all);
      const messages = [
        'row 17 of "x" is bad',
        "row 3 of 'yy' is bad",
        'row 170.5 of "z" is bad',
        'no such user 4b5e2f6a-1111-4222-8333-123456789abc',
        'no such user 00000000-1111-4222-8333-123456789abc',
        'other',
      ];
      const letters = records.map((record, i) => dead(record, 'BAD', { message: messages[i]! }));
      await log.settle(await log.claim('g', 's', 0), { dead: letters });
      expect((await log.letters.groups({ group: 'g' })).map(({ pattern, items, code }) => [pattern, items, code])).toEqual([
        ['row <n> of <text> is bad', 3, 'BAD'],
        ['no such user <uuid>', 2, 'BAD'],
        ['other', 1, 'BAD'],
      ]);
      expect(await log.letters.groups({ group: 'other' })).toEqual([]);
    });

    testRestart('marks letters as redriven, purges them, and counts items and bytes all the time', async (log, restarted) => {
      await append(log, 's', many('a', 5));
      const records = await log.read('s', 0, 0, all);
      await log.settle(await log.claim('g', 's', 0), { dead: records.map((record) => dead(record, 'X')) });
      const bytes = log.letters.bytes;
      expect(log.letters.items === 5 && bytes > 5 * records[0]!.payload.length).toBe(true);
      const all5 = await page(log);
      expect(await log.letters.markRedriven([all5[1]!, all5[3]!, { ...all5[3]!, id: 'g/s/0/77' }], 1_234)).toBe(2);
      const again = await restarted();
      expect(
        (await page(again, { state: 'redriven' })).map(({ id, redrives, redrivenAt }) => [id, redrives, redrivenAt]),
      ).toEqual([
        ['g/s/0/1', 1, 1_234],
        ['g/s/0/3', 1, 1_234],
      ]);
      expect((await page(again, { state: 'parked' })).length).toBe(3);
      expect(await again.letters.purge({ state: 'redriven' }, 1)).toBe(1);
      expect(await again.letters.purge({ ids: ['g/s/0/0'] })).toBe(1);
      expect(again.letters.items).toBe(3);
      const last = await restarted();
      expect([last.letters.items, last.letters.bytes < bytes]).toEqual([3, true]);
      expect(await last.letters.purge({})).toBe(3);
      expect([last.letters.items, last.letters.bytes]).toEqual([0, 0]);
    });

    const alarmed = testEnv();
    test(
      'refuses the whole settlement when letters are full, says so before and then, and drops nothing',
      async (log) => {
        await append(log, 's', many('a', 12));
        const records = await log.read('s', 0, 0, all);
        const claim = await log.claim('g', 's', 0);
        const park = (from: number, to: number) =>
          codeOf(
            log.settle(claim, {
              position: { cursor: to, settledAbove: [] },
              dead: records.slice(from, to).map((record) => dead(record, 'X')),
            }),
          );
        expect(await park(0, 9)).toBe('no error');
        expect(alarmed.eventsOf('deadLetters').map(({ state, items, maxItems }) => [state, items, maxItems])).toEqual([
          ['near', 9, 10],
        ]);
        expect(await park(9, 12)).toBe('DEAD_LETTERS_FULL');
        expect([log.letters.items, (await log.position('g', 's', 0))!.cursor]).toEqual([9, 9]);
        expect(alarmed.eventsOf('deadLetters').map(({ state }) => state)).toEqual(['near', 'full']);
        // One that is there already may be replaced, and what is settled may move.
        expect(await codeOf(log.settle(claim, { dead: [dead(records[0]!, 'Y')] }))).toBe('no error');
        await log.letters.purge({ ids: ['g/s/0/0', 'g/s/0/1', 'g/s/0/2'] });
        expect(await park(9, 12)).toBe('no error');
        expect(log.letters.items).toBe(9);
      },
      { env: alarmed, deadLetters: { maxItems: 10 } },
    );

    const aging = testEnv();
    test(
      'removes letters beyond their age by retention, and counts them',
      async (log) => {
        await append(log, 's', many('a', 2));
        const [first, second] = await log.read('s', 0, 0, all);
        const claim = await log.claim('g', 's', 0);
        await log.settle(claim, { dead: [dead(first!, 'X')] });
        await aging.clock.advance(50);
        await log.settle(claim, { dead: [dead(second!, 'X')] });
        await aging.clock.advance(50);
        expect(await log.retain()).toMatchObject({ letters: 1 });
        expect((await page(log)).map(({ id }) => id)).toEqual(['g/s/0/1']);
        expect(aging.eventsOf('lettersExpired').map(({ items }) => items)).toEqual([1]);
      },
      { env: aging, deadLetters: { maxAgeMs: 100 } },
    );

    testRestart(
      'parks a letter ahead of its settlement, so that a sink may commit in between; a later delivery removes it',
      async (log, restarted) => {
        await append(log, 's', many('a', 3));
        const records = await log.read('s', 0, 0, all);
        await log.settle(await log.claim('g', 's', 0), { dead: [dead(records[1]!, 'X')] });
        const again = await restarted();
        expect([again.letters.items, (await again.position('g', 's', 0))!.cursor]).toEqual([1, 0]);
        const claim = await again.claim('g', 's', 0);
        await again.settle(claim, { position: { cursor: 3, settledAbove: [] }, delivered: rangesOf([0, 2]) });
        expect(again.letters.items).toBe(1);
        await again.settle(claim, { delivered: rangesOf([1]) });
        expect(again.letters.items).toBe(0);
      },
    );

    const reparked = testEnv();
    test(
      'a redrive marks only what it has sent, not what took its place, nor twice what two redrives sent',
      async (log) => {
        await append(log, 's', many('a', 2));
        const records = await log.read('s', 0, 0, all);
        const claim = await log.claim('g', 's', 0);
        await log.settle(claim, { dead: records.map((record) => dead(record, 'X')) });
        const sent = await page(log);
        await log.settle(claim, { delivered: rangesOf([0]) });
        await reparked.clock.advance(5);
        await log.settle(claim, { dead: [dead(records[0]!, 'Y')] });
        expect([await log.letters.markRedriven(sent, 1_234), await log.letters.markRedriven(sent, 1_235)]).toEqual([1, 0]);
        expect((await page(log)).map(({ state, redrives, redrivenAt }) => [state, redrives, redrivenAt])).toEqual([
          ['parked', 0, null],
          ['redriven', 1, 1_234],
        ]);
      },
      { env: reparked },
    );

    test('a purge spares what is parked anew while it looks', async (log) => {
      await append(log, 's', many('a', 2));
      const records = await log.read('s', 0, 0, all);
      const claim = await log.claim('g', 's', 0);
      await log.settle(claim, { dead: records.map((record) => dead(record, 'X')) });
      await log.letters.markRedriven(await page(log), 1_234);
      const settled = log.settle(claim, { dead: [dead(records[1]!, 'X')] });
      const purged = log.letters.purge({ state: 'redriven' });
      await settled;
      expect(await purged).toBe(1);
      expect((await page(log, {})).map(({ id, state }) => [id, state])).toEqual([['g/s/0/1', 'parked']]);
    });

    test('stores at most twenty tries and cuts long messages, and tells names with slashes apart', async (log) => {
      await append(log, 'a/b', [event('x'), event('y')]);
      const [record] = await log.read('a/b', 0, 0, all);
      const tries = Array.from({ length: 30 }, (_, at) => ({
        at,
        class: 'transient' as const,
        code: 'T',
        message: 'm'.repeat(5_000),
      }));
      await log.settle(await log.claim('c/d', 'a/b', 0), { dead: [dead(record!, 'X', { tries, message: 'n'.repeat(5_000) })] });
      const letter = (await log.letters.get('c%2Fd/a%2Fb/0/0'))!;
      expect(letter.tries.map(({ at }) => at)).toEqual([0, 1, 2, 3, 4, ...Array.from({ length: 15 }, (_, i) => 15 + i)]);
      expect([letter.message.length, letter.tries[0]!.message.length]).toEqual([2_000, 2_000]);
      expect(await log.letters.get('c/d/a/b/0/0')).toBe(undefined);
    });

    testRestart('knows a redrive by (id, redrive id), and gives the sink the original id', async (log, restarted) => {
      await append(log, 's', [event('a')]);
      const redrive = { id: 'g/s/0/0', group: 'g' };
      const again = (more: Partial<Parameters<typeof event>[1]>) => append(log, 's', [event('a', more)]);
      expect((await again({ redrive }))[0]).toEqual({ partition: 0, offset: 1, duplicate: false });
      expect((await again({ redrive, generated: true }))[0]).toEqual({ partition: 0, offset: 1, duplicate: true });
      expect((await again({ redrive: { ...redrive, id: 'g/s/0/0:2' } }))[0]!.duplicate).toBe(false);
      expect((await again({}))[0]).toEqual({ partition: 0, offset: 0, duplicate: true });
      const after = await restarted();
      expect((await append(after, 's', [event('a', { redrive })]))[0]).toEqual({ partition: 0, offset: 1, duplicate: true });
      expect((await after.read('s', 0, 0, all)).map((record) => [record.id, record.redrive?.id])).toEqual([
        ['a', undefined],
        ['a', 'g/s/0/0'],
        ['a', 'g/s/0/0:2'],
      ]);
    });
  });
}
