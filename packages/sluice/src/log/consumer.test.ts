import { describe, expect, it } from 'vitest';
import { failure } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type Consumer, type ConsumerOptions, createConsumer } from './consumer.js';
import type { Log } from './log.js';
import { createMemoryLog } from './memory-log.js';
import type { LogRecord, NewEvent } from './record.js';

const never = new AbortController().signal;

function events(from: number, count: number): NewEvent[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `e${from + i}`,
    tenant: '_',
    time: null,
    receivedAt: 0,
    payload: new TextEncoder().encode(`{"n":${from + i}}`),
  }));
}

async function world(
  options: Partial<ConsumerOptions> & {
    answer?: (records: readonly LogRecord[], call: number) => void | readonly (undefined | Error)[];
  } = {},
) {
  const { answer, ...rest } = options;
  const env = testEnv();
  const log = rest.log ?? createMemoryLog({ env });
  const sink = scriptedSink<LogRecord, undefined>({ idempotent: true, ...(answer === undefined ? {} : { answer }) });
  const start = (more: Partial<ConsumerOptions> = {}) =>
    createConsumer({ log, stream: 'events', group: 'g', sink, env, ...rest, ...more });
  return { env, log, sink, start };
}

const written = (sink: { calls: readonly { items: readonly LogRecord[] }[] }) =>
  sink.calls.flatMap((call) => call.items.map((record) => record.id));

/** Appends while the clock moves: the log in memory is durable at once, but not in this same turn. */
async function append(log: Log, from: number, count: number) {
  return log.append('events', events(from, count));
}

async function drained(consumer: Consumer, env: ReturnType<typeof testEnv>, deadlineMs = 1000) {
  const report = consumer.drain({ deadlineMs });
  await env.clock.advance(deadlineMs + 1);
  return report;
}

