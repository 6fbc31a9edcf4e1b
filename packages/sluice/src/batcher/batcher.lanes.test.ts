/** Tests of lanes: fair shares, isolation, bounds, order per key, lanes that come and go (S5). */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Layer, Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { shardOf } from '../core/shard-of.js';
import { tallyImbalance } from '../core/tally.js';
import { retry } from '../layers/retry.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type BatcherOptions, createBatcher } from './batcher.js';

interface Event {
  readonly tenant: string;
  readonly n: number;
}

const event = (tenant: string, n = 0): Event => ({ tenant, n });
const byTenant = ({ tenant }: Event) => tenant;

function world(options: Partial<BatcherOptions<Event>> = {}) {
  const env = testEnv();
  const sink = scriptedSink<Event>();
  const batcher = createBatcher<Event>({ sink, env, laneBy: byTenant, ...options });
  const sent = () => sink.calls.map(({ items }) => items[0]!.tenant).join('');
  return { env, sink, batcher, sent };
}

describe('fair shares (R-175, R-104)', () => {
  it('S5: one flusher, A has ten full batches, B, C and D one each: A B C D A A …', async () => {
    const { env, sink, batcher, sent } = world({ maxItems: 5, maxInFlight: 1, window: { maxDelayMs: 10 } });
    for (let i = 0; i < 50; i++) batcher.offer(event('A', i));
    for (const tenant of 'BCD') for (let i = 0; i < 5; i++) batcher.offer(event(tenant, i));
    for (let i = 0; i < 13; i++) {
      sink.calls[i]!.reply();
      await env.clock.settle();
    }
    expect(sent()).toBe('ABCDAAAAAAAAA');
    expect(batcher.stats()).toMatchObject({ ok: 65, held: 0, lanes: [] });
  });

  it('a lane never has two turns while another waits, with several permits as well', async () => {
    const { env, sink, batcher, sent } = world({ maxItems: 1, maxInFlight: 2, maxInFlightPerLane: 9, window: 'whileBusy' });
    for (let i = 0; i < 6; i++) batcher.offer(event('A', i));
    for (const tenant of 'BCBC') batcher.offer(event(tenant));
    for (let i = 0; i < 10; i++) {
      sink.calls[i]!.reply();
      await env.clock.settle();
    }
    expect(sent()).toBe('AAABCABCAA');
  });

  it('shares by weight, by items or by bytes', async () => {
    const laneWeight = (lane: string) => (lane === 'A' ? 3 : 1);
    const base = { maxItems: 10, maxInFlight: 1, maxInFlightPerLane: 4, window: { maxDelayMs: 1 } } as const;
    const byItems = world({ ...base, laneWeight });
    const byBytes = world({ ...base, maxBytes: 100, fairBy: 'bytes', bytesOf: ({ tenant }) => (tenant === 'A' ? 50 : 10) });
    for (const { env, sink, batcher } of [byItems, byBytes]) {
      for (let i = 0; i < 300; i++) for (const tenant of 'AB') batcher.offer(event(tenant, i));
      for (let i = 0; i < 24; i++) {
        sink.calls[i]!.reply();
        await env.clock.advance(1);
      }
    }
    const itemsOf = ({ sink }: typeof byItems, tenant: string) =>
      sink.calls
        .slice(4, 24)
        .flatMap(({ items }) => items)
        .filter((item) => item.tenant === tenant).length;
    expect(itemsOf(byItems, 'A') / itemsOf(byItems, 'B')).toBeCloseTo(3, 1);
    // Two items of A fill a batch, ten of B do: as many bytes, a fifth of the items.
    expect(itemsOf(byBytes, 'A') / itemsOf(byBytes, 'B')).toBeCloseTo(0.2, 1);
  });

  it('one freed permit asks the dispatcher a bounded number of times, however many lanes wait for it', async () => {
    let asked = 0;
    const counting: Layer<Event, void> = (inner) => ({
      ready(lane) {
        asked++;
        return inner.ready(lane);
      },
      dispatch: (batch, context) => inner.dispatch(batch, context),
    });
    const { env, sink, batcher } = world({ maxItems: 1, maxInFlight: 1, window: 'whileBusy', layers: [counting] });
    for (let i = 0; i < 1000; i++) batcher.offer(event(`t${i}`));
    asked = 0;
    for (let i = 0; i < 100; i++) {
      sink.calls[i]!.reply();
      await env.clock.settle();
    }
    expect(sink.calls).toHaveLength(101);
    expect(asked).toBeLessThan(500);
  });

  it('a lane of small batches, always due, does not keep its turn for ever', async () => {
    const { env, sink, batcher, sent } = world({
      maxItems: 10,
      maxInFlight: 1,
      maxInFlightPerLane: 9,
      window: { maxDelayMs: 0 },
    });
    for (let i = 0; i < 40; i++) {
      for (const tenant of ['A', 'B', 'B']) batcher.offer(event(tenant, i));
      sink.calls[i]?.reply();
      await env.clock.advance(1);
    }
    expect(sent().slice(4, 34)).toContain('B');
    expect(sent().slice(4, 34)).toContain('A');
    expect(batcher.stats().held).toBeLessThan(60);
  });

  it('a lane that the dispatcher is not ready for yields, and no permit is stranded with it', async () => {
    let open = () => {};
    const closed = new Promise<void>((resolve) => {
      open = resolve;
    });
    let broken = true;
    const breaker: Layer<Event, void> = (inner) => ({
      ready: (lane) => (lane === 'A' && broken ? closed : inner.ready(lane)),
      dispatch: (batch, context) => inner.dispatch(batch, context),
    });
    const { env, sink, batcher, sent } = world({ maxItems: 1, maxInFlight: 1, window: 'whileBusy', layers: [breaker] });
    for (const tenant of 'AABCBC') batcher.offer(event(tenant));
    for (let i = 0; i < 4; i++) {
      sink.calls[i]!.reply();
      await env.clock.settle();
    }
    expect(sent()).toBe('BCBC');
    broken = false;
    open();
    await env.clock.settle();
    sink.calls[4]!.reply();
    await env.clock.settle();
    expect(sent()).toBe('BCBCAA');
  });
});

