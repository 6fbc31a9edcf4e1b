/** Tests of dead letters: complete, durable before the cursor passes, held when there is no room; damage; poison and crash loops. */

import { describe, expect, it } from 'vitest';
import type { Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { consumerWorld } from '../testing/consumer-world.js';
import { testEnv } from '../testing/test-env.js';
import { DamagedRecords } from './damage.js';
import type { Log } from './log.js';
import { createMemoryLog } from './memory-log.js';
import { type MemoryStore, memoryStore } from './memory-store.js';
import type { LogRecord } from './record.js';

const never = new AbortController().signal;
const bad = (id: string) => (records: readonly LogRecord[]) =>
  records.map((record) => (record.id === id ? failure('bad row', { code: 'PG_22P02' }) : undefined));

describe('dead letters of a consumer', () => {
  it('once all that the sink refused is parked, the consumer has no problem: nothing waits for the sink any more', async () => {
    const down: Sink<LogRecord, undefined> = {
      idempotent: true,
      write: () => Promise.reject(failure('no connection', { class: 'transient', code: 'UNREACHABLE' })),
    };
    const world = await consumerWorld({ sink: down, retry: { maxAttempts: 3, baseMs: 1_000 } });
    await world.append(0, 2);
    const consumer = await world.start();
    await world.env.clock.advance(500);
    expect(consumer.status().problem).toMatchObject({ code: 'UNREACHABLE' });
    await world.env.clock.advance(60_000);
    expect(world.log.letters.items).toBe(2);
    expect(consumer.status().problem).toBeUndefined();
    const since = world.env.clock.wall();
    await world.append(2, 1);
    await world.env.clock.advance(500);
    expect(consumer.status().problem!.since).toBeGreaterThanOrEqual(since);
    await world.env.clock.advance(60_000);
    await world.drained(consumer);
  });

  it('R-117, R-189: hold every attempt, times, time-outs apart, and the record byte for byte, key, trace and tenant included', async () => {
    let call = 0;
    const sink: Sink<LogRecord, undefined> = {
      idempotent: true,
      write(_, { signal }) {
        call++;
        if (call === 1) throw failure('connection lost', { class: 'transient', code: 'PG_CONNECTION' });
        if (call === 2) return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        if (call === 3) throw failure('not now', { class: 'blocked', code: 'PG_42501' });
        throw failure('bad row', { code: 'PG_22P02' });
      },
    };
    const world = await consumerWorld({ sink, timeoutMs: 1_000 });
    const payload = Uint8Array.from({ length: 256 }, (_, i) => i);
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const startedAt = world.env.clock.wall();
    await world.append(0, 1, () => ({ payload, key: 'k', tenant: 't', time: '2024-01-01T00:00:00Z', receivedAt: 7, trace }));
    const consumer = await world.start();
    await world.env.clock.advance(60_000);
    const letter = (await world.log.letters.get('g/events/0/0'))!;
    expect(letter).toMatchObject({
      group: 'g',
      state: 'parked',
      code: 'PG_22P02',
      class: 'permanent',
      message: 'bad row',
      attempts: 3,
      timeouts: 1,
      crashes: 0,
      record: {
        stream: 'events',
        partition: 0,
        offset: 0,
        id: 'e0',
        tenant: 't',
        key: 'k',
        time: '2024-01-01T00:00:00Z',
        receivedAt: 7,
        trace,
      },
    });
    expect([...letter.record.payload]).toEqual([...payload]);
    const codes = ['PG_CONNECTION', 'TIMEOUT', 'PG_42501', 'PG_22P02'];
    expect(letter.tries.map((tried) => tried.code)).toEqual(codes);
    const times = letter.tries.map((tried) => tried.at);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(letter.firstFailedAt).toBe(times[0]);
    expect(letter.lastFailedAt).toBe(times[3]);
    expect(times[0]).toBeGreaterThanOrEqual(startedAt);
    await world.drained(consumer);
  });

  it('R-179, R-189: a record that has failed maxAttempts times is parked, with the first five and the latest tries', async () => {
    const world = await consumerWorld({
      retry: { maxAttempts: 40, baseMs: 1, maxDelayMs: 1 },
      answer: (_, call) => {
        throw failure(`try ${call}`, { class: 'transient' });
      },
    });
    await world.append(0, 1);
    const consumer = await world.start();
    await world.env.clock.advance(5_000);
    const letter = (await world.log.letters.get('g/events/0/0'))!;
    expect(letter).toMatchObject({ attempts: 40, class: 'transient', message: 'try 40' });
    const numbers = [1, 2, 3, 4, 5, ...Array.from({ length: 15 }, (_, i) => 26 + i)];
    expect(letter.tries.map((tried) => tried.message)).toEqual(numbers.map((n) => `try ${n}`));
    await world.drained(consumer);
  });

  it('are on disk when their waiters hear of it, and move with the cursor, in one transaction', async () => {
    const world = await consumerWorld({ answer: bad('e1') });
    await world.append(0, 3);
    const moves: unknown[] = [];
    const settle = world.log.settle.bind(world.log);
    world.log.settle = (owner, move) => {
      moves.push([move.position?.cursor, move.dead?.map((letter) => letter.record.id)]);
      return settle(owner, move);
    };
    const consumer = await world.start();
    const told = consumer.settled(0, 1, never).then(async () => (await world.log.letters.get('g/events/0/1')) !== undefined);
    await world.env.clock.advance(200);
    expect(await told).toBe(true);
    expect(moves).toEqual([[3, ['e1']]]);
    await world.drained(consumer);
  });

  it('without room for them the record is held, reading stops, an alarm is raised once; with room again all goes on', async () => {
    const world = await consumerWorld({
      answer: (records) => records.map((record) => (record.offset % 2 === 0 ? failure('bad row') : undefined)),
      maxItems: 2,
      maxAhead: 10,
      logOptions: { deadLetters: { maxItems: 3 } },
    });
    await world.append(0, 40);
    const consumer = await world.start();
    await world.env.clock.advance(60_000);
    expect(world.log.letters.items).toBe(3);
    const status = consumer.status();
    expect(status).toMatchObject({ state: 'running', broken: undefined, problem: { code: 'DEAD_LETTERS_FULL' } });
    expect(status.partitions[0]!.cursor).toBe(6);
    expect(world.env.eventsOf('alarm').map(({ code }) => code)).toEqual(['DEAD_LETTERS_FULL']);
    const delivered = world.calls().flat().length;
    await world.env.clock.advance(60_000);
    expect(world.calls().flat()).toHaveLength(delivered);
    // What was delivered is settled all the same.
    expect((await world.log.position('g', 'events', 0))!.settledAbove.length).toBeGreaterThan(0);
    for (let round = 0; round < 20; round++) {
      await world.log.letters.purge({});
      await world.env.clock.advance(5_000);
    }
    expect(await consumer.lag()).toMatchObject({ items: 0 });
    expect(consumer.status().problem).toBeUndefined();
    expect(new Set(world.calls().flat()).size).toBe(40);
    expect(await world.drained(consumer)).toMatchObject({ ok: 20, dead: 20, leftInLog: 0 });
  });

  it('a disk that is full stops the reading, raises one alarm, and is tried again: with room again all goes on, and nothing is called twice', async () => {
    const world = await consumerWorld({
      answer: (records) => records.map((record) => (record.id === 'e1' ? failure('bad row') : undefined)),
      maxItems: 2,
      maxAhead: 10,
    });
    let isFull = true;
    const { settle } = world.log;
    world.log.settle = (owner, move) => {
      if (isFull) return Promise.reject(failure('the disk is full', { code: 'LOG_FULL', class: 'rejected' }));
      return settle(owner, move);
    };
    await world.append(0, 40);
    const consumer = await world.start();
    await world.env.clock.advance(60_000);
    const full = consumer.status();
    expect(full).toMatchObject({ state: 'running', broken: undefined, problem: { code: 'LOG_FULL' } });
    expect(world.env.eventsOf('alarm').map(({ code }) => code)).toEqual(['LOG_FULL']);
    expect(world.calls().flat().length).toBeLessThan(20);
    expect((await world.log.position('g', 'events', 0))!.cursor).toBe(0);
    isFull = false;
    await world.env.clock.advance(60_000);
    expect(consumer.status().problem).toBeUndefined();
    expect(await consumer.lag()).toMatchObject({ items: 0 });
    expect(world.calls().flat()).toHaveLength(40);
    expect(await world.drained(consumer)).toMatchObject({ ok: 39, dead: 1, leftInLog: 0 });
    expect(world.env.clock.timers).toBe(0);
  });

  it('a start on a full disk waits for room, and says so', async () => {
    const world = await consumerWorld({ answer: () => {} });
    await world.append(0, 3);
    let isFull = true;
    const { claim } = world.log;
    world.log.claim = (...where) =>
      isFull ? Promise.reject(failure('the disk is full', { code: 'LOG_FULL', class: 'rejected' })) : claim(...where);
    const consumer = await world.start();
    await world.env.clock.advance(10_000);
    expect(consumer.status()).toMatchObject({ broken: undefined, problem: { code: 'LOG_FULL' } });
    isFull = false;
    await world.env.clock.advance(10_000);
    expect(consumer.status().problem).toBeUndefined();
    expect(await world.drained(consumer)).toMatchObject({ ok: 3, leftInLog: 0 });
    expect(world.env.clock.timers).toBe(0);
  });

  it('a drain on a full disk ends, and says what stays in the log', async () => {
    const world = await consumerWorld();
    world.log.settle = () => Promise.reject(failure('the disk is full', { code: 'LOG_FULL', class: 'rejected' }));
    await world.append(0, 3);
    const consumer = await world.start();
    await world.env.clock.advance(1_000);
    expect(await world.drained(consumer, 2_000)).toMatchObject({ ok: 0, dead: 0, leftInLog: 3 });
    expect(world.env.clock.timers).toBe(0);
  });

  it('a drain that finds no room for them says that their records stay in the log', async () => {
    const world = await consumerWorld({
      answer: (records) => records.map(() => failure('bad row')),
      logOptions: { deadLetters: { maxItems: 1 } },
    });
    await world.append(0, 3);
    const consumer = await world.start();
    await world.env.clock.advance(1_000);
    expect(await world.drained(consumer, 2_000)).toMatchObject({ ok: 0, dead: 1, leftInLog: 2 });
    expect(world.env.clock.timers).toBe(0);
  });
});

describe('damaged records', () => {
  async function damagedWorld() {
    const env = testEnv();
    const log = createMemoryLog({ env });
    const range = { first: 5, last: 7 };
    const damaged: Log = Object.assign(Object.create(log), {
      read: async (stream: string, partition: number, from: number, bounds: { maxItems: number; maxBytes: number }) => {
        if (partition !== 0 || from > range.last) return log.read(stream, partition, from, bounds);
        if (from >= range.first) throw new DamagedRecords(stream, partition, range);
        return log.read(stream, partition, from, { ...bounds, maxItems: Math.min(bounds.maxItems, range.first - from) });
      },
    });
    return consumerWorld({ log: damaged, testEnv: env, answer: () => undefined });
  }

  it('what lies before them is delivered; then the partition waits, and says so', async () => {
    const world = await damagedWorld();
    await world.append(0, 10);
    const consumer = await world.start();
    await world.env.clock.advance(60_000);
    expect(world.calls().flat()).toEqual(['e0', 'e1', 'e2', 'e3', 'e4']);
    expect(consumer.status()).toMatchObject({
      state: 'running',
      broken: undefined,
      problem: { code: 'LOG_CORRUPT' },
      partitions: [{ state: 'damaged', cursor: 5 }],
    });
    expect(world.env.eventsOf('alarm')).toMatchObject([{ partition: 0, code: 'LOG_CORRUPT' }]);
    expect(await world.drained(consumer)).toMatchObject({ ok: 5, leftInLog: 5 });
    expect(world.env.clock.timers).toBe(0);
  });

  it('given up, they count as skipped, and the rest is delivered', async () => {
    const world = await damagedWorld();
    await world.append(0, 10);
    const consumer = await world.start();
    await world.env.clock.advance(1_000);
    const skipped = consumer.skipDamage();
    await world.env.clock.advance(100);
    expect(await skipped).toBe(1);
    await world.env.clock.advance(1_000);
    expect(world.calls().flat()).toEqual(['e0', 'e1', 'e2', 'e3', 'e4', 'e8', 'e9']);
    expect(consumer.status()).toMatchObject({ problem: undefined, partitions: [{ state: 'reading', cursor: 10 }] });
    expect(await world.log.groups()).toMatchObject([{ cursor: 10, skipped: 3 }]);
    expect(await consumer.skipDamage()).toBe(0);
    await world.drained(consumer);
  });
});

/** Starts a process on a store, whose sink dies at some records; what is in memory is gone then. */
async function life(store: MemoryStore, kills: (record: LogRecord) => boolean) {
  const env = testEnv();
  env.clock.block(1);
  const world = await consumerWorld({
    testEnv: env,
    log: createMemoryLog({ env, store }),
    window: { maxDelayMs: 10 },
    maxItems: 5,
  });
  const calls: string[][] = [];
  let isDead = false;
  const sink: Sink<LogRecord, undefined> = {
    idempotent: true,
    write(records) {
      calls.push(records.map((record) => record.id));
      if (!isDead && !records.some(kills)) return Promise.resolve(undefined);
      isDead = true;
      return new Promise(() => {});
    },
  };
  const consumer = await world.start({ sink });
  for (let ms = 0; ms < 200 && !isDead; ms++) await env.clock.advance(1);
  return { ...world, consumer, calls, isDead: () => isDead };
}

describe('R-169: a record at which the process dies', () => {
  it('runs alone after three crashes, and is parked after the fourth; all others are delivered', async () => {
    const store = memoryStore();
    const poison = (record: LogRecord) => record.id === 'e7';
    const first = await life(store, poison);
    await first.append(0, 20);
    await first.env.clock.advance(100);
    let last = first;
    const lives: string[][][] = [first.calls];
    for (let n = 0; n < 5; n++) {
      last = await life(store, poison);
      lives.push(last.calls);
    }
    // Its neighbours of three crashes run alone too, one by one, and it dies alone.
    expect(lives[3]!.filter((call) => call.includes('e7'))).toEqual([['e7']]);
    expect(lives[4]!.flat()).not.toContain('e7');
    expect(last.isDead()).toBe(false);
    const letter = (await last.log.letters.get('g/events/0/7'))!;
    expect(letter).toMatchObject({ code: 'POISON', class: 'permanent', crashes: 4, attempts: 0, timeouts: 0 });
    expect(last.log.letters.items).toBe(1);
    expect(await last.consumer.lag()).toMatchObject({ items: 0 });
    const delivered = new Set(lives.flat(2));
    for (let n = 0; n < 20; n++) expect(delivered.has(`e${n}`)).toBe(true);
  });

  it('a drain with a hung sink is no crash: nothing is suspected after it', async () => {
    const store = memoryStore();
    const hangs = (record: LogRecord) => record.id === 'e1';
    const first = await life(store, () => false);
    await first.append(0, 3);
    for (let n = 0; n < 5; n++) {
      const one = await life(store, hangs);
      expect(one.isDead()).toBe(true);
      await one.drained(one.consumer, 10);
    }
    const last = await life(store, () => false);
    expect(last.calls).toEqual([['e0', 'e1', 'e2']]);
    expect(last.log.letters.items).toBe(0);
  });

  it('many starts that end in a crash are reported, and the next one waits before it reads', async () => {
    const store = memoryStore();
    const first = await life(store, () => false);
    await first.append(0, 1);
    const kills = () => true;
    for (let n = 0; n < 3; n++) await life(store, kills);
    const world = await life(store, () => false);
    expect(world.env.eventsOf('alarm')).toEqual([]);
    // The fifth unclean start within five minutes.
    const env = testEnv();
    const next = await consumerWorld({ testEnv: env, log: createMemoryLog({ env, store }), answer: () => undefined });
    await next.append(1, 1);
    const consumer = await next.start();
    await env.clock.advance(900);
    expect(env.eventsOf('alarm')).toMatchObject([{ code: 'CRASH_LOOP', partition: 0 }]);
    expect(consumer.status()).toMatchObject({ partitions: [{ state: 'backingOff', problem: { code: 'CRASH_LOOP' } }] });
    expect(next.calls()).toEqual([]);
    await env.clock.advance(300);
    expect(next.calls()).toEqual([['e1']]);
    expect(consumer.status().problem).toBeUndefined();
    await next.drained(consumer);
  });
});