describe('consumer', () => {
  it('delivers what is in the log in batches, in order, and moves the cursor to its end', async () => {
    const { env, log, sink, start } = await world({ answer: () => undefined, maxItems: 40 });
    await append(log, 0, 100);
    const consumer = await start();
    await env.clock.advance(100);
    expect(sink.calls.map((call) => call.items.length)).toEqual([40, 40, 20]);
    expect(written(sink)).toEqual(events(0, 100).map((event) => event.id));
    expect(consumer.status()).toMatchObject({ state: 'running', cursor: 100 });
    expect(await consumer.lag()).toEqual({ partition: 0, items: 0, bytes: 0, oldestMs: 0 });
    expect(tallyImbalance(consumer.status().tally)).toBe(0);
    await drained(consumer, env);
    expect(env.clock.timers).toBe(0);
  });

  it('wakes up for records that are appended later', async () => {
    const { env, log, sink, start } = await world({ answer: () => undefined });
    const consumer = await start();
    await env.clock.advance(500);
    await append(log, 0, 3);
    await env.clock.advance(100);
    expect(written(sink)).toEqual(['e0', 'e1', 'e2']);
    await drained(consumer, env);
  });

  it('goes on from the cursor after a restart, and delivers nothing that was settled again', async () => {
    const { env, log, sink, start } = await world({ answer: () => undefined });
    await append(log, 0, 10);
    const first = await start();
    await env.clock.advance(100);
    await drained(first, env);
    await append(log, 10, 5);
    const second = await start();
    await env.clock.advance(100);
    expect(written(sink)).toEqual(events(0, 15).map((event) => event.id));
    await drained(second, env);
  });

  it('delivers again after a restart what was in flight, but not what was settled above it', async () => {
    const { env, log, sink, start } = await world({ maxItems: 1, window: 'whileBusy' });
    await append(log, 0, 3);
    const first = await start();
    await env.clock.advance(1);
    expect(sink.calls.map((call) => call.items[0]!.id)).toEqual(['e0', 'e1', 'e2']);
    sink.calls[1]!.reply();
    await env.clock.advance(1);
    expect(first.status().cursor).toBe(0);
    const report = await drained(first, env, 10);
    expect(report).toEqual({ ok: 1, dead: 0, leftInLog: 2 });
    const second = await start();
    await env.clock.advance(1);
    expect(sink.calls.slice(3).map((call) => call.items[0]!.id)).toEqual(['e0', 'e2']);
    for (const call of sink.calls.slice(3)) call.reply();
    await drained(second, env);
    expect(second.status().cursor).toBe(3);
  });

  it('takes one bad record out of its batch and parks it with its bytes; all others are written, and the cursor passes it', async () => {
    const bad = (records: readonly LogRecord[]) => {
      if (records.some((record) => record.id === 'e37')) throw failure('bad row', { code: 'PG_22P02', class: 'permanent' });
    };
    const { env, log, sink, start } = await world({ answer: bad });
    await append(log, 0, 100);
    const consumer = await start();
    await env.clock.advance(100);
    expect(consumer.status().cursor).toBe(100);
    const [letter, ...more] = (await log.letters.page()).letters;
    expect(more).toEqual([]);
    expect(letter).toMatchObject({ id: 'g/events/0/37', group: 'g', code: 'PG_22P02', class: 'permanent', message: 'bad row' });
    expect(new TextDecoder().decode(letter!.record.payload)).toBe('{"n":37}');
    expect(letter!.attempts).toBeGreaterThan(1);
    expect(sink.calls.length).toBeLessThanOrEqual(2 * 7 + 1);
    expect(await consumer.settled(37, never)).toBe('dead');
    expect(await consumer.settled(36, never)).toBe('ok');
    await drained(consumer, env);
  });

  it('parks the bad records alone, however many a batch holds', async () => {
    const isBad = (record: LogRecord) => record.offset % 7 === 3;
    const { env, log, sink, start } = await world({
      answer: (records) => {
        if (records.some(isBad)) throw failure('bad row', { code: 'PG_22P02', class: 'permanent' });
      },
    });
    await append(log, 0, 2000);
    const consumer = await start();
    await env.clock.advance(1000);
    expect(consumer.status().cursor).toBe(2000);
    const parked = (await log.letters.page({ limit: 2000 })).letters.map((letter) => letter.record);
    expect(parked.filter((record) => !isBad(record))).toEqual([]);
    expect(parked).toHaveLength(Math.ceil((2000 - 3) / 7));
    expect(sink.calls.length).toBeLessThanOrEqual(2 * 2000);
    await drained(consumer, env);
  });

  it('delivers what it can read before it stops at a place that it cannot read, and keeps what it delivered', async () => {
    const env = testEnv();
    const log = createMemoryLog({ env });
    await log.append('events', events(0, 5));
    const damaged = failure('the chunk at offset 5 is damaged', { code: 'LOG_CORRUPT', class: 'permanent' });
    const broken: Log = Object.assign(Object.create(log), {
      read: (stream: string, partition: number, from: number, bounds: { maxItems: number; maxBytes: number }) =>
        from >= 5 ? Promise.reject(damaged) : log.read(stream, partition, from, bounds),
    });
    const { sink, start } = await world({ log: broken, env, answer: () => undefined });
    const consumer = await start();
    await env.clock.advance(1);
    await log.append('events', events(5, 3));
    await env.clock.advance(500);
    expect(await consumer.failed).toMatchObject({ code: 'LOG_CORRUPT' });
    expect(consumer.status()).toMatchObject({ state: 'stopped', broken: { code: 'LOG_CORRUPT' } });
    expect(written(sink)).toEqual(events(0, 5).map((event) => event.id));
    expect(await log.position('g', 'events', 0)).toMatchObject({ cursor: 5 });
    expect(await drained(consumer, env)).toEqual({ ok: 5, dead: 0, leftInLog: 3 });
  });

  it('is back within four seconds of an outage, however long that was', async () => {
    let down = true;
    const { env, log, start } = await world({
      answer: () => {
        if (down) throw failure('connection refused', { code: 'PG_CONNECTION', class: 'transient' });
      },
    });
    await append(log, 0, 10);
    const consumer = await start();
    await env.clock.advance(60 * 60_000);
    down = false;
    await env.clock.advance(4_000);
    expect(consumer.status().cursor).toBe(10);
    await drained(consumer, env);
  });

  it('holds on through transient failures, however many, and loses nothing', async () => {
    const { env, log, sink, start } = await world({
      answer: (_, call) => {
        if (call <= 50) throw failure('connection refused', { code: 'PG_CONNECTION', class: 'transient' });
      },
    });
    await append(log, 0, 10);
    const consumer = await start();
    await env.clock.advance(5_000);
    expect(consumer.status().problem).toMatchObject({ code: 'PG_CONNECTION', class: 'transient', message: 'connection refused' });
    await env.clock.advance(60 * 60_000);
    expect(sink.calls.length).toBe(51);
    expect(consumer.status()).toMatchObject({ cursor: 10, problem: undefined });
    expect(log.letters.items).toBe(0);
    await drained(consumer, env);
  });

  it('holds records that are blocked, and parks none of them', async () => {
    let granted = false;
    const { env, log, start } = await world({
      answer: () => {
        if (!granted) throw failure('permission denied for table events', { code: 'PG_42501', class: 'blocked' });
      },
    });
    await append(log, 0, 3);
    const consumer = await start();
    await env.clock.advance(10 * 60_000);
    expect(consumer.status()).toMatchObject({ cursor: 0, problem: { class: 'blocked' } });
    granted = true;
    await env.clock.advance(2 * 60_000);
    expect(consumer.status()).toMatchObject({ cursor: 3, problem: undefined });
    await drained(consumer, env);
  });

  it('tells whoever waits for a record once it is settled', async () => {
    const { env, log, sink, start } = await world();
    await append(log, 0, 2);
    const consumer = await start();
    await env.clock.advance(100);
    const told: string[] = [];
    const left = new AbortController();
    void consumer.settled(0, never).then((how) => told.push(`0 ${how}`));
    const forgotten = consumer.settled(1, left.signal).catch((error) => told.push(error.code));
    left.abort();
    await forgotten;
    expect(told).toEqual(['CANCELLED']);
    sink.calls[0]!.reply();
    await env.clock.advance(1);
    expect(told).toEqual(['CANCELLED', '0 ok']);
    await drained(consumer, env);
  });

  it('gathers settlements for 25 ms before it writes them, tells of those that the sink took at once, and of dead ones when they are parked', async () => {
    const { env, log, sink, start } = await world({ maxItems: 1, window: 'whileBusy' });
    await append(log, 0, 3);
    const writes: number[] = [];
    const settle = log.settle.bind(log);
    log.settle = (...args) => {
      writes.push((args[1].delivered ?? []).reduce((sum, { first, last }) => sum + last - first + 1, args[1].dead?.length ?? 0));
      return settle(...args);
    };
    const consumer = await start();
    await env.clock.advance(1);
    const told: string[] = [];
    for (const offset of [0, 1, 2]) void consumer.settled(offset, never).then((how) => told.push(`${offset} ${how}`));
    sink.calls[0]!.reply();
    sink.calls[1]!.fail(failure('bad row', { class: 'permanent' }));
    await env.clock.advance(1);
    expect({ told, writes }).toEqual({ told: ['0 ok'], writes: [] });
    sink.calls[2]!.reply();
    await env.clock.advance(25);
    expect({ told, writes }).toEqual({ told: ['0 ok', '2 ok', '1 dead'], writes: [3] });
    await drained(consumer, env);
    expect(await log.position('g', 'events', 0)).toEqual({ cursor: 3, settledAbove: [] });
  });

  it('drains what is in the log without waiting for its window', async () => {
    const { env, log, sink, start } = await world({ answer: () => undefined, window: { maxDelayMs: 60_000 } });
    await append(log, 0, 3000);
    const consumer = await start();
    await env.clock.advance(1);
    const report = consumer.drain({ deadlineMs: 1000 });
    await env.clock.settle();
    await env.clock.settle();
    expect(await report).toEqual({ ok: 3000, dead: 0, leftInLog: 0 });
    expect(written(sink)).toHaveLength(3000);
    expect(env.clock.timers).toBe(0);
  });

  it('stops at the drain deadline when the sink hangs, and says how many records stay in the log', async () => {
    const { env, log, start } = await world({ maxItems: 10 });
    await append(log, 0, 100);
    const consumer = await start();
    await env.clock.advance(100);
    const report = consumer.drain({ deadlineMs: 5_000 });
    await env.clock.advance(5_000);
    expect(await report).toEqual({ ok: 0, dead: 0, leftInLog: 100 });
    expect(consumer.status().state).toBe('stopped');
    expect(env.clock.timers).toBe(0);
  });

  it('bounds what is held and how far it reads ahead of a stuck record', async () => {
    const { env, log, sink, start } = await world({
      maxItems: 1,
      maxInFlight: 2,
      maxHeldItems: 5,
      maxAhead: 20,
      window: 'whileBusy',
    });
    // The log gives a page at a time, and a page is more than may be read ahead: so the records come one by one.
    const consumer = await start();
    let answered = 1;
    for (let i = 0; i < 100; i++) {
      await append(log, i, 1);
      await env.clock.advance(1);
      // The first record hangs; everything else is answered.
      for (; answered < sink.calls.length; answered++) sink.calls[answered]!.reply();
      const { held, inFlight } = consumer.status().tally;
      expect(held + inFlight).toBeLessThanOrEqual(5);
    }
    await env.clock.advance(1000);
    expect(sink.calls.map((call) => call.items[0]!.offset)).toEqual(Array.from({ length: 20 }, (_, offset) => offset));
    sink.calls[0]!.reply();
    await env.clock.advance(30);
    expect(sink.calls.length).toBeGreaterThan(20);
    await drained(consumer, env, 10);
  });

  it('stops and says so when the log refuses a settlement; the records stay in the log', async () => {
    const env = testEnv();
    const log = createMemoryLog({ env });
    const broken: Log = Object.assign(Object.create(log), {
      settle: () => Promise.reject(failure('disk full', { code: 'LOG_STOPPED', class: 'unknown' })),
    });
    const { start } = await world({ log: broken, env, answer: () => undefined });
    await log.append('events', events(0, 5));
    const consumer = await start();
    await env.clock.advance(100);
    expect(await consumer.failed).toMatchObject({ code: 'LOG_STOPPED' });
    expect(consumer.status().state).toBe('stopped');
  });
});
