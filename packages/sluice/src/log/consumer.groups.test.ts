/** Tests of consumers that share a group, of groups that share a stream, and of moving them: pause, resume, seek. */

import { describe, expect, it } from 'vitest';
import { type FailureClass, failure } from '../core/errors.js';
import { consumerWorld, eventsOf } from '../testing/consumer-world.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import type { Consumer } from './consumer-contract.js';
import type { LogRecord, Position } from './record.js';

const keyed = (n: number) => ({ key: `k${n % 40}` });
const partitionsOf = (consumer: Consumer) => consumer.status().partitions.map(({ partition }) => partition);
const idsOf = (sink: { calls: readonly { items: readonly LogRecord[] }[] }) =>
  sink.calls.flatMap((call) => call.items.map((record) => record.id));
const sorted = (ids: readonly string[]) => [...ids].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
const ids = (from: number, count: number) => eventsOf(from, count).map((event) => event.id);

describe('consumers of one group', () => {
  it('R-176, R-188: share the partitions evenly, and deliver each record once between them', async () => {
    const world = await consumerWorld({ partitions: 4, answer: () => undefined });
    const other = scriptedSink<LogRecord, undefined>({ idempotent: true, answer: () => undefined });
    const first = await world.start();
    const second = await world.start({ sink: other });
    await world.env.clock.advance(10);
    expect([partitionsOf(first).length, partitionsOf(second).length]).toEqual([2, 2]);
    await world.append(0, 400, keyed);
    await world.env.clock.advance(200);
    expect(idsOf(world.sink).length).toBeGreaterThan(0);
    expect(idsOf(other).length).toBeGreaterThan(0);
    expect(sorted([...idsOf(world.sink), ...idsOf(other)])).toEqual(ids(0, 400));
    const drains = [world.drained(first), world.drained(second)];
    expect((await Promise.all(drains)).reduce((sum, report) => sum + report.ok, 0)).toBe(400);
    expect(world.env.clock.timers).toBe(0);
  });

  it('R-188: more of them than partitions leaves some idle, which say so, and step in when another leaves', async () => {
    const world = await consumerWorld({ partitions: 2, answer: () => undefined });
    const consumers = [await world.start(), await world.start(), await world.start()];
    await world.env.clock.advance(10);
    expect(consumers.map((consumer) => consumer.status().state)).toEqual(['running', 'running', 'idle']);
    expect(world.env.eventsOf('assigned').at(-1)).toMatchObject({ partitions: [], consumers: 3 });
    await world.drained(consumers[0]!);
    expect(consumers[2]!.status()).toMatchObject({ state: 'running', partitions: [{ state: 'reading' }] });
    await world.append(0, 20, keyed);
    await world.env.clock.advance(100);
    expect(sorted(world.calls().flat())).toEqual(ids(0, 20));
    for (const consumer of consumers) await world.drained(consumer);
  });

  it('leaves the group at a drain though the log cannot be asked: another reads its partitions then', async () => {
    const world = await consumerWorld({ partitions: 2, answer: () => undefined });
    const consumer = await world.start();
    await world.env.clock.advance(100);
    const { log } = world;
    const { streams, lag } = log;
    const down = () => Promise.reject(failure('it cannot be read', { code: 'STORE_FAILED' }));
    Object.assign(log, { streams: down, lag: down });
    const drained = expect(consumer.drain({ deadlineMs: 1_000 })).rejects.toThrow('it cannot be read');
    await world.env.clock.advance(1_001);
    await drained;
    Object.assign(log, { streams, lag });
    expect(consumer.status().state).toBe('stopped');
    await world.append(0, 10);
    const other = await world.start();
    await world.env.clock.advance(200);
    expect(partitionsOf(other)).toEqual([0, 1]);
    expect(sorted(world.calls().flat())).toEqual(ids(0, 10));
    await world.drained(other);
  });

  it('drains a partition before it goes to another: nothing is in two hands, and nothing is delivered twice', async () => {
    const world = await consumerWorld({ partitions: 2, maxItems: 5, maxInFlight: 16, window: 'whileBusy' });
    const other = scriptedSink<LogRecord, undefined>({ idempotent: true });
    await world.append(0, 40, keyed);
    const first = await world.start();
    await world.env.clock.advance(1);
    const before = world.sink.calls.length;
    expect(before).toBeGreaterThan(0);
    const second = await world.start({ sink: other });
    await world.env.clock.advance(1_000);
    // The calls under way still hold the partition that is to move.
    expect(other.calls).toEqual([]);
    const moving = first.status().partitions.filter(({ state }) => state === 'stopping');
    expect(moving).toHaveLength(1);
    for (const answered = new Set(); ; ) {
      const open = [...world.sink.calls, ...other.calls].filter((call) => !answered.has(call));
      if (open.length === 0) break;
      for (const call of open) {
        answered.add(call);
        call.reply();
      }
      await world.env.clock.advance(100);
    }
    expect([partitionsOf(first).length, partitionsOf(second).length]).toEqual([1, 1]);
    const delivered = [...idsOf(world.sink), ...idsOf(other)];
    expect(sorted(delivered)).toEqual(ids(0, 40));
    expect(await first.lag()).toMatchObject({ items: 0 });
    await world.drained(first);
    await world.drained(second);
  });

  it('fences an owner that did not drain in time: what it says later moves nothing, and its records are delivered again', async () => {
    const world = await consumerWorld({ partitions: 1, window: 'whileBusy', handOverMs: 1_000, timeoutMs: 60_000 });
    await world.append(0, 3);
    const first = await world.start();
    await world.env.clock.advance(1);
    const hung = world.sink.calls[0]!;
    await world.log.createGroup('g', 'events');
    const epoch = first.status().partitions[0]!.epoch;
    void first.pause();
    await world.env.clock.advance(1_001);
    expect(hung.context.signal.aborted).toBe(true);
    const resumed = first.resume();
    await world.env.clock.advance(1);
    await resumed;
    await world.env.clock.advance(100);
    expect(first.status().partitions[0]!.epoch).toBeGreaterThan(epoch);
    hung.reply();
    await world.env.clock.advance(100);
    expect(await first.lag()).toMatchObject({ items: 3 });
    expect(world.sink.calls.length).toBeGreaterThan(1);
    for (let call = 1; call < world.sink.calls.length; call++) {
      world.sink.calls[call]!.reply();
      await world.env.clock.advance(100);
    }
    expect(await first.lag()).toMatchObject({ items: 0 });
    await world.drained(first, 0);
  });

  it('claims a partition again after somebody else took it, and raises the alarm', async () => {
    const world = await consumerWorld({ answer: () => undefined });
    await world.append(0, 3);
    const consumer = await world.start();
    await world.env.clock.advance(100);
    await world.log.claim('g', 'events', 0);
    await world.append(3, 3);
    await world.env.clock.advance(200);
    expect(world.env.eventsOf('alarm')).toMatchObject([{ partition: 0, code: 'FENCED' }]);
    await world.env.clock.advance(2_000);
    expect(consumer.status()).toMatchObject({ partitions: [{ state: 'reading', cursor: 6, problem: undefined }] });
    expect(new Set(world.calls().flat()).size).toBe(6);
    await world.drained(consumer);
  });
});

