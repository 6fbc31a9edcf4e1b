import { describe, expect, it } from 'vitest';
import { failure } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { consumerWorld, eventsOf } from '../testing/consumer-world.js';
import { testEnv } from '../testing/test-env.js';
import type { Consumer } from './consumer-contract.js';
import type { Log } from './log.js';
import { createMemoryLog } from './memory-log.js';
import type { LogRecord, Receipt } from './record.js';

const never = new AbortController().signal;
const cursorOf = (consumer: Consumer) => consumer.status().partitions[0]?.cursor;
const ids = (from: number, count: number) => eventsOf(from, count).map((event) => event.id);

describe('consumer', () => {
  it('delivers what is in the log in batches, in order, and moves the cursor to its end', async () => {
    const { env, start, append, calls, drained } = await consumerWorld({ answer: () => undefined, maxItems: 40 });
    await append(0, 100);
    const consumer = await start();
    await env.clock.advance(100);
    expect(calls().map((call) => call.length)).toEqual([40, 40, 20]);
    expect(calls().flat()).toEqual(ids(0, 100));
    expect(consumer.status()).toMatchObject({ state: 'running', partitions: [{ cursor: 100, state: 'reading' }] });
    expect(await consumer.lag()).toMatchObject({ items: 0, bytes: 0, oldestMs: 0 });
    expect(tallyImbalance(consumer.status().tally)).toBe(0);
    await drained(consumer);
    expect(env.clock.timers).toBe(0);
  });

  it('wakes up for records that are appended later', async () => {
    const { env, start, append, calls, drained } = await consumerWorld({ answer: () => undefined });
    const consumer = await start();
    await env.clock.advance(500);
    await append(0, 3);
    await env.clock.advance(100);
    expect(calls().flat()).toEqual(ids(0, 3));
    await drained(consumer);
  });

  it('R-131: goes on from the cursor after a restart, and delivers nothing that was settled again', async () => {
    const { env, start, append, calls, drained } = await consumerWorld({ answer: () => undefined });
    await append(0, 10);
    const first = await start();
    await env.clock.advance(100);
    await drained(first);
    await append(10, 5);
    const second = await start();
    await env.clock.advance(100);
    expect(calls().flat()).toEqual(ids(0, 15));
    await drained(second);
  });

  it('R-185: delivers again after a restart what was in flight, but not what was settled above it', async () => {
    const { env, sink, start, append, drained } = await consumerWorld({ maxItems: 1, window: 'whileBusy' });
    await append(0, 3);
    const first = await start();
    await env.clock.advance(1);
    expect(sink.calls.map((call) => call.items[0]!.id)).toEqual(['e0', 'e1', 'e2']);
    sink.calls[1]!.reply();
    await env.clock.advance(1);
    expect(first.status().partitions).toMatchObject([{ cursor: 0, rangesAbove: 1, items: 2 }]);
    const report = await drained(first, 10);
    expect(report).toEqual({
      ok: 1,
      dead: 0,
      leftInLog: 2,
      partitions: [{ partition: 0, cursor: 0, leftInLog: 2 }],
      unanswered: 2,
    });
    const second = await start();
    await env.clock.advance(1);
    expect(sink.calls.slice(3).map((call) => call.items[0]!.id)).toEqual(['e0', 'e2']);
    for (const call of sink.calls.slice(3)) call.reply();
    await drained(second);
    expect(await second.lag()).toMatchObject({ items: 0 });
  });

  it('reads what nobody waits for as background, and all of it in the foreground while somebody waits or it drains', async () => {
    const env = testEnv();
    const memory = createMemoryLog({ env });
    const reads: (boolean | undefined)[] = [];
    const log: Log = Object.assign(Object.create(memory), {
      read: (...args: Parameters<Log['read']>) => {
        reads.push(args[3].isBackground);
        return memory.read(...args);
      },
    });
    const { start, append, drained } = await consumerWorld({ log, testEnv: env, answer: () => undefined });
    const consumer = await start();
    await append(0, 1);
    await env.clock.advance(1);
    expect(new Set(reads.splice(0))).toEqual(new Set([true]));
    const settled = consumer.settled(0, 1, never);
    await append(1, 1);
    await env.clock.advance(100);
    expect(await settled).toBe('ok');
    expect(reads.splice(0)[0]).toBe(false);
    await append(2, 3_000);
    expect(await drained(consumer)).toMatchObject({ leftInLog: 0 });
    expect(reads.at(-1)).toBe(false);
  });

  it('begins where it is told when the group is new, and where it stood when it is not', async () => {
    const { env, log, start, append, calls, drained } = await consumerWorld({ answer: () => undefined });
    await log.createGroup('keeper', 'events');
    await append(0, 5);
    const first = await start({ from: 'end' });
    await append(5, 2);
    await env.clock.advance(100);
    expect(calls().flat()).toEqual(['e5', 'e6']);
    await drained(first);
    const second = await start({ from: 'start' });
    await env.clock.advance(100);
    await drained(second);
    expect(calls().flat()).toEqual(['e5', 'e6']);
  });

  it('is back within four seconds of an outage, however long that was', async () => {
    let down = true;
    const { env, start, append, drained } = await consumerWorld({
      answer: () => {
        if (down) throw failure('connection refused', { code: 'PG_CONNECTION', class: 'transient' });
      },
    });
    await append(0, 10);
    const consumer = await start();
    await env.clock.advance(60 * 60_000);
    down = false;
    await env.clock.advance(4_000);
    expect(cursorOf(consumer)).toBe(10);
    await drained(consumer);
  });

  it('holds on through transient failures, however many, and loses nothing', async () => {
    const { env, log, sink, start, append, drained } = await consumerWorld({
      answer: (_, call) => {
        if (call <= 50) throw failure('connection refused', { code: 'PG_CONNECTION', class: 'transient' });
      },
    });
    await append(0, 10);
    const consumer = await start();
    await env.clock.advance(5_000);
    expect(consumer.status().problem).toMatchObject({ code: 'PG_CONNECTION', class: 'transient', message: 'connection refused' });
    await env.clock.advance(60 * 60_000);
    expect(sink.calls.length).toBe(51);
    expect(consumer.status().problem).toBeUndefined();
    expect(cursorOf(consumer)).toBe(10);
    expect(log.letters.items).toBe(0);
    await drained(consumer);
  });

  it('holds records that are blocked, raises one alarm, probes, and parks none of them, whatever maxAttempts says', async () => {
    let granted = false;
    const { env, log, sink, start, append, drained } = await consumerWorld({
      retry: { maxAttempts: 3 },
      answer: () => {
        if (!granted) throw failure('permission denied for table events', { code: 'PG_42501', class: 'blocked' });
      },
    });
    await append(0, 3);
    const consumer = await start();
    await env.clock.advance(10 * 60_000);
    expect(consumer.status()).toMatchObject({ partitions: [{ cursor: 0 }], problem: { class: 'blocked' } });
    expect(env.eventsOf('alarm')).toMatchObject([{ name: 'g/events', code: 'PG_42501', failureClass: 'blocked' }]);
    expect(sink.calls.length).toBeGreaterThan(60);
    granted = true;
    await env.clock.advance(2 * 60_000);
    expect(consumer.status()).toMatchObject({ partitions: [{ cursor: 3 }], problem: undefined });
    expect(log.letters.items).toBe(0);
    await drained(consumer);
  });

  it('tells whoever waits for a record once it is settled', async () => {
    const { env, sink, start, append, drained } = await consumerWorld();
    await append(0, 2);
    const consumer = await start();
    await env.clock.advance(100);
    const told: string[] = [];
    const left = new AbortController();
    void consumer.settled(0, 0, never).then((how) => told.push(`0 ${how}`));
    const forgotten = consumer.settled(0, 1, left.signal).catch((error) => told.push(error.code));
    left.abort();
    await forgotten;
    expect(told).toEqual(['CANCELLED']);
    sink.calls[0]!.reply();
    await env.clock.advance(1);
    expect(told).toEqual(['CANCELLED', '0 ok']);
    await drained(consumer);
  });

  it('tells of what was settled before it was asked, by an owner before it too, and in its absence', async () => {
    const { env, start, append, drained } = await consumerWorld({
      answer: (records) => records.map((record) => (record.id === 'e1' ? failure('bad row') : undefined)),
    });
    await append(0, 2);
    const first = await start();
    await env.clock.advance(200);
    expect(await Promise.all([0, 1].map((offset) => first.settled(0, offset, never)))).toEqual(['ok', 'dead']);
    await drained(first);
    const waited = first.settled(0, 2, never);
    const second = await start();
    await env.clock.advance(100);
    expect(await Promise.all([0, 1].map((offset) => second.settled(0, offset, never)))).toEqual(['ok', 'dead']);
    await append(2, 1);
    await env.clock.advance(100);
    expect(await waited).toBe('ok');
    await drained(second);
  });

  it('tells who waits for a redrive that is for another group, as it passes it over', async () => {
    const { env, start, append, drained } = await consumerWorld();
    const consumer = await start();
    const told: string[] = [];
    for (const offset of [0, 1]) void consumer.settled(0, offset, never).then((how) => told.push(`${offset} ${how}`));
    await append(0, 2, (n) => ({ redrive: { id: `r${n}`, group: n === 0 ? 'other' : 'g' } }));
    await env.clock.advance(100);
    expect(told).toEqual(['0 ok']);
    await drained(consumer);
  });

  it.each(['halts', 'has not the partition'] as const)(
    'tells who asks for what the sink has taken and the log does not know of yet, though the consumer %s',
    async (how) => {
      const bad = (record: LogRecord) => (how === 'halts' && record.id === 'e1' ? failure('bad row') : undefined);
      const { env, log, start, append, drained } = await consumerWorld({
        window: { maxDelayMs: 5 },
        strict: 'halt',
        answer: (records) => records.map(bad),
      });
      const consumer = await start();
      const asked = how === 'halts' ? consumer : await start();
      await append(0, 2);
      await env.clock.advance(7);
      expect((await log.position('g', 'events', 0))?.cursor).toBe(0);
      const told: unknown[] = [];
      void asked.settledAll([{ partition: 0, offset: 0 }], never).then((hows) => told.push(...hows));
      await env.clock.advance(100);
      expect(told).toEqual(['ok']);
      for (const each of new Set([consumer, asked])) await drained(each);
    },
  );

  it('gathers settlements for 25 ms before it writes them, tells of those that the sink took at once, and of dead ones when they are parked', async () => {
    const { env, log, sink, start, append, drained } = await consumerWorld({ maxItems: 1, window: 'whileBusy' });
    await append(0, 3);
    const writes: unknown[] = [];
    const settle = log.settle.bind(log);
    log.settle = (owner, moves) => {
      writes.push([moves.delivered, moves.dead?.length]);
      return settle(owner, moves);
    };
    const consumer = await start();
    await env.clock.advance(1);
    const told: string[] = [];
    for (const offset of [0, 1, 2]) void consumer.settled(0, offset, never).then((how) => told.push(`${offset} ${how}`));
    await env.clock.settle();
    sink.calls[0]!.reply();
    sink.calls[1]!.fail(failure('bad row', { class: 'permanent' }));
    await env.clock.advance(1);
    expect({ told, writes }).toEqual({ told: ['0 ok'], writes: [] });
    sink.calls[2]!.reply();
    await env.clock.advance(25);
    const delivered = [
      { first: 0, last: 0 },
      { first: 2, last: 2 },
    ];
    expect({ told, writes }).toEqual({ told: ['0 ok', '2 ok', '1 dead'], writes: [[delivered, 1]] });
    await drained(consumer);
    expect(await log.position('g', 'events', 0)).toEqual({ cursor: 3, settledAbove: [] });
  });

  it('counts no lag for what the sink has taken, though its settlement still gathers', async () => {
    const { env, start, append, drained } = await consumerWorld({ answer: () => undefined, window: 'whileBusy' });
    const consumer = await start();
    await env.clock.advance(1);
    const { appended } = (await append(0, 1)) as Receipt;
    await env.clock.advance(1);
    expect(await consumer.settled(0, appended[0]!.offset, never)).toBe('ok');
    expect(await consumer.lag()).toMatchObject({ items: 0, bytes: 0, oldestMs: 0 });
    await drained(consumer);
    expect(env.clock.timers).toBe(0);
  });

  it('R-120: drains what is in the log without waiting for its window', async () => {
    const { env, start, append, calls } = await consumerWorld({ answer: () => undefined, window: { maxDelayMs: 60_000 } });
    await append(0, 3000);
    const consumer = await start();
    await env.clock.advance(1);
    const report = consumer.drain({ deadlineMs: 1000 });
    await env.clock.settle();
    await env.clock.settle();
    expect(await report).toMatchObject({ ok: 3000, dead: 0, leftInLog: 0, unanswered: 0 });
    expect(calls().flat()).toHaveLength(3000);
    expect(env.clock.timers).toBe(0);
  });

  it('R-121: stops at the drain deadline when the sink hangs, and says how many records stay in the log', async () => {
    const { env, start, append } = await consumerWorld({ maxItems: 10 });
    await append(0, 100);
    const consumer = await start();
    await env.clock.advance(100);
    const report = consumer.drain({ deadlineMs: 5_000 });
    await env.clock.advance(5_000);
    expect(await report).toMatchObject({ ok: 0, dead: 0, leftInLog: 100, unanswered: 40 });
    expect(consumer.status().state).toBe('stopped');
    expect(env.clock.timers).toBe(0);
  });

  it('R-121: a second drain with a shorter deadline ends the first one at once, with the same report', async () => {
    const { env, start, append } = await consumerWorld({ maxItems: 10 });
    await append(0, 100);
    const consumer = await start();
    await env.clock.advance(100);
    const first = consumer.drain({ deadlineMs: 30_000 });
    await env.clock.advance(10);
    const second = consumer.drain({ deadlineMs: 0 });
    await env.clock.settle();
    expect(await second).toBe(await first);
    expect(await first).toMatchObject({ leftInLog: 100 });
    expect(env.clock.timers).toBe(0);
  });

  it('bounds how far it reads ahead of a stuck record, in records', async () => {
    const { env, sink, start, append, drained } = await consumerWorld({
      maxItems: 1,
      maxInFlight: 2,
      maxAhead: 20,
      window: 'whileBusy',
    });
    const consumer = await start();
    let answered = 1;
    for (let i = 0; i < 100; i++) {
      await append(i, 1);
      await env.clock.advance(1);
      // The first record hangs; everything else is answered.
      for (; answered < sink.calls.length; answered++) sink.calls[answered]!.reply();
    }
    await env.clock.advance(1000);
    expect(sink.calls.map((call) => call.items[0]!.offset)).toEqual(Array.from({ length: 20 }, (_, offset) => offset));
    sink.calls[0]!.reply();
    await env.clock.advance(30);
    expect(sink.calls.length).toBeGreaterThan(20);
    await drained(consumer, 10);
  });

  it('bounds what it holds in bytes, however large the backlog, the settled neighbours of a stuck record included', async () => {
    const kilobyte = () => ({ payload: new Uint8Array(1000) });
    const { env, sink, start, append, drained } = await consumerWorld({
      maxItems: 1,
      maxAheadBytes: 100_000,
      window: 'whileBusy',
    });
    await append(0, 2_000, kilobyte);
    const consumer = await start();
    let most = 0;
    for (let turn = 0, answered = 1; turn < 300; turn++) {
      await env.clock.advance(1);
      for (; answered < sink.calls.length; answered++) sink.calls[answered]!.reply();
      most = Math.max(most, consumer.status().aheadBytes);
    }
    expect(most).toBeGreaterThan(80_000);
    // One record may exceed what is left of the room.
    expect(most).toBeLessThanOrEqual(100_000 + 2_000);
    expect(sink.calls.length).toBeLessThan(100);
    for (const call of sink.calls.slice(0, 1)) call.reply();
    await env.clock.advance(30);
    expect(sink.calls.length).toBeGreaterThan(50);
    await drained(consumer, 0);
  });

  it('reads a record that is larger than all that it may hold, alone', async () => {
    const { env, start, append, calls, drained } = await consumerWorld({ answer: () => undefined, maxAheadBytes: 1_000 });
    await append(0, 3, () => ({ payload: new Uint8Array(5_000) }));
    const consumer = await start();
    await env.clock.advance(1_000);
    expect(calls()).toEqual([['e0'], ['e1'], ['e2']]);
    await drained(consumer);
  });

  it('R-186: a rate bounds how many records a second it delivers', async () => {
    const { env, start, append, calls, drained } = await consumerWorld({
      answer: () => undefined,
      maxItems: 10,
      rate: { perSecond: 100, burst: 10, by: 'items' },
    });
    await append(0, 1_000);
    const consumer = await start();
    await env.clock.advance(2_000);
    const delivered = calls().flat().length;
    expect(delivered).toBeGreaterThanOrEqual(190);
    expect(delivered).toBeLessThanOrEqual(230);
    await drained(consumer, 0);
  });

  it('stops and says so when the log refuses a settlement; the records stay in the log', async () => {
    const env = testEnv();
    const log = createMemoryLog({ env });
    const broken: Log = Object.assign(Object.create(log), {
      settle: () => Promise.reject(failure('disk full', { code: 'LOG_STOPPED', class: 'unknown' })),
    });
    const { start, append } = await consumerWorld({ log: broken, testEnv: env, answer: () => undefined });
    await append(0, 5);
    const consumer = await start();
    await env.clock.advance(100);
    expect(await consumer.failed).toMatchObject({ code: 'LOG_STOPPED' });
    expect(consumer.status()).toMatchObject({ state: 'stopped', broken: { code: 'LOG_STOPPED' } });
    expect(env.eventsOf('alarm')).toMatchObject([{ partition: 0, code: 'LOG_STOPPED' }]);
    expect(await consumer.drain({ deadlineMs: 10 })).toMatchObject({ ok: 0, leftInLog: 5 });
    expect(env.clock.timers).toBe(0);
  });

  it('says what is wrong with its options', async () => {
    const { start } = await consumerWorld();
    await expect(start({ strict: 'stop' as never })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(start({ poison: { maxCrashs: 3 } as never })).rejects.toThrow(/did you mean maxCrashes/);
    await expect(start({ retry: { holdBlocked: false } as never })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(start({ group: '' })).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    await expect(start({ sink: {} as never })).rejects.toThrow(/needs a sink/);
  });
});

const badRow = (records: readonly LogRecord[], isBad: (record: LogRecord) => boolean) => {
  if (records.some(isBad)) throw failure('bad row', { code: 'PG_22P02', class: 'permanent' });
};

describe('consumer and bad records', () => {
  it('takes one bad record out of its batch and parks it with its bytes; all others are written, and the cursor passes it', async () => {
    const { env, log, sink, start, append, drained } = await consumerWorld({
      answer: (records) => badRow(records, (record) => record.id === 'e37'),
    });
    await append(0, 100);
    const consumer = await start();
    await env.clock.advance(100);
    expect(cursorOf(consumer)).toBe(100);
    const { letters } = await log.letters.page();
    expect(letters).toHaveLength(1);
    expect(letters[0]).toMatchObject({
      id: 'g/events/0/37',
      group: 'g',
      code: 'PG_22P02',
      class: 'permanent',
      message: 'bad row',
    });
    expect(new TextDecoder().decode(letters[0]!.record.payload)).toBe('{"n":37}');
    expect(letters[0]!.attempts).toBeGreaterThan(1);
    expect(sink.calls.length).toBeLessThanOrEqual(2 * 7 + 1);
    expect(await consumer.settled(0, 37, never)).toBe('dead');
    expect(await consumer.settled(0, 36, never)).toBe('ok');
    await drained(consumer);
    expect(consumer.status().tally).toMatchObject({ ok: 99, dead: 1, failed: 0 });
  });

  it('parks the bad records alone, however many a batch holds', async () => {
    const isBad = (record: LogRecord) => record.offset % 7 === 3;
    const { env, log, sink, start, append, drained } = await consumerWorld({ answer: (records) => badRow(records, isBad) });
    await append(0, 2000);
    const consumer = await start();
    await env.clock.advance(1000);
    expect(cursorOf(consumer)).toBe(2000);
    const parked = (await log.letters.page({ limit: 2000 })).letters.map((letter) => letter.record);
    expect(parked.filter((record) => !isBad(record))).toEqual([]);
    expect(parked).toHaveLength(Math.ceil((2000 - 3) / 7));
    expect(sink.calls.length).toBeLessThanOrEqual(2 * 2000);
    await drained(consumer);
  });
});
