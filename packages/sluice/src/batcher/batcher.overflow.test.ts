/** Tests of drops, acks, combining, pass-through and two speeds. */

import { describe, expect, it } from 'vitest';
import { failure } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { retry } from '../layers/retry.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type BatcherOptions, createBatcher } from './batcher.js';
import { twoSpeed } from './two-speed.js';

function world<T = number>(options: Partial<BatcherOptions<T, number>> = {}) {
  const env = testEnv();
  const sink = scriptedSink<T, number>();
  const batcher = createBatcher<T, number>({ sink, env, window: { maxDelayMs: 10 }, ...options });
  return { env, sink, batcher };
}

describe('overflow', () => {
  it('dropOldest drops what is held longest, tells its waiter and the callback, and counts the reason', async () => {
    const dropped: unknown[] = [];
    const { env, sink, batcher } = world({
      overflow: 'dropOldest',
      maxHeldItems: 3,
      onDrop: (item, reason) => void dropped.push([item, reason]),
    });
    const first = batcher.push(1);
    for (const n of [2, 3, 4, 5]) expect(batcher.offer(n)).toBe('accepted');
    expect(dropped).toEqual([]);
    await expect(first).rejects.toMatchObject({ code: 'DROPPED', class: 'rejected' });
    expect(dropped).toEqual([
      [1, 'dropOldest'],
      [2, 'dropOldest'],
    ]);
    await env.clock.advance(10);
    expect(sink.calls.map(({ items }) => items)).toEqual([[3, 4, 5]]);
    expect(batcher.stats()).toMatchObject({ offered: 5, accepted: 5, dropped: 2, drops: { dropOldest: 2, dropNewest: 0 } });
    expect(env.eventsOf('dropped')).toMatchObject([{ reason: 'dropOldest' }, { reason: 'dropOldest' }]);
    expect(tallyImbalance(batcher.stats())).toBe(0);
  });

  it('dropOldest never drops what is in flight: then the newcomer goes', async () => {
    const { batcher, sink } = world({ overflow: 'dropOldest', maxHeldItems: 2, maxItems: 2 });
    for (const n of [1, 2]) batcher.offer(n);
    expect(sink.calls).toHaveLength(1);
    await expect(batcher.push(3)).rejects.toMatchObject({ code: 'DROPPED' });
    expect(batcher.stats()).toMatchObject({ inFlight: 2, dropped: 1, drops: { dropNewest: 1 } });
  });

  it('dropNewest drops the newcomer: accepted, and dropped', async () => {
    const { env, sink, batcher } = world({ overflow: 'dropNewest', maxHeldItems: 2 });
    for (const n of [1, 2, 3]) expect(batcher.offer(n)).toBe('accepted');
    await batcher.add(4);
    await env.clock.advance(10);
    expect(sink.calls.map(({ items }) => items)).toEqual([[1, 2]]);
    expect(batcher.stats()).toMatchObject({ offered: 4, accepted: 4, dropped: 2, drops: { dropNewest: 2 } });
  });

  it('makes room for bytes too, and refuses what could never be held', async () => {
    const bounds = { overflow: 'dropOldest', maxHeldBytes: 10 } as const;
    const { batcher } = world<string>({ ...bounds, bytesOf: (item) => item.length });
    for (const item of ['aaaa', 'bbbb', 'cccccccc']) batcher.offer(item);
    expect(batcher.stats()).toMatchObject({ held: 1, heldBytes: 8, dropped: 2 });
    await expect(batcher.push('d'.repeat(11))).rejects.toMatchObject({ code: 'ITEM_TOO_LARGE' });
  });

  it('drops from the lane of the newcomer first, else from the one that holds most', () => {
    const dropped: string[] = [];
    const { batcher } = world<string>({
      overflow: 'dropOldest',
      maxHeldItems: 4,
      maxHeldItemsPerLane: 3,
      laneBy: (item) => item[0]!,
      onDrop: (item) => void dropped.push(item),
    });
    for (const item of ['a1', 'a2', 'a3', 'b1', 'a4', 'b2', 'c1']) batcher.offer(item);
    const rows = batcher.stats().lanes.map(({ lane, held, dropped: gone }) => [lane, held, gone]);
    expect(rows).toEqual([
      ['a', 2, 2],
      ['b', 1, 1],
      ['c', 1, 0],
    ]);
  });

  it('a callback that throws is an event, and harms nobody; one that offers again comes to an end', async () => {
    let times = 0;
    const { env, batcher } = world({
      overflow: 'dropOldest',
      maxHeldItems: 1,
      onDrop(item) {
        if (times++ < 5) batcher.offer(item);
        throw new Error('oops');
      },
    });
    for (const n of [1, 2]) batcher.offer(n);
    await env.clock.settle();
    expect(env.eventsOf('callbackError')).toHaveLength(6);
    expect(tallyImbalance(batcher.stats())).toBe(0);
  });

  it('does not pile up what waits for the callback: as many as may be held', () => {
    let told = 0;
    const { batcher } = world({ overflow: 'dropOldest', maxHeldItems: 100, onDrop: () => void told++ });
    for (let n = 0; n < 10_000; n++) batcher.offer(n);
    expect(told).toBeGreaterThanOrEqual(9_700);
  });

  it('keeps the window of the next item when the opener of a batch is dropped, and flush waits for none of the dropped', async () => {
    const { env, sink, batcher } = world({ overflow: 'dropOldest', maxHeldItems: 2 });
    batcher.offer(1);
    await env.clock.advance(5);
    for (const n of [2, 3]) batcher.offer(n);
    await env.clock.advance(5);
    expect(sink.calls).toHaveLength(0);
    await env.clock.advance(5);
    expect(sink.calls.map(({ items }) => items)).toEqual([[2, 3]]);
    const flushed = batcher.flush();
    for (const n of [4, 5]) batcher.offer(n);
    sink.calls[0]!.reply();
    expect(await flushed).toMatchObject({ ok: 2, dropped: 0 });
  });

  it.each([
    [{ overflow: 'drop' }, /overflow must be 'wait', 'reject', 'dropOldest', 'dropNewest'; got drop/],
    [{ strict: true }, /strict must be 'halt', 'deadLetter'/],
    [{ laneBy: 'tenant' }, /laneBy must be a function/],
    [{ adapt: () => {} }, /adapt must be what pidItems\(\)/],
    [{ combine: () => {} }, /combine must be an object/],
    [{ shards: 4 }, /shards needs orderBy/],
    [{ strict: 'halt', maxInFlightPerLane: 2 }, /strict allows one batch/],
    [{ orderBy: String, maxInFlightPerLane: 2 }, /orderBy needs one batch of a lane/],
    [{ onDorp: () => {} }, /did you mean onDrop/],
  ])('refuses %o', (options, message) => {
    expect(() => world(options as never)).toThrow(message);
  });

  it('refuses a weight that is none when the lane comes to be', async () => {
    const { batcher } = world({ laneBy: String, laneWeight: () => 0 });
    await expect(batcher.push(1)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(() => batcher.offer(1)).toThrow(/laneWeight must return/);
  });
});

describe('ack (R-172)', () => {
  it('says in which batch an item was written, and where', async () => {
    const { env, sink, batcher } = world();
    batcher.offer(1);
    const ack = batcher.ack(2);
    const lost = batcher.ack(3);
    await env.clock.advance(10);
    sink.calls[0]!.reply([10, 20, failure('bad row', { code: 'BAD' })]);
    expect(await ack).toEqual({ value: 20, batchId: sink.calls[0]!.context.batchId, index: 1 });
    await expect(lost).rejects.toMatchObject({ code: 'BAD' });
  });

  it('raises no unhandledRejection when nobody looks (D-31)', async () => {
    const { batcher } = world({ maxHeldItems: 1, overflow: 'reject' });
    batcher.offer(1);
    void batcher.ack(2);
    await new Promise((resolve) => setImmediate(resolve));
    expect(batcher.stats()).toMatchObject({ rejected: 1 });
  });
});

describe('combine', () => {
  interface Count {
    readonly key: string;
    readonly by: number;
  }
  const sum = {
    by: ({ key }: Count) => key,
    into: (counts: readonly Count[]) => ({ key: counts[0]!.key, by: counts.reduce((total, { by }) => total + by, 0) }),
  };

  it('makes one item of several, and gives each of them its outcome', async () => {
    const { env, sink, batcher } = world<Count>({ combine: sum });
    const pushed = ['a', 'b', 'a', 'a'].map((key, i) => batcher.push({ key, by: i + 1 }));
    await env.clock.advance(10);
    expect(sink.calls[0]!.items).toEqual([
      { key: 'a', by: 8 },
      { key: 'b', by: 2 },
    ]);
    sink.calls[0]!.reply([1, failure('no b', { code: 'NO' })]);
    const rejected = { status: 'rejected', reason: { code: 'NO' } };
    const ok = { status: 'fulfilled', value: 1 };
    expect(await Promise.allSettled(pushed)).toMatchObject([ok, rejected, ok, ok]);
  });

  it('combines the same items again for a retry of what failed', async () => {
    const { env, sink, batcher } = world<Count>({ combine: sum, layers: [retry({ baseMs: 1 })] });
    for (const key of ['a', 'b', 'a']) batcher.offer({ key, by: 1 });
    await env.clock.advance(10);
    sink.calls[0]!.reply([failure('later', { class: 'transient' }), 5]);
    await env.clock.advance(10);
    expect(sink.calls[1]!.items).toEqual([{ key: 'a', by: 2 }]);
  });

  it('changes items one by one without a key, and holds the sink to one result per combined item', async () => {
    const { env, sink, batcher } = world<number>({ combine: { into: ([n]) => n! * 2 } });
    const pushed = [batcher.push(1), batcher.push(2)];
    await env.clock.advance(10);
    expect(sink.calls[0]!.items).toEqual([2, 4]);
    sink.calls[0]!.reply([1]);
    for (const promise of pushed) await expect(promise).rejects.toMatchObject({ code: 'RESULT_LENGTH_MISMATCH' });
  });
});

describe('pass-through', () => {
  it('makes a call of each item at once, within the bounds', async () => {
    const { env, sink, batcher } = world({ passThrough: true, maxInFlight: 2 });
    for (const n of [1, 2, 3]) batcher.offer(n);
    expect(sink.calls.map(({ items }) => items)).toEqual([[1], [2]]);
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(sink.calls.map(({ items }) => items)).toEqual([[1], [2], [3]]);
  });
});

describe('two speeds (R-129, R-130)', () => {
  const speeds = () => {
    const env = testEnv();
    const durable = scriptedSink<string>();
    const fast = scriptedSink<string>();
    const both = twoSpeed({
      important: createBatcher<string>({ sink: durable, env, window: { maxDelayMs: 5 } }),
      bestEffort: createBatcher<string>({ sink: fast, env, maxHeldItems: 100, maxInFlight: 1, overflow: 'dropOldest' }),
    });
    return { env, durable, fast, both };
  };

  it('R-129: an important item is acknowledged when it is durable; others are handed over, and counted when dropped', async () => {
    const { env, durable, fast, both } = speeds();
    let acknowledged = false;
    void both.write('payment', { important: true }).then(() => {
      acknowledged = true;
    });
    expect(await both.write('click')).toBeUndefined();
    await env.clock.advance(5);
    expect([durable.calls.length, acknowledged]).toEqual([1, false]);
    durable.calls[0]!.reply();
    await env.clock.settle();
    expect(acknowledged).toBe(true);
    await env.clock.advance(100);
    expect(fast.calls[0]!.items).toEqual(['click']);
  });

  it('R-130: the fast path, full and with a sink that hangs, does not delay an important ack', async () => {
    const { env, durable, fast, both } = speeds();
    for (let i = 0; i < 10_000; i++) void both.write(`click ${i}`);
    await env.clock.advance(100);
    for (let i = 0; i < 10_000; i++) void both.write(`click ${i}`);
    expect(fast.open).toBe(1);
    const startedAt = env.clock.now();
    const acknowledged = both.write('payment', { important: true }).then(() => env.clock.now() - startedAt);
    await env.clock.advance(5);
    durable.calls[0]!.reply();
    expect(await acknowledged).toBe(5);
    expect(both.stats().bestEffort.dropped).toBeGreaterThan(19_000);
    void both.close({ deadlineMs: 10 });
    await env.clock.advance(600);
    expect(both.stats().important).toMatchObject({ ok: 1, held: 0 });
  });
});