describe('isolation (R-105, R-106, R-107, R-108, R-109)', () => {
  it('R-109: A at 10,000/s into a sink that fails, B … Z at 1/s: every item of B … Z is written, within window and one flush', async () => {
    const env = testEnv();
    const waits: number[] = [];
    let most = 0;
    const sink: Sink<Event> = {
      async write(items) {
        await new Promise<void>((resolve) => env.clock.after(20, resolve));
        if (items[0]!.tenant === 'A') throw failure('down', { class: 'transient' });
        for (const item of items) waits.push(env.clock.now() - item.n);
      },
    };
    const batcher = createBatcher<Event>({
      sink,
      env,
      laneBy: byTenant,
      window: { maxDelayMs: 50 },
      maxItems: 500,
      maxInFlight: 2,
      maxHeldItems: 26_000,
      maxHeldItemsPerLane: 1000,
      overflow: 'reject',
      layers: [retry({ maxAttempts: 3, baseMs: 100 })],
    });
    const others = [...'BCDEFGHIJKLMNOPQRSTUVWXYZ'];
    let rejected: unknown;
    for (let ms = 0; ms < 5000; ms++) {
      for (let i = 0; i < 10; i++) batcher.offer(event('A', env.clock.now()));
      if (ms % 1000 === 500) batcher.push(event('A')).catch((error: unknown) => (rejected = error));
      if (ms % 40 === 0) batcher.offer(event(others[(ms / 40) % 25]!, env.clock.now()));
      await env.clock.advance(1);
      const { lanes, held, inFlight } = batcher.stats();
      const a = lanes.find(({ lane }) => lane === 'A');
      most = Math.max(most, (a?.held ?? 0) + (a?.inFlight ?? 0));
      expect(held + inFlight).toBeLessThanOrEqual(26_000);
    }
    const { lanes } = batcher.stats();
    for (const row of lanes) expect(tallyImbalance(row)).toBe(0);
    void batcher.close();
    await env.clock.advance(30_000);
    expect(waits).toHaveLength(125);
    expect(Math.max(...waits)).toBeLessThanOrEqual(50 + 20 + 20);
    expect(most).toBe(1000);
    expect(rejected).toMatchObject({ code: 'TENANT_LIMIT', class: 'rejected' });
    expect(tallyImbalance(batcher.stats())).toBe(0);
  });

  it('R-105: each lane has a window and a full batch of its own', async () => {
    const { env, sink, batcher } = world({ maxItems: 2, window: { maxDelayMs: 100 } });
    batcher.offer(event('A'));
    await env.clock.advance(60);
    for (const tenant of 'BCC') batcher.offer(event(tenant));
    await env.clock.advance(40);
    expect(sink.calls.map(({ items, context }) => `${context.lane}${items.length}`)).toEqual(['C2', 'A1']);
    await env.clock.advance(60);
    expect(sink.calls.map(({ items, context }) => `${context.lane}${items.length}`)).toEqual(['C2', 'A1', 'B1']);
    expect(env.clock.timers).toBe(3);
  });

  it('R-106: those who wait for room in a lane that is full do not keep others waiting; where all is full, first come first served', async () => {
    const { env, sink, batcher } = world({ maxHeldItemsPerLane: 2, maxHeldItems: 4, window: 'whileBusy', maxItems: 1 });
    const entered: string[] = [];
    const add = (tenant: string) => batcher.add(event(tenant)).then(() => entered.push(tenant));
    for (const tenant of 'AAAB') void add(tenant);
    await env.clock.settle();
    expect(entered).toEqual(['A', 'A', 'B']);
    expect(batcher.offer(event('A'))).toBe('full');
    for (const tenant of 'CDB') void add(tenant);
    await env.clock.settle();
    expect(entered.join('')).toBe('AABC');
    expect(batcher.stats()).toMatchObject({ waiting: 3 });
    for (let i = 0; i < 7; i++) {
      sink.calls[i]?.reply();
      await env.clock.settle();
    }
    expect([...entered].sort().join('')).toBe('AAABBCD');
    expect(batcher.stats()).toMatchObject({ waiting: 0, held: 0, inFlight: 0, lanes: [] });
  });

  it('W-9: bounds the lanes, and names that', async () => {
    const { env, batcher } = world({ maxLanes: 3, window: { maxDelayMs: 1000 } });
    for (const tenant of 'ABC') batcher.offer(event(tenant));
    expect([batcher.offer(event('A')), batcher.offer(event('D'))]).toEqual(['accepted', 'full']);
    await expect(batcher.push(event('D'))).rejects.toMatchObject({ code: 'TOO_MANY_LANES' });
    expect(env.eventsOf('rejected').map(({ reason }) => reason)).toEqual(['lanesFull', 'lanesFull']);
    expect(tallyImbalance(batcher.stats())).toBe(0);
    expect(batcher.stats()).toMatchObject({ offered: 6, rejected: 2 });
  });

  it('W-9: forgets lanes that are idle, refused or cancelled, and keeps their counts; a cooldown keeps one', async () => {
    const { env, sink, batcher } = world({ window: 'whileBusy' });
    for (let i = 0; i < 100; i++) batcher.offer(event(`t${i}`));
    for (let i = 0; i < 100; i++) {
      sink.calls[i]!.reply();
      await env.clock.settle();
    }
    expect(batcher.stats()).toMatchObject({ ok: 100, offered: 100, lanes: [] });
    const throttled = world({ window: { throttleMs: 100 }, maxLanes: 2 });
    for (const tenant of 'AB') throttled.batcher.offer(event(tenant));
    for (const call of throttled.sink.calls) call.reply();
    await throttled.env.clock.settle();
    expect(throttled.batcher.stats().lanes).toHaveLength(2);
    expect(throttled.batcher.offer(event('C'))).toBe('full');
    await throttled.env.clock.advance(100);
    expect(throttled.batcher.offer(event('C'))).toBe('accepted');
    expect(throttled.batcher.stats().lanes.map(({ lane }) => lane)).toEqual(['C']);
    expect(throttled.batcher.stats()).toMatchObject({ offered: 4, ok: 2, rejected: 1 });
  });
});

