/** The suite for logs: append, read and the window of ids. */

import { all, append, codeOf, event, type LogSuite, many, plain, recordOf } from './exercise-log-support.js';

/** Tests of append, read and the window of ids. */
export function exerciseAppend({ name, describe, expect, test, testRestart }: LogSuite): void {
  describe(`${name}: append and read`, () => {
    test('gives back what was appended, in order, byte for byte', async (log) => {
      const events = [
        event('a', { payload: Uint8Array.of(0, 255, 10, 13), time: '2026-01-02T03:04:05.678Z', tenant: 'acme' }),
        event('b', { payload: new Uint8Array(0), receivedAt: 1_700_000_000_123 }),
        event('ключ-ё-🦊', { tenant: 'ténant' }),
        event('c', { key: 'ключ', trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }),
        event('d', { redrive: { id: 'g/s/0/1', group: 'g' }, time: '2026-01-02', key: 'k', trace: 't' }),
        event('e', { redrive: { id: 'g/s/0/1', group: null }, payload: new Uint8Array([7]) }),
      ];
      expect(await append(log, 's', events)).toEqual(
        [0, 1, 2, 3, 4, 5].map((offset) => ({ partition: 0, offset, duplicate: false })),
      );
      const records = await log.read('s', 0, 0, all);
      expect(records.map(plain)).toEqual(events.map((e, offset) => plain(recordOf(e, 's', 0, offset))));
    });

    test('numbers each stream from 0, without gaps, over many appends', async (log) => {
      await Promise.all([append(log, 's', many('a', 3)), append(log, 't', many('a', 2)), append(log, 's', many('b', 4))]);
      expect((await log.read('s', 0, 0, all)).map((r) => r.offset)).toEqual([0, 1, 2, 3, 4, 5, 6]);
      expect((await log.read('t', 0, 0, all)).map((r) => r.offset)).toEqual([0, 1]);
      expect([...(await log.streams())].sort((a, b) => (a.stream < b.stream ? -1 : 1))).toMatchObject([
        { stream: 's', partition: 0, firstOffset: 0, nextOffset: 7 },
        { stream: 't', partition: 0, firstOffset: 0, nextOffset: 2 },
      ]);
    });

    test('reads from an offset, at most maxItems, and at least one record whatever maxBytes says', async (log) => {
      await append(log, 's', many('a', 20));
      expect((await log.read('s', 0, 7, { maxItems: 3, maxBytes: 1 << 20 })).map((r) => r.offset)).toEqual([7, 8, 9]);
      expect((await log.read('s', 0, 19, { maxItems: 3, maxBytes: 1 })).map((r) => r.offset)).toEqual([19]);
      expect(await log.read('s', 0, 20, all)).toEqual([]);
      expect(await log.read('unknown', 0, 0, all)).toEqual([]);
    });

    test('keeps records valid after later appends and reads', async (log) => {
      await append(log, 's', [event('a', { payload: Buffer.from('first') })]);
      const [first] = await log.read('s', 0, 0, all);
      await append(log, 's', many('b', 100));
      await log.read('s', 0, 0, all);
      expect(Buffer.from(first!.payload).toString()).toBe('first');
    });

    test('does not keep the buffer of the caller', async (log) => {
      const payload = Buffer.from('mine');
      const done = append(log, 's', [event('a', { payload })]);
      payload.fill(0);
      await done;
      expect(Buffer.from((await log.read('s', 0, 0, all))[0]!.payload).toString()).toBe('mine');
    });

    test('takes an empty append', async (log) => {
      expect(await append(log, 's', [])).toEqual([]);
    });

    test('refuses a wrong event and stores nothing of its append', async (log) => {
      const wrong = [
        event(''),
        event('i'.repeat(513)),
        event('a', { tenant: '' }),
        event('a', { tenant: 't'.repeat(129) }),
        event('\ud800'),
        event('a', { key: '' }),
        event('a', { key: 'k'.repeat(513) }),
        event('a', { trace: 't'.repeat(65) }),
        event('a', { redrive: { id: '', group: 'g' } }),
      ];
      for (const bad of wrong) expect(await codeOf(append(log, 's', [event('good'), bad]))).toBe('INVALID_VALUE');
      expect(await codeOf(append(log, 's'.repeat(129), [event('good')]))).toBe('INVALID_VALUE');
      expect(await codeOf(append(log, '', [event('good')]))).toBe('INVALID_VALUE');
      expect(await log.read('s', 0, 0, all)).toEqual([]);
      await append(log, 's', [event('good'), event('i'.repeat(512)), event('é'.repeat(256))]);
      expect((await log.read('s', 0, 0, all)).length).toBe(3);
    });

    test('wakes who listens once per stream after records became readable, and not after it stopped listening', async (log) => {
      const seen: number[] = [];
      let woken = () => {};
      const stop = log.onAppended('s', () => {
        seen.push(seen.length);
        woken();
      });
      const awake = new Promise<void>((resolve) => {
        woken = resolve;
      });
      log.onAppended('other', () => seen.push(-1));
      await append(log, 's', many('a', 5));
      await awake;
      expect((await log.read('s', 0, 0, all)).length).toBe(5);
      stop();
      const before = seen.length;
      await append(log, 's', many('b', 5));
      expect(seen.length).toBe(before);
    });

    test('appends what was offered, before what was appended later, and counts what is in memory alone', async (log) => {
      expect(log.offer('s', many('a', 3))).toBe('accepted');
      expect(log.memoryOnly).toBe(3);
      await append(log, 's', [event('b')]);
      expect(log.memoryOnly).toBe(0);
      expect((await log.read('s', 0, 0, all)).map((r) => r.id)).toEqual(['a0', 'a1', 'a2', 'b']);
      log.offer('s', [event('c')]);
      await log.flushed();
      expect(log.memoryOnly).toBe(0);
      expect((await log.read('s', 0, 4, all)).map((r) => r.id)).toEqual(['c']);
    });

    test(
      'says full or OVERLOADED at maxHeldItems, and stores nothing of that append',
      async (log) => {
        expect(log.offer('s', many('a', 10))).toBe('accepted');
        expect(log.offer('s', [event('b')])).toBe('full');
        expect(await codeOf(append(log, 's', [event('b')]))).toBe('OVERLOADED');
        expect(await codeOf(append(log, 's', many('c', 11)))).toBe('ITEM_TOO_LARGE');
        await log.flushed();
        expect((await log.read('s', 0, 0, all)).length).toBe(10);
        await append(log, 's', [event('b')]);
      },
      { maxHeldItems: 10 },
    );

    test('refuses after close, and closes twice', async (log) => {
      log.offer('s', many('a', 2));
      await Promise.all([log.close(), log.close()]);
      expect(log.memoryOnly).toBe(0);
      expect(log.offer('s', [event('b')])).toBe('closed');
      expect(await codeOf(append(log, 's', [event('b')]))).toBe('CLOSED');
    });

    testRestart('goes on numbering after a restart', async (log, restarted) => {
      await append(log, 's', many('a', 3));
      const again = await restarted();
      expect((await append(again, 's', [event('b')]))[0]!.offset).toBe(3);
      expect((await again.read('s', 0, 0, all)).map((r) => r.id)).toEqual(['a0', 'a1', 'a2', 'b']);
    });
  });

  describe(`${name}: the window of ids`, () => {
    test('names a duplicate with the place of its original, and stores it once', async (log) => {
      await append(log, 's', many('a', 2));
      expect(await append(log, 's', [event('new'), event('a1')])).toEqual([
        { partition: 0, offset: 2, duplicate: false },
        { partition: 0, offset: 1, duplicate: true },
      ]);
      expect((await log.read('s', 0, 0, all)).map((r) => r.id)).toEqual(['a0', 'a1', 'new']);
    });

    test('knows duplicates within one append, and of an append at the same time', async (log) => {
      const [first, second] = await Promise.all([
        append(log, 's', [event('a'), event('b'), event('a')]),
        append(log, 's', [event('b'), event('c')]),
      ]);
      expect(first!.map((a) => [a.offset, a.duplicate])).toEqual([
        [0, false],
        [1, false],
        [0, true],
      ]);
      expect(second!.map((a) => [a.offset, a.duplicate])).toEqual([
        [1, true],
        [2, false],
      ]);
    });

    test('tells streams, tenants and long ids apart', async (log) => {
      const long = 'x'.repeat(500);
      await append(log, 's', [event('a'), event(`${long}1`)]);
      const appended = [
        ...(await append(log, 't', [event('a')])),
        ...(await append(log, 's', [event('a', { tenant: 'acme' }), event(`${long}2`), event(`${long}1`)])),
      ];
      expect(appended.map((a) => a.duplicate)).toEqual([false, false, false, true]);
    });

    test('lets generated ids pass', async (log) => {
      await append(log, 's', [event('a', { generated: true })]);
      expect((await append(log, 's', [event('a', { generated: true }), event('a')])).map((a) => a.duplicate)).toEqual([
        false,
        false,
      ]);
    });

    test(
      'forgets the oldest id at ids.maxItems, not one earlier and not one later',
      async (log) => {
        await append(log, 's', many('a', 4));
        expect((await append(log, 's', [event('a0')]))[0]!.duplicate).toBe(true);
        await append(log, 's', [event('b')]);
        expect((await append(log, 's', [event('a1')]))[0]!.duplicate).toBe(true);
        expect((await append(log, 's', [event('a0')]))[0]!.duplicate).toBe(false);
        expect((await append(log, 's', [event('a1')]))[0]!.duplicate).toBe(false);
      },
      { streamDefaults: { ids: { maxItems: 4 } } },
    );

    testRestart('knows ids after a restart', async (log, restarted) => {
      await append(log, 's', many('a', 3));
      const again = await restarted();
      expect(await append(again, 's', [event('a2')])).toEqual([{ partition: 0, offset: 2, duplicate: true }]);
    });
  });
}