it('probe() sends at once what a breaker holds back, and does nothing without one', async () => {
  let isBack = false;
  const world = await consumerWorld({
    retry: { baseMs: 1, maxDelayMs: 1 },
    breaker: { maxFailures: 1, cooldownMs: 3_600_000 },
    window: { maxDelayMs: 1 },
    answer: () => {
      if (!isBack) throw failure('no', { code: 'NO', class: 'transient' });
    },
  });
  await world.append(0, 3);
  const consumer = await world.start();
  await world.env.clock.advance(1_000);
  expect(world.sink.calls).toHaveLength(1);
  isBack = true;
  consumer.probe();
  await world.env.clock.advance(10);
  expect(await consumer.lag()).toMatchObject({ items: 0 });
  expect(world.sink.calls).toHaveLength(2);
  await world.drained(consumer);
  const plain = await consumerWorld();
  const unbroken = await plain.start();
  unbroken.probe();
  await plain.drained(unbroken);
});

describe('a hand-over', () => {
  const fails = (failureClass: FailureClass) => failure('no', { code: 'NO', class: failureClass });

  it.each(['blocked', 'transient', 'unknown'] as const)(
    'does not wait for the next try of what the sink fails with as %s: that stays in the log',
    async (failureClass) => {
      let mended = false;
      const world = await consumerWorld({
        window: 'whileBusy',
        retry: { maxAttempts: Number.POSITIVE_INFINITY, baseMs: 60_000, maxDelayMs: 60_000 },
        breaker: { maxFailures: 1, cooldownMs: 60_000 },
        answer: () => {
          if (!mended) throw fails(failureClass);
        },
      });
      await world.append(0, 6);
      const consumer = await world.start({ maxItems: 3, maxInFlight: 1 });
      await world.env.clock.advance(100);
      const paused = consumer.pause();
      await world.env.clock.advance(1);
      await paused;
      expect(consumer.status()).toMatchObject({ state: 'paused', tally: { held: 0, inFlight: 0 } });
      expect(await consumer.lag()).toMatchObject({ items: 6 });
      mended = true;
      void consumer.resume();
      await world.env.clock.advance(60_000);
      expect(await consumer.lag()).toMatchObject({ items: 0 });
      expect(world.env.eventsOf('alarm').filter(({ code }) => code !== 'NO')).toEqual([]);
      await world.drained(consumer);
    },
  );

  it('waits for the call under way, settles what it took, and leaves in the log what it failed with', async () => {
    const world = await consumerWorld({ window: { maxDelayMs: 5 }, retry: { baseMs: 60_000, maxDelayMs: 60_000 } });
    await world.append(0, 3);
    const consumer = await world.start();
    await world.env.clock.advance(5);
    let isPaused = false;
    const paused = consumer.pause().then(() => {
      isPaused = true;
    });
    await world.env.clock.advance(10_000);
    expect(isPaused).toBe(false);
    world.sink.calls[0]!.reply([undefined, fails('transient'), undefined]);
    await world.env.clock.advance(1);
    await paused;
    expect(await consumer.lag()).toMatchObject({ items: 1 });
    void consumer.resume();
    await world.env.clock.advance(10);
    expect(world.calls()).toEqual([['e0', 'e1', 'e2'], ['e1']]);
    world.sink.calls[1]!.reply();
    await world.env.clock.advance(1_000);
    expect(await consumer.lag()).toMatchObject({ items: 0 });
    await world.drained(consumer);
  });

  it.each(['transient', 'unknown'] as const)(
    'takes its records out of a batch that failed as %s: those of the other partitions are tried again without them',
    async (failureClass) => {
      let isFirst = true;
      const world = await consumerWorld({
        partitions: 2,
        window: { maxDelayMs: 5 },
        retry: { baseMs: 100, maxDelayMs: 100 },
        answer: () => {
          if (isFirst) {
            isFirst = false;
            throw fails(failureClass);
          }
        },
      });
      await world.append(0, 1);
      await world.append(1, 1);
      const consumer = await world.start();
      await world.env.clock.advance(5);
      void consumer.seek('end', 0);
      await world.env.clock.advance(1_000);
      expect(world.calls()).toEqual([['e0', 'e1'], ['e1']]);
      expect(consumer.status().problem).toBeUndefined();
      expect(await consumer.lag()).toMatchObject({ items: 0 });
      await world.drained(consumer);
    },
  );

  it('leaves the rest of a split batch too, when a part of it would be tried again: nothing of a key comes before what stays', async () => {
    const world = await consumerWorld({ window: { maxDelayMs: 5 }, retry: { baseMs: 1, maxDelayMs: 1 } });
    await world.append(0, 4, () => ({ key: 'k' }));
    const consumer = await world.start({ sink: { ...world.sink, atomic: true, write: world.sink.write } });
    await world.env.clock.advance(5);
    void consumer.pause();
    // Split for a bad record; its first half fails with what may pass.
    world.sink.calls[0]!.fail(fails('permanent'));
    await world.env.clock.advance(1);
    world.sink.calls[1]!.fail(fails('transient'));
    await world.env.clock.advance(1_000);
    expect(world.calls()).toEqual([
      ['e0', 'e1', 'e2', 'e3'],
      ['e0', 'e1'],
    ]);
    expect(consumer.status()).toMatchObject({ state: 'paused', tally: { inFlight: 0 } });
    expect(await consumer.lag()).toMatchObject({ items: 4 });
    await world.drained(consumer);
  });

  it('leaves a drain what it has: until its deadline that tries again', async () => {
    let calls = 0;
    const world = await consumerWorld({
      window: 'whileBusy',
      answer: () => {
        if (++calls < 4) throw fails('transient');
      },
    });
    await world.append(0, 3);
    const consumer = await world.start();
    await world.env.clock.advance(1);
    expect(await world.drained(consumer, 30_000)).toMatchObject({ ok: 3, leftInLog: 0 });
  });
});