describe('order (R-112, R-115, R-160, R-161)', () => {
  it('R-161: a lane has one batch under way, its retries and their pauses included', async () => {
    const { env, sink, batcher } = world({ maxItems: 1, window: 'whileBusy', layers: [retry({ baseMs: 50 })] });
    for (const n of [1, 2]) batcher.offer(event('A', n));
    batcher.offer(event('B', 3));
    expect(sink.calls.map(({ items }) => items[0]!.n)).toEqual([1, 3]);
    sink.calls[0]!.fail(new Error('transient'));
    await env.clock.advance(49);
    expect(sink.calls).toHaveLength(2);
    await env.clock.advance(60);
    sink.calls[2]!.reply();
    await env.clock.settle();
    expect(sink.calls.map(({ items }) => items[0]!.n)).toEqual([1, 3, 1, 2]);
  });

  it('keeps the order of every key over shards, with a sink that fails parts of its batches', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(11), { maxLength: 80 }), fc.nat(6), fc.integer(), async (keys, every, seed) => {
        const env = testEnv({ seed });
        const written = new Map<number, number[]>();
        let call = 0;
        const sink: Sink<Event> = {
          async write(items) {
            await new Promise<void>((resolve) => env.clock.after((call * 13) % 40, resolve));
            return items.map((item) => {
              if (++call % (every + 2) === 0) return failure('again', { class: 'transient' });
              const key = Number(item.tenant);
              written.set(key, [...(written.get(key) ?? []), item.n]);
              return undefined as unknown as Error;
            });
          },
        };
        const batcher = createBatcher<Event>({
          sink,
          env,
          orderBy: ({ tenant }) => tenant,
          shards: 4,
          maxItems: 5,
          window: { maxDelayMs: 5 },
          layers: [retry({ maxAttempts: Number.POSITIVE_INFINITY, baseMs: 5 })],
        });
        for (const [n, key] of keys.entries()) {
          batcher.offer(event(String(key), n));
          if (n % 7 === 3) await env.clock.advance(key);
          if (n % 20 === 10) batcher.reshard(1 + (key % 6));
        }
        void batcher.close({ deadlineMs: 1e9 });
        await env.clock.advance(1e6);
        expect(batcher.stats()).toMatchObject({ ok: keys.length, held: 0, inFlight: 0 });
        for (const order of written.values()) expect(order).toEqual([...order].sort((a, b) => a - b));
      }),
      { numRuns: 60 },
    );
  });

  it('puts many items of a key in a batch where the sink is atomic, one where it is not', async () => {
    for (const atomic of [true, false]) {
      const env = testEnv();
      const sink = scriptedSink<Event>({ atomic });
      const batcher = createBatcher<Event>({ sink, env, orderBy: byTenant, shards: 1, window: { maxDelayMs: 5 } });
      for (const tenant of 'ABA') batcher.offer(event(tenant));
      await env.clock.advance(5);
      expect(sink.calls[0]!.items).toHaveLength(atomic ? 3 : 2);
    }
  });

  it('reshard moves a key only when nothing of it is on its way', async () => {
    const env = testEnv();
    const sink = scriptedSink<Event>();
    const batcher = createBatcher<Event>({ sink, env, orderBy: byTenant, shards: 1, window: 'whileBusy' });
    const moving = [...'abcdefghij'].find((key) => shardOf(key, 2) === '1')!;
    batcher.offer(event(moving, 1));
    batcher.reshard(2);
    batcher.offer(event(moving, 2));
    expect(sink.calls.map(({ context }) => context.lane)).toEqual(['0']);
    sink.calls[0]!.reply();
    await env.clock.settle();
    sink.calls[1]!.reply();
    await env.clock.settle();
    batcher.offer(event(moving, 3));
    expect(sink.calls.map(({ context }) => context.lane)).toEqual(['0', '0', '1']);
    expect(() => batcher.reshard(0)).toThrow(/reshard must be/);
    expect(() => createBatcher({ sink }).reshard(2)).toThrow(/orderBy/);
  });

  it('gives a key back when its item is cancelled, refused or dropped', async () => {
    const env = testEnv();
    const sink = scriptedSink<Event>();
    const bounds = { window: { maxDelayMs: 9 }, maxHeldItems: 1, overflow: 'reject' } as const;
    const batcher = createBatcher<Event>({ sink, env, orderBy: byTenant, shards: 1, ...bounds });
    const moving = [...'abcdefghij'].find((key) => shardOf(key, 2) === '1')!;
    const controller = new AbortController();
    const left = batcher.push(event(moving), { signal: controller.signal });
    batcher.offer(event(moving));
    controller.abort();
    await expect(left).rejects.toMatchObject({ code: 'CANCELLED' });
    batcher.reshard(2);
    batcher.offer(event(moving));
    await env.clock.advance(9);
    expect(sink.calls.map(({ context }) => context.lane)).toEqual(['1']);
  });

  it('R-115: an ordered part has one lane, the rest is spread', async () => {
    const env = testEnv();
    const sink = scriptedSink<Event>();
    const laneBy = ({ tenant, n }: Event) => (tenant === 'ordered' ? 'ordered' : shardOf(n, 8));
    const batcher = createBatcher<Event>({ sink, env, laneBy, maxItems: 1, maxInFlight: 100, window: 'whileBusy' });
    for (let n = 0; n < 100; n++) batcher.offer(event('free', n));
    for (let n = 0; n < 5; n++) batcher.offer(event('ordered', n));
    expect(new Set(sink.calls.map(({ context }) => context.lane)).size).toBe(9);
    expect(sink.calls.filter(({ context }) => context.lane === 'ordered')).toHaveLength(1);
  });

  it('R-160: strict halts at what failed for good, holds what is behind it, and resumes when told to', async () => {
    const { env, sink, batcher } = world({ strict: 'halt', window: { maxDelayMs: 5 }, maxItems: 9 });
    const told: string[] = [];
    for (const n of [1, 2, 3])
      batcher.push(event('A', n)).then(
        () => told.push(`${n} ok`),
        (error) => told.push(`${n} ${error.code}`),
      );
    await env.clock.advance(5);
    // Not atomic: one by one, so that nothing behind the bad one can be in the same call.
    expect(sink.calls.map(({ items }) => items.map(({ n }) => n))).toEqual([[1]]);
    sink.calls[0]!.reply();
    await env.clock.advance(5);
    sink.calls[1]!.fail(failure('bad row', { code: 'BAD' }));
    await env.clock.advance(1000);
    expect([told, sink.calls.length]).toEqual([['1 ok', '2 BAD'], 2]);
    expect(batcher.stats().lanes).toMatchObject([{ lane: 'A', halted: true, held: 1 }]);
    expect(env.eventsOf('halted')).toMatchObject([{ lane: 'A', code: 'BAD' }]);
    expect(env.clock.timers).toBe(0);
    batcher.offer(event('B', 9));
    await env.clock.advance(5);
    expect(sink.calls[2]!.items[0]!.n).toBe(9);
    batcher.resume('A');
    expect(sink.calls[3]!.items[0]!.n).toBe(3);
  });

  it('R-160: strict with deadLetter goes on behind what failed, one batch at a time, in order', async () => {
    const env = testEnv();
    const sink = scriptedSink<number>({ atomic: true });
    const batcher = createBatcher<number>({ sink, env, strict: 'deadLetter', maxItems: 2, window: 'whileBusy' });
    for (const n of [1, 2, 3, 4]) batcher.offer(n);
    expect(sink.calls.map(({ items }) => items)).toEqual([[1]]);
    sink.calls[0]!.fail(failure('bad'));
    await env.clock.settle();
    expect(sink.calls.map(({ items }) => items)).toEqual([[1], [2, 3]]);
    sink.calls[1]!.reply();
    await env.clock.settle();
    expect(sink.calls.map(({ items }) => items)).toEqual([[1], [2, 3], [4]]);
  });

  it('a close with a halted lane ends at its deadline, and says what was never sent', async () => {
    const { env, sink, batcher } = world({ strict: 'halt', window: 'whileBusy' });
    const held = batcher.push(event('A', 1));
    const behind = batcher.push(event('A', 2));
    held.catch(() => {});
    sink.calls[0]!.fail(failure('bad'));
    const closed = batcher.close({ deadlineMs: 100 });
    await env.clock.advance(100);
    expect(await closed).toMatchObject({ failed: 1, dropped: 1, droppedHeld: 1 });
    await expect(behind).rejects.toMatchObject({ code: 'SHUTDOWN_TIMEOUT', class: 'rejected' });
  });
});

