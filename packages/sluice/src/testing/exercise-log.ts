/** What every {@link Log} must do, as a suite: run it on your own implementation. */

import type { GroupPosition, Log, LogRecord, NewEvent, Settlement } from '../log/log.js';

/** A log under test. */
export interface LogUnderTest {
  readonly log: Log;
  /** Closes the log and opens it again over the same data; left out where nothing outlives the log. */
  reopen?(): Promise<Log>;
  /** Closes what is open and removes what was made. */
  dispose(): Promise<void>;
}

/** What the suite sets, to test it. */
export interface LogUnderTestOptions {
  /** Ids that the log remembers for each stream and tenant. Default: the log's own. */
  readonly idWindowItems?: number;
  /** Events that the log holds in memory at most. Default: the log's own. */
  readonly maxHeldItems?: number;
}

/** The functions of a test framework: vitest's and jest's fit. */
export interface TestFunctions {
  describe(name: string, fn: () => void): unknown;
  it(name: string, fn: () => Promise<void>): unknown;
  expect(actual: unknown): {
    toEqual(expected: unknown): void;
    toBe(expected: unknown): void;
    toMatchObject(expected: object): void;
  };
}

/** Declares the tests of a log; `open` makes an empty one for each test. */
export function exerciseLog(
  name: string,
  open: (options: LogUnderTestOptions) => Promise<LogUnderTest>,
  functions: TestFunctions,
): void {
  const { describe, it, expect } = functions;
  const all = { maxItems: 1_000_000, maxBytes: Number.POSITIVE_INFINITY };

  function test(
    sentence: string,
    body: (log: Log, reopen: (() => Promise<Log>) | undefined) => Promise<void>,
    options: LogUnderTestOptions = {},
  ): void {
    it(sentence, async () => {
      const under = await open(options);
      try {
        await body(under.log, under.reopen?.bind(under));
      } finally {
        await under.dispose();
      }
    });
  }

  /** The body before and after a restart, where the log has one. */
  function testRestart(sentence: string, body: (log: Log, restarted: () => Promise<Log>) => Promise<void>): void {
    test(sentence, (log, reopen) => body(log, reopen ?? (async () => log)));
  }

  describe(`${name}: append and read`, () => {
    test('gives back what was appended, in order, byte for byte', async (log) => {
      const events = [
        event('a', { payload: Uint8Array.of(0, 255, 10, 13), time: '2026-01-02T03:04:05.678Z', tenant: 'acme' }),
        event('b', { payload: new Uint8Array(0), receivedAt: 1_700_000_000_123 }),
        event('ключ-ё-🦊', { tenant: 'ténant' }),
      ];
      expect(await log.append('s', events)).toEqual([0, 1, 2].map((offset) => ({ partition: 0, offset, duplicate: false })));
      const records = await log.read('s', 0, 0, all);
      expect(records.map(plain)).toEqual(events.map((e, offset) => plain({ ...e, stream: 's', partition: 0, offset })));
    });

    test('numbers each stream from 0, without gaps, over many appends', async (log) => {
      await Promise.all([log.append('s', many('a', 3)), log.append('t', many('a', 2)), log.append('s', many('b', 4))]);
      expect((await log.read('s', 0, 0, all)).map((r) => r.offset)).toEqual([0, 1, 2, 3, 4, 5, 6]);
      expect((await log.read('t', 0, 0, all)).map((r) => r.offset)).toEqual([0, 1]);
      expect([...(await log.streams())].sort((a, b) => (a.stream < b.stream ? -1 : 1))).toEqual([
        { stream: 's', partition: 0, firstOffset: 0, nextOffset: 7 },
        { stream: 't', partition: 0, firstOffset: 0, nextOffset: 2 },
      ]);
    });

    test('reads from an offset, at most maxItems, and at least one record whatever maxBytes says', async (log) => {
      await log.append('s', many('a', 20));
      expect((await log.read('s', 0, 7, { maxItems: 3, maxBytes: 1 << 20 })).map((r) => r.offset)).toEqual([7, 8, 9]);
      expect((await log.read('s', 0, 19, { maxItems: 3, maxBytes: 1 })).map((r) => r.offset)).toEqual([19]);
      expect(await log.read('s', 0, 20, all)).toEqual([]);
      expect(await log.read('unknown', 0, 0, all)).toEqual([]);
    });

    test('keeps records valid after later appends and reads', async (log) => {
      await log.append('s', [event('a', { payload: Buffer.from('first') })]);
      const [first] = await log.read('s', 0, 0, all);
      await log.append('s', many('b', 100));
      await log.read('s', 0, 0, all);
      expect(Buffer.from(first!.payload).toString()).toBe('first');
    });

    test('does not keep the buffer of the caller', async (log) => {
      const payload = Buffer.from('mine');
      const done = log.append('s', [event('a', { payload })]);
      payload.fill(0);
      await done;
      expect(Buffer.from((await log.read('s', 0, 0, all))[0]!.payload).toString()).toBe('mine');
    });

    test('takes an empty append', async (log) => {
      expect(await log.append('s', [])).toEqual([]);
    });

    test('refuses a wrong event and stores nothing of its append', async (log) => {
      const wrong = [
        event(''),
        event('i'.repeat(513)),
        event('a', { tenant: '' }),
        event('a', { tenant: 't'.repeat(129) }),
        event('\ud800'),
      ];
      for (const bad of wrong) expect(await codeOf(log.append('s', [event('good'), bad]))).toBe('INVALID_VALUE');
      expect(await codeOf(log.append('s'.repeat(129), [event('good')]))).toBe('INVALID_VALUE');
      expect(await codeOf(log.append('', [event('good')]))).toBe('INVALID_VALUE');
      expect(await log.read('s', 0, 0, all)).toEqual([]);
      await log.append('s', [event('good'), event('i'.repeat(512)), event('é'.repeat(256))]);
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
      await log.append('s', many('a', 5));
      await awake;
      expect((await log.read('s', 0, 0, all)).length).toBe(5);
      stop();
      const before = seen.length;
      await log.append('s', many('b', 5));
      expect(seen.length).toBe(before);
    });

    test('appends what was offered, before what was appended later, and counts what is in memory alone', async (log) => {
      expect(log.offer('s', many('a', 3))).toBe('accepted');
      expect(log.memoryOnly).toBe(3);
      await log.append('s', [event('b')]);
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
        expect(await codeOf(log.append('s', [event('b')]))).toBe('OVERLOADED');
        expect(await codeOf(log.append('s', many('c', 11)))).toBe('ITEM_TOO_LARGE');
        await log.flushed();
        expect((await log.read('s', 0, 0, all)).length).toBe(10);
        await log.append('s', [event('b')]);
      },
      { maxHeldItems: 10 },
    );

    test('refuses after close, and closes twice', async (log) => {
      log.offer('s', many('a', 2));
      await Promise.all([log.close(), log.close()]);
      expect(log.memoryOnly).toBe(0);
      expect(log.offer('s', [event('b')])).toBe('closed');
      expect(await codeOf(log.append('s', [event('b')]))).toBe('CLOSED');
    });

    testRestart('goes on numbering after a restart', async (log, restarted) => {
      await log.append('s', many('a', 3));
      const again = await restarted();
      expect((await again.append('s', [event('b')]))[0]!.offset).toBe(3);
      expect((await again.read('s', 0, 0, all)).map((r) => r.id)).toEqual(['a0', 'a1', 'a2', 'b']);
    });
  });

  describe(`${name}: the window of ids`, () => {
    test('names a duplicate with the place of its original, and stores it once', async (log) => {
      await log.append('s', many('a', 2));
      expect(await log.append('s', [event('new'), event('a1')])).toEqual([
        { partition: 0, offset: 2, duplicate: false },
        { partition: 0, offset: 1, duplicate: true },
      ]);
      expect((await log.read('s', 0, 0, all)).map((r) => r.id)).toEqual(['a0', 'a1', 'new']);
    });

    test('knows duplicates within one append, and of an append at the same time', async (log) => {
      const [first, second] = await Promise.all([
        log.append('s', [event('a'), event('b'), event('a')]),
        log.append('s', [event('b'), event('c')]),
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
      await log.append('s', [event('a'), event(`${long}1`)]);
      const appended = [
        ...(await log.append('t', [event('a')])),
        ...(await log.append('s', [event('a', { tenant: 'acme' }), event(`${long}2`), event(`${long}1`)])),
      ];
      expect(appended.map((a) => a.duplicate)).toEqual([false, false, false, true]);
    });

    test('lets generated ids pass', async (log) => {
      await log.append('s', [event('a', { generated: true })]);
      expect((await log.append('s', [event('a', { generated: true }), event('a')])).map((a) => a.duplicate)).toEqual([
        false,
        false,
      ]);
    });

    test(
      'forgets the oldest id at idWindowItems, not one earlier and not one later',
      async (log) => {
        await log.append('s', many('a', 4));
        expect((await log.append('s', [event('a0')]))[0]!.duplicate).toBe(true);
        await log.append('s', [event('b')]);
        expect((await log.append('s', [event('a1')]))[0]!.duplicate).toBe(true);
        expect((await log.append('s', [event('a0')]))[0]!.duplicate).toBe(false);
        expect((await log.append('s', [event('a1')]))[0]!.duplicate).toBe(false);
      },
      { idWindowItems: 4 },
    );

    testRestart('knows ids after a restart', async (log, restarted) => {
      await log.append('s', many('a', 3));
      const again = await restarted();
      expect(await again.append('s', [event('a2')])).toEqual([{ partition: 0, offset: 2, duplicate: true }]);
    });
  });

  describe(`${name}: consumer groups`, () => {
    testRestart('keeps a group where it settled, restarts included', async (log, restarted) => {
      await log.append('s', many('a', 10));
      expect(await log.position('g', 's', 0)).toEqual({ cursor: 0, settledAbove: [] });
      const position: GroupPosition = { cursor: 3, settledAbove: [5, 6, 9] };
      await log.settle('g', 's', 0, position, ok(0, 1, 2, 5, 6, 9));
      const again = await restarted();
      expect(await again.position('g', 's', 0)).toEqual(position);
      expect((await again.read('s', 0, 3, all)).map((r) => r.offset)).toEqual([3, 4, 5, 6, 7, 8, 9]);
    });

    testRestart('drops what every group has settled, and never uses an offset again', async (log, restarted) => {
      await log.append('s', many('a', 5));
      await log.append('s', many('b', 5));
      await log.position('slow', 's', 0);
      await log.settle('fast', 's', 0, { cursor: 10, settledAbove: [] }, []);
      expect((await log.read('s', 0, 0, all)).length).toBe(10);
      await log.settle('slow', 's', 0, { cursor: 7, settledAbove: [] }, []);
      const left = (await log.read('s', 0, 0, all)).map((r) => r.offset);
      expect(left[0]! >= 5 && left.at(-1) === 9).toBe(true);
      await log.settle('slow', 's', 0, { cursor: 10, settledAbove: [] }, []);
      expect(await log.read('s', 0, 0, all)).toEqual([]);
      const again = await restarted();
      expect(await again.streams()).toEqual([{ stream: 's', partition: 0, firstOffset: 10, nextOffset: 10 }]);
      expect((await again.append('s', [event('c')]))[0]!.offset).toBe(10);
      expect(await again.position('new', 's', 0)).toEqual({ cursor: 10, settledAbove: [] });
      expect((await again.read('s', 0, 0, all)).map((r) => r.id)).toEqual(['c']);
    });

    test('keeps everything for a group that asked for its position and has settled nothing', async (log) => {
      await log.position('early', 'later', 0);
      await log.append('later', many('a', 3));
      await log.settle('g', 'later', 0, { cursor: 3, settledAbove: [] }, ok(0, 1, 2));
      expect((await log.read('later', 0, 0, all)).length).toBe(3);
      expect(await log.position('early', 'later', 0)).toEqual({ cursor: 0, settledAbove: [] });
    });
  });

  describe(`${name}: dead letters`, () => {
    testRestart('parks the original bytes with the reason, and has them after a restart', async (log, restarted) => {
      const payload = Uint8Array.of(123, 0, 255);
      await log.append('s', [event('good'), event('bad', { payload, tenant: 'acme', time: '2026-01-01T00:00:00Z' })]);
      const [, record] = await log.read('s', 0, 0, all);
      await log.settle('g', 's', 0, { cursor: 2, settledAbove: [] }, [...ok(0), dead(record!, 'FIRST')]);
      const again = await restarted();
      expect(again.deadLetterCount()).toBe(1);
      const letter = (await again.deadLetter('g', 's', 0, 1))!;
      expect(letter).toMatchObject({
        id: 'g/s/0/1',
        group: 'g',
        code: 'FIRST',
        class: 'permanent',
        message: 'refused',
        attempts: 3,
        firstFailedAt: 10,
        lastFailedAt: 20,
      });
      expect(plain(letter.record)).toEqual(plain(record!));
      expect((await again.deadLetters({ group: 'g' })).length).toBe(1);
      expect(await again.deadLetters({ group: 'other' })).toEqual([]);
      expect(await again.deadLetters({ stream: 'other' })).toEqual([]);
      expect((await again.deadLetters({ stream: 's' })).map((l) => l.id)).toEqual(['g/s/0/1']);
    });

    test('replaces a letter that is parked again, and removes it once its record was delivered', async (log) => {
      await log.append('s', many('a', 3));
      const records = await log.read('s', 0, 0, all);
      const stays: GroupPosition = { cursor: 0, settledAbove: [1, 2] };
      await log.settle('g', 's', 0, stays, [dead(records[1]!, 'FIRST'), dead(records[2]!, 'FIRST')]);
      await log.settle('g', 's', 0, stays, [dead(records[1]!, 'SECOND')]);
      await log.settle('other', 's', 0, stays, [dead(records[1]!, 'THIRD')]);
      expect(log.deadLetterCount()).toBe(3);
      expect((await log.deadLetter('g', 's', 0, 1))!.code).toBe('SECOND');
      await log.settle('g', 's', 0, stays, ok(1));
      expect(log.deadLetterCount()).toBe(2);
      expect(await log.deadLetter('g', 's', 0, 1)).toBe(undefined);
      expect((await log.deadLetter('other', 's', 0, 1))!.code).toBe('THIRD');
      expect((await log.deadLetters({ stream: 's', limit: 1 })).length).toBe(1);
    });
  });
}

function event(id: string, more: Partial<NewEvent> = {}): NewEvent {
  return { id, tenant: '_', time: null, receivedAt: 1_700_000_000_000, payload: Buffer.from(`{"id":"${id}"}`), ...more };
}

function many(prefix: string, count: number): NewEvent[] {
  return Array.from({ length: count }, (_, i) => event(`${prefix}${i}`));
}

function ok(...offsets: number[]): Settlement[] {
  return offsets.map((offset) => ({ offset, kind: 'ok' }));
}

function dead(record: LogRecord, code: string): Settlement {
  const why = { code, class: 'permanent', message: 'refused', attempts: 3, firstFailedAt: 10, lastFailedAt: 20 } as const;
  return { offset: record.offset, kind: 'dead', letter: { record, ...why } };
}

/** Payloads of logs differ in their class, never in their bytes. */
function plain(record: LogRecord): object {
  const { stream, partition, offset, id, tenant, time, receivedAt, payload } = record;
  return { stream, partition, offset, id, tenant, time, receivedAt, payload: [...payload] };
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  );
}