describe('groups of one stream', () => {
  it('R-181, R-182: one that is stuck delays neither the producer nor another', async () => {
    const world = await consumerWorld({ partitions: 2 });
    const fast = scriptedSink<LogRecord, undefined>({ idempotent: true, answer: () => undefined });
    const broken = scriptedSink<LogRecord, undefined>({
      idempotent: true,
      answer: () => {
        throw failure('down', { class: 'transient' });
      },
    });
    const consumers = [
      await world.start(),
      await world.start({ group: 'fast', sink: fast }),
      await world.start({ group: 'broken', sink: broken }),
    ];
    for (let i = 0; i < 20; i++) {
      await world.append(i * 50, 50, keyed);
      await world.env.clock.advance(100);
    }
    expect(sorted(idsOf(fast))).toEqual(ids(0, 1_000));
    const lags = await Promise.all(consumers.map((consumer) => consumer.lag()));
    expect(lags.map(({ items }) => items)).toEqual([1_000, 0, 1_000]);
    expect(lags[0]!.bytes).toBeGreaterThan(1_000 * 10);
    expect(lags[0]!.partitions).toHaveLength(2);
    for (const consumer of consumers) await world.drained(consumer, 0);
  });
});

describe('moving a consumer', () => {
  it('paused, it reads nothing and gives back what has not left; resumed, it goes on where it was', async () => {
    const world = await consumerWorld({ maxItems: 2, maxInFlight: 1, window: { maxDelayMs: 10 } });
    await world.append(0, 10);
    const consumer = await world.start();
    await world.env.clock.advance(1);
    const paused = consumer.pause();
    world.sink.calls[0]!.reply();
    await world.env.clock.advance(30);
    await paused;
    expect(consumer.status()).toMatchObject({ state: 'paused', partitions: [{ state: 'paused', cursor: 2, items: 0 }] });
    await world.append(10, 10);
    await world.env.clock.advance(10_000);
    expect(world.calls()).toHaveLength(1);
    const resumed = consumer.resume();
    await world.env.clock.advance(1);
    await resumed;
    expect(consumer.status().state).toBe('running');
    while (world.sink.open > 0) {
      world.sink.calls.at(-1)!.reply();
      await world.env.clock.advance(1);
    }
    expect(world.calls().flat()).toEqual(ids(0, 20));
    await world.drained(consumer);
  });

  it('R-191, R-218: sought to the start it delivers all that is stored again, which leaves a table of latest states as it was', async () => {
    const table = new Map<string, string>();
    const world = await consumerWorld({
      partitions: 3,
      answer: (records) => {
        for (const record of records) table.set(record.key!, record.id);
      },
    });
    await world.log.createGroup('keeper', 'events');
    await world.append(0, 100, keyed);
    const consumer = await world.start();
    await world.env.clock.advance(200);
    const before = new Map(table);
    table.clear();
    const sought = consumer.seek('start');
    await world.env.clock.advance(100);
    await sought;
    await world.env.clock.advance(200);
    expect(table).toEqual(before);
    expect(world.calls().flat()).toHaveLength(200);
    expect(await consumer.lag()).toMatchObject({ items: 0 });
    await world.drained(consumer);
  });

  it('goes to an offset, to a time and to the end, in one partition or all', async () => {
    const world = await consumerWorld({ answer: () => undefined });
    await world.log.createGroup('keeper', 'events');
    await world.append(0, 10);
    await world.env.clock.advance(60_000);
    const time = world.env.clock.wall();
    await world.append(10, 10);
    const consumer = await world.start();
    await world.env.clock.advance(200);
    const after = async (seek: Promise<readonly Position[]>, offset: number) => {
      const before = world.calls().flat().length;
      await world.env.clock.advance(100);
      expect(await seek).toEqual([{ partition: 0, offset }]);
      await world.env.clock.advance(200);
      return world.calls().flat().slice(before);
    };
    expect(await after(consumer.seek({ offset: 17 }, 0), 17)).toEqual(ids(17, 3));
    expect(await after(consumer.seek({ time }), 10)).toEqual(ids(10, 10));
    expect(await after(consumer.seek('end'), 20)).toEqual([]);
    expect(await after(consumer.seek({ offset: 99 }), 20)).toEqual([]);
    const paused = consumer.pause();
    await world.env.clock.advance(100);
    await paused;
    expect(await after(consumer.seek('start'), 0)).toEqual([]);
    expect(consumer.status().partitions).toMatchObject([{ state: 'paused', cursor: 0 }]);
    expect(world.env.eventsOf('alarm')).toEqual([]);
    await world.drained(consumer);
  });
});