describe('shardOf (R-112, D-48)', () => {
  it('spreads 10,000 keys over 8 shards, 1,250 ± 15 % each, the same key always to the same', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 10_000; i++) {
      const shard = shardOf(`user-${i}`, 8);
      counts.set(shard, (counts.get(shard) ?? 0) + 1);
      expect(shardOf(`user-${i}`, 8)).toBe(shard);
    }
    for (const count of counts.values()) expect(Math.abs(count - 1250)).toBeLessThan(1250 * 0.15);
    expect(counts.size).toBe(8);
  });

  it('moves at most 1/n + 3 % of the keys when one shard is added, and only to that one', () => {
    for (const n of [1, 2, 4, 8, 16]) {
      let moved = 0;
      for (let i = 0; i < 10_000; i++) {
        const [before, after] = [shardOf(`k${i}`, n), shardOf(`k${i}`, n + 1)];
        if (before === after) continue;
        moved++;
        expect(after).toBe(String(n));
      }
      expect(moved / 10_000).toBeLessThanOrEqual(1 / (n + 1) + 0.03);
    }
  });

  it('tells numbers, big ones and strings apart only by what they say', () => {
    expect(shardOf(5, 16)).toBe(shardOf('5', 16));
    expect(shardOf(5n, 16)).toBe(shardOf('5', 16));
  });
});
