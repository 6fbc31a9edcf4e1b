/** Tests of the batcher, named after the requirements that they prove. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { Layer, Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import { bisect } from '../layers/bisect.js';
import { retry } from '../layers/retry.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type Batcher, type BatcherOptions, createBatcher } from './batcher.js';

const made: { batcher: Batcher<never, unknown>; env: ReturnType<typeof testEnv> }[] = [];

/** A batcher on a test env, whose balance is checked at the end of the test. */
function world<T = number, R = void>(options: Partial<BatcherOptions<T, R>> = {}) {
  const env = testEnv();
  const sink = scriptedSink<T, R>({ answer: () => undefined });
  const batcher = createBatcher<T, R>({ sink, env, window: { maxDelayMs: 100 }, ...options });
  made.push({ batcher: batcher as unknown as Batcher<never, unknown>, env });
  return { env, sink, batcher };
}

afterEach(() => {
  for (const { batcher } of made.splice(0)) expect(tallyImbalance(batcher.stats())).toBe(0);
});

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const wrote = (sink: { calls: readonly { items: readonly unknown[] }[] }) => sink.calls.map((call) => call.items);
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error) => error.code as string,
  );

describe('collecting (R-55 … R-64)', () => {
  it('R-57: 100 items in batches of 10 make 10 calls of arrays', async () => {
    const { sink, batcher } = world({ maxItems: 10 });
    await Promise.all(range(100).map((i) => batcher.push(i)));
    expect(wrote(sink)).toEqual(range(10).map((i) => range(10).map((j) => 10 * i + j)));
  });

  it('R-56, R-63: leaves when full or when its time has come, and the rest at close', async () => {
    const { env, sink, batcher } = world({ maxItems: 3 });
    for (const i of range(4)) batcher.offer(i);
    expect(wrote(sink)).toEqual([[0, 1, 2]]);
    await env.clock.advance(100);
    expect(wrote(sink)).toEqual([[0, 1, 2], [3]]);
    batcher.offer(4);
    await batcher.close();
    expect(wrote(sink)).toEqual([[0, 1, 2], [3], [4]]);
    expect(env.eventsOf('cut').map((event) => event.reason)).toEqual(['size', 'time', 'shutdown']);
  });

  it('R-59: by size alone the oldest item would wait 99 minutes at one a minute; the window bounds that', async () => {
    const { env, batcher } = world({ maxItems: 100, window: { maxDelayMs: 1000 } });
    for (const i of range(100)) {
      batcher.offer(i);
      await env.clock.advance(60_000);
    }
    const waits = env.eventsOf('cut').map((event) => event.waitMs);
    expect([waits.length, Math.max(...waits)]).toEqual([100, 1000]);
  });

  it('R-60: by time alone a million items would make one batch; maxItems bounds that', async () => {
    const { env, sink, batcher } = world({ maxItems: 500, maxInFlight: Number.POSITIVE_INFINITY, maxHeldItems: 1_000_000 });
    for (let i = 0; i < 100_000; i++) batcher.offer(i);
    await env.clock.advance(100);
    expect([sink.calls.length, Math.max(...sink.calls.map((call) => call.items.length))]).toEqual([200, 500]);
  });

  it('R-164: a delay of an hour is an hour', async () => {
    const env = testEnv();
    const sink = scriptedSink<string>({ answer: () => {} });
    const batcher = createBatcher<string>({ sink, env, window: { maxDelayMs: 3_600_000 } });
    batcher.offer('a');
    await env.clock.advance(3_599_999);
    expect(sink.calls).toHaveLength(0);
    await env.clock.advance(1);
    expect(sink.calls).toHaveLength(1);
    expect(env.clock.timers).toBe(0);
  });

  it('R-164: warns of a window of an hour or more, once: what waits so long in memory may be lost', () => {
    const warnings = (window: BatcherOptions<number>['window']) => {
      const env = testEnv();
      createBatcher<number>({ sink: { write: async () => {} }, env, ...(window === undefined ? {} : { window }) });
      return env.eventsOf('warning').map(({ name, code }) => [name, code]);
    };
    for (const window of [
      { maxDelayMs: 3_600_000 },
      { everyMs: 1e12 },
      { throttleMs: 3_600_000 },
      { quietMs: 5, maxDelayMs: 1e9 },
    ])
      expect(warnings(window)).toEqual([['batcher', 'LONG_WINDOW']]);
    for (const window of [undefined, { maxDelayMs: 3_599_999 }, 'tick', 'whileBusy'] as const)
      expect(warnings(window)).toEqual([]);
  });

  it('warns of a bound in bytes without bytesOf, which bounds nothing', () => {
    const warnings = (options: Partial<BatcherOptions<number>>) => {
      const env = testEnv();
      createBatcher<number>({ sink: { write: async () => {} }, env, ...options });
      return env.eventsOf('warning').map(({ name, code }) => [name, code]);
    };
    for (const options of [{ maxBytes: 1 }, { maxHeldBytes: 1 }, { maxBytes: 1, maxHeldBytes: 1 }])
      expect(warnings(options)).toEqual([['batcher', 'BYTES_UNMEASURED']]);
    for (const options of [{}, { maxBytes: Number.POSITIVE_INFINITY }, { maxBytes: 1, bytesOf: () => 1 }])
      expect(warnings(options)).toEqual([]);
  });

  it('R-62, E-31, W-2: an empty batcher runs no timer and never calls its sink', async () => {
    const { env, sink, batcher } = world();
    await env.clock.advance(10_000);
    await batcher.flush();
    await batcher.close();
    expect([sink.calls.length, env.clock.timersStarted - env.clock.timers]).toEqual([0, 1]);
    expect(env.clock.timers).toBe(0);
  });

  it('R-64: a sink may keep and change its array; later batches and retries do not see it', async () => {
    const kept: (readonly number[])[] = [];
    const seen: number[][] = [];
    const sink: Sink<number> = {
      async write(items) {
        kept.push(items);
        seen.push([...items]);
        (items as number[]).fill(-1).length = 1;
        if (seen.length === 1) throw new Error('down');
      },
    };
    const { env, batcher } = world({ sink, maxItems: 2, layers: [retry()] });
    for (const i of range(4)) batcher.offer(i);
    await env.clock.advance(1000);
    expect(seen).toEqual([
      [0, 1],
      [2, 3],
      [0, 1],
    ]);
    expect(kept).toEqual([[-1], [-1], [-1]]);
  });

  it('R-76: an item at 49 leaves at 50 under { everyMs: 50 }, at 99 under { maxDelayMs: 50 }', async () => {
    const at = async (window: { everyMs: number } | { maxDelayMs: number }) => {
      const { env, batcher } = world({ window });
      await env.clock.advance(49);
      batcher.offer(1);
      const offeredAt = 49;
      await env.clock.advance(1000);
      return env.eventsOf('cut').map((event) => offeredAt + event.waitMs);
    };
    expect([await at({ everyMs: 50 }), await at({ maxDelayMs: 50 })]).toEqual([[50], [99]]);
  });

  it('R-77, D-2: after a full batch no stale timer cuts the next one early', async () => {
    const { env, sink, batcher } = world({ maxItems: 2 });
    batcher.offer(0);
    await env.clock.advance(90);
    batcher.offer(1);
    batcher.offer(2);
    await env.clock.advance(99);
    expect(wrote(sink)).toEqual([[0, 1]]);
    await env.clock.advance(1);
    expect(wrote(sink)).toEqual([[0, 1], [2]]);
  });

  it('E-34: measures bytes: a batch stays within maxBytes, and an item that is larger leaves alone', async () => {
    const { env, sink, batcher } = world({ maxBytes: 10, bytesOf: (item) => item });
    for (const bytes of [4, 4, 4, 25, 1, 10]) batcher.offer(bytes);
    await env.clock.advance(100);
    expect(wrote(sink)).toEqual([[4, 4], [4], [25], [1], [10]]);
    expect(batcher.stats().heldBytes).toBe(0);
  });
});

describe('cutting late', () => {
  it('keeps a batch open until it is really dispatched: 200 items, 6 ms apart, a 100 ms sink, one call at a time', async () => {
    const env = testEnv();
    const latencies: number[] = [];
    const sink: Sink<number> = { write: () => new Promise((resolve) => env.clock.after(100, () => resolve())) };
    const { batcher } = world({ sink, env, window: { maxDelayMs: 5 }, maxInFlight: 1 });
    for (const i of range(200)) {
      const offeredAt = env.clock.now();
      void batcher.push(i).then(() => latencies.push(env.clock.now() - offeredAt));
      await env.clock.advance(6);
    }
    await env.clock.advance(1000);
    const calls = env.eventsOf('called').length;
    latencies.sort((a, b) => a - b);
    // Cutting at the end of each window would make 200 calls and let the last item wait 18 s.
    expect(calls).toBeLessThanOrEqual(14);
    expect(calls).toBeGreaterThanOrEqual(12);
    expect(latencies[198]!).toBeLessThanOrEqual(206);
    expect(latencies).toHaveLength(200);
  });

  it('serves in a batch only what arrived before it was dispatched', async () => {
    const env = testEnv();
    const sink = scriptedSink<number>();
    const { batcher } = world({ env, sink, maxInFlight: 1 });
    batcher.offer(0);
    await env.clock.advance(100);
    batcher.offer(1);
    await env.clock.advance(500);
    batcher.offer(2);
    sink.calls[0]!.reply();
    await env.clock.settle();
    batcher.offer(3);
    expect(wrote(sink)).toEqual([[0], [1, 2]]);
  });
});

describe('bounds (R-78)', () => {
  it('offer never waits: accepted, full, closed', async () => {
    const { env, batcher } = world({ maxHeldItems: 2 });
    expect(range(3).map((i) => batcher.offer(i))).toEqual(['accepted', 'accepted', 'full']);
    await env.clock.advance(100);
    expect(batcher.offer(3)).toBe('accepted');
    await batcher.close();
    expect(batcher.offer(4)).toBe('closed');
    expect(batcher.stats()).toMatchObject({ offered: 5, accepted: 3, rejected: 2, ok: 3 });
  });

  it('add waits for room and is served in the order of arrival; a later offer does not overtake', async () => {
    const { env, sink, batcher } = world({ maxHeldItems: 2, maxItems: 2 });
    const order: number[] = [];
    const first = scriptedSink<number>();
    const blocked = createBatcher<number>({ sink: first, env, maxHeldItems: 2, maxItems: 2 });
    for (const i of range(5)) void blocked.add(i).then(() => order.push(i));
    await env.clock.settle();
    expect(order).toEqual([0, 1]);
    expect(blocked.offer(9)).toBe('full');
    expect(blocked.stats()).toMatchObject({ waiting: 3, accepted: 2 });
    first.calls[0]!.reply();
    await env.clock.settle();
    expect(order).toEqual([0, 1, 2, 3]);
    first.calls[1]!.reply();
    await env.clock.advance(100);
    expect([order, wrote(first)]).toEqual([range(5), [[0, 1], [2, 3], [4]]]);
    expect([sink.calls.length, batcher.stats().offered]).toEqual([0, 0]);
  });

  it('lets so many wait and refuses the next one', async () => {
    const { env, batcher } = world({ maxHeldItems: 1, maxWaiting: 2 });
    const ends = range(4).map((i) => code(batcher.add(i)));
    expect(await ends[3]).toBe('OVERLOADED');
    await env.clock.advance(1000);
    expect(await Promise.all(ends)).toEqual(['ok', 'ok', 'ok', 'OVERLOADED']);
    expect(env.eventsOf('rejected').map((event) => event.reason)).toEqual(['waitersFull']);
  });

  it('refuses at once under overflow reject', async () => {
    const { batcher } = world({ maxHeldItems: 1, overflow: 'reject' });
    expect(await Promise.all([code(batcher.add(0)), code(batcher.add(1)), code(batcher.push(2))])).toEqual([
      'ok',
      'OVERLOADED',
      'OVERLOADED',
    ]);
  });

  it('E-34: refuses what could never be held', async () => {
    const { batcher } = world({ maxHeldBytes: 100, bytesOf: (item) => item });
    expect(await Promise.all([code(batcher.push(101)), code(batcher.add(101))])).toEqual(['ITEM_TOO_LARGE', 'ITEM_TOO_LARGE']);
    expect(batcher.offer(101)).toBe('full');
    expect(batcher.offer(100)).toBe('accepted');
  });

  it('rejects, rather than throws, where bytesOf does not give a number of bytes', async () => {
    const { batcher } = world({ bytesOf: () => Number.NaN });
    expect(await Promise.all([code(batcher.push(1)), code(batcher.add(1))])).toEqual(['INVALID_OPTION', 'INVALID_OPTION']);
    expect(batcher.stats().offered).toBe(0);
  });

  it('lets the next in line in when the first one, too large for the room, leaves', async () => {
    const { env, batcher } = world({ maxHeldBytes: 10, bytesOf: (item) => item, window: { maxDelayMs: 1e6 } });
    batcher.offer(6);
    const controller = new AbortController();
    const large = code(batcher.add(8, { signal: controller.signal }));
    const small = code(batcher.add(3));
    await env.clock.settle();
    expect(batcher.stats()).toMatchObject({ waiting: 2, accepted: 1 });
    controller.abort();
    expect(await Promise.all([large, small])).toEqual(['CANCELLED', 'ok']);
    expect(batcher.stats()).toMatchObject({ waiting: 0, accepted: 2, rejected: 1 });
  });
});

describe('room', () => {
  it('is given to the next in line when an item that was held is cancelled', async () => {
    const { batcher } = world({ maxHeldItems: 1, window: { maxDelayMs: 1e6 } });
    const controller = new AbortController();
    const left = code(batcher.push(0, { signal: controller.signal }));
    const next = code(batcher.add(1));
    expect(batcher.stats()).toMatchObject({ held: 1, waiting: 1 });
    controller.abort();
    expect(await Promise.all([left, next])).toEqual(['CANCELLED', 'ok']);
  });
});

describe('close (R-65, R-66, R-67, R-79)', () => {
  it('R-65, D-8: is idempotent, and closes the sink once', async () => {
    let closed = 0;
    const { batcher } = world({ sink: { write: async () => {}, close: async () => void closed++ } });
    batcher.offer(1);
    const [first, second] = await Promise.all([batcher.close(), batcher.close()]);
    expect(first).toBe(second);
    expect(await batcher.close()).toBe(first);
    expect(first).toMatchObject({ ok: 1, failed: 0, dropped: 0 });
    expect(closed).toBe(1);
  });

  it('R-66: what comes after it is refused as CLOSED, even with a signal that was aborted before (R-78)', async () => {
    const { batcher } = world();
    const closing = batcher.close();
    const signal = AbortSignal.abort();
    expect(await Promise.all([code(batcher.add(1)), code(batcher.push(2)), code(batcher.push(3, { signal }))])).toEqual(
      new Array(3).fill('CLOSED'),
    );
    await closing;
  });

  it('R-67: is over only once everything in flight is settled', async () => {
    const sink = scriptedSink<number>();
    const { env, batcher } = world({ sink, maxInFlight: 1, maxItems: 1 });
    for (const i of range(3)) batcher.offer(i);
    let done = false;
    const closing = batcher.close().then((report) => {
      done = true;
      return report;
    });
    for (const i of range(3)) {
      await env.clock.advance(10);
      expect(done).toBe(false);
      sink.calls[i]!.reply();
    }
    expect(await closing).toMatchObject({ ok: 3, durationMs: 30, dropped: 0 });
    expect(env.clock.timers).toBe(0);
  });

  it('R-79, D-9: refuses those who wait for room, and loses none that was accepted', async () => {
    const sink = scriptedSink<number>();
    const { env, batcher } = world({ sink, maxHeldItems: 2, maxItems: 2 });
    const adds = range(4).map((i) => code(batcher.add(i)));
    const closing = batcher.close();
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(await Promise.all(adds)).toEqual(['ok', 'ok', 'CLOSED', 'CLOSED']);
    expect(await closing).toMatchObject({ ok: 2, dropped: 0 });
  });

  it('R-79: an abort in the turn in which an add is let in does not take the item away again', async () => {
    const sink = scriptedSink<number>();
    const controller = new AbortController();
    const { env, batcher } = world({
      sink,
      maxHeldItems: 1,
      maxItems: 1,
      // The second batch: the waiting add has just been let in.
      layers: [
        (inner) => ({
          ready: (lane) => inner.ready(lane),
          dispatch: (batch, context) => {
            if (batch.items[0]!.value === 1) controller.abort();
            return inner.dispatch(batch, context);
          },
        }),
      ],
    });
    batcher.offer(0);
    const added = code(batcher.add(1, { signal: controller.signal }));
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(await added).toBe('ok');
    sink.calls[1]!.reply();
    await env.clock.settle();
    expect(batcher.stats()).toMatchObject({ ok: 2, cancelled: 0 });
  });

  it('a sink that offers while the batcher closes is told so, and nothing hangs (D-10)', async () => {
    const answers: string[] = [];
    const { batcher } = world({
      sink: {
        async write() {
          answers.push(batcher.offer(9));
        },
      },
    });
    batcher.offer(1);
    expect(await batcher.close()).toMatchObject({ ok: 1 });
    expect(answers).toEqual(['closed']);
  });

  it('a sink may close its batcher, if it does not wait for it', async () => {
    let closing: Promise<unknown> | undefined;
    let closed = 0;
    const { batcher } = world<number>({
      sink: {
        async write() {
          closing = batcher.close();
        },
        close: async () => void closed++,
      },
      maxItems: 1,
    });
    batcher.offer(1);
    expect(await closing).toMatchObject({ ok: 1 });
    const again: Batcher<number> = createBatcher<number>({
      sink: { write: async () => void again.close(), close: async () => void closed++ },
      env: testEnv(),
    });
    again.offer(1);
    await again.close();
    expect(closed).toBe(2);
  });

  it('a sink that waits for the close of its own batcher is freed by the deadline', async () => {
    const { env, batcher } = world<number>({
      sink: {
        async write() {
          await batcher.close();
        },
      },
    });
    batcher.offer(1);
    const closing = batcher.close({ deadlineMs: 1000 });
    await env.clock.advance(1000);
    expect(await closing).toMatchObject({ ok: 0, dropped: 1, droppedInFlight: 1, durationMs: 1000 });
  });

  it('R-74, R-145: reports exactly at the deadline: what was written, what was never sent, what has an unknown end', async () => {
    const sink = scriptedSink<number>();
    const { env, batcher } = world({ sink, maxItems: 2, maxInFlight: 2, layers: [retry()] });
    const pushed = range(7).map((i) =>
      batcher.push(i).then(
        () => 'ok',
        (error) => `${error.code} ${error.class}`,
      ),
    );
    sink.calls[0]!.reply();
    await env.clock.settle();
    const closing = batcher.close({ deadlineMs: 500 });
    await env.clock.advance(500);
    expect(await closing).toEqual({
      ok: 0,
      failed: 0,
      dead: 0,
      cancelled: 0,
      dropped: 5,
      droppedHeld: 1,
      droppedInFlight: 4,
      durationMs: 500,
    });
    expect(await Promise.all(pushed)).toEqual([
      'ok',
      'ok',
      ...new Array(4).fill('SHUTDOWN_TIMEOUT unknown'),
      'SHUTDOWN_TIMEOUT rejected',
    ]);
    expect(batcher.stats()).toMatchObject({ offered: 7, accepted: 7, ok: 2, dropped: 5, held: 0, inFlight: 0 });
    expect(sink.calls.every((call) => call === sink.calls[0] || call.context.signal.aborted)).toBe(true);
    // The hung calls come back after all: nobody is told twice, and nothing stays counted.
    sink.calls[1]!.reply();
    sink.calls[2]!.fail(new Error('late'));
    await env.clock.settle();
    expect(batcher.stats()).toMatchObject({ ok: 2, dropped: 5, heldBytes: 0 });
    expect(env.clock.timers).toBe(0);
    expect(sink.calls).toHaveLength(3);
  });

  it('with a deadline of 0 drops all that cannot be settled at once', async () => {
    const { env, batcher } = world({ sink: scriptedSink<number>() });
    batcher.offer(1);
    const closing = batcher.close({ deadlineMs: 0 });
    await env.clock.settle();
    expect(await closing).toMatchObject({ dropped: 1 });
  });

  it('rejects with the report when the sink cannot be closed', async () => {
    const cause = new Error('disk full');
    const { batcher } = world({ sink: { write: async () => {}, close: () => Promise.reject(cause) } });
    batcher.offer(1);
    await expect(batcher.close()).rejects.toMatchObject({ code: 'CLOSE_FAILED', report: { ok: 1 }, cause: { cause } });
    await expect(batcher[Symbol.asyncDispose]()).rejects.toMatchObject({ code: 'CLOSE_FAILED' });
  });

  it('waits for a sink that hangs in its close no longer than the deadline', async () => {
    const { env, batcher } = world({ sink: { write: async () => {}, close: () => new Promise(() => {}) } });
    const closing = code(batcher.close({ deadlineMs: 2000 }));
    await env.clock.advance(2000);
    expect(await closing).toBe('CLOSE_FAILED');
    expect(env.clock.timers).toBe(0);
  });

  it('refuses a wrong deadline, and stays open', async () => {
    const { batcher } = world();
    expect(await code(batcher.close({ deadlineMs: -1 }))).toBe('INVALID_OPTION');
    expect(await code(batcher.close({ deadline: 5 } as never))).toBe('INVALID_OPTION');
    expect(batcher.offer(1)).toBe('accepted');
  });

  it('closes at the end of an `await using` block', async () => {
    const sink = scriptedSink<number>({ answer: () => undefined });
    {
      await using batcher = createBatcher<number>({ sink, env: testEnv() });
      batcher.offer(1);
    }
    expect(wrote(sink)).toEqual([[1]]);
  });
});

describe('flush (R-171)', () => {
  it('settles what was held, in flight or waiting when it was called, and does not wait for later items', async () => {
    const sink = scriptedSink<number>();
    const { env, batcher } = world({ sink, maxItems: 1, maxInFlight: 1, maxHeldItems: 2 });
    for (const i of range(3)) void batcher.add(i);
    expect(batcher.stats()).toMatchObject({ inFlight: 1, held: 1, waiting: 1 });
    let report: unknown;
    void batcher.flush().then((counts) => {
      report = counts;
    });
    void batcher.add(9);
    for (const i of range(3)) {
      await env.clock.settle();
      expect(report).toBeUndefined();
      sink.calls[i]!.reply();
    }
    await env.clock.settle();
    expect(report).toEqual({ ok: 3, failed: 0, dead: 0, cancelled: 0, dropped: 0 });
    expect(batcher.stats()).toMatchObject({ inFlight: 1, ok: 3 });
  });

  it('E-33: is counted as manual, may overlap with others, and is over at once when there is nothing', async () => {
    const { env, sink, batcher } = world();
    batcher.offer(1);
    const both = await Promise.all([batcher.flush(), batcher.flush()]);
    expect(both.map((counts) => counts.ok)).toEqual([1, 1]);
    expect(env.eventsOf('cut').map((event) => event.reason)).toEqual(['manual']);
    await batcher.flush();
    expect(sink.calls).toHaveLength(1);
  });

  it('leaves no timer behind, and the next item opens a window of its own', async () => {
    const { env, sink, batcher } = world();
    batcher.offer(1);
    await env.clock.advance(60);
    await batcher.flush();
    batcher.offer(2);
    await env.clock.advance(99);
    expect(wrote(sink)).toEqual([[1]]);
    await env.clock.advance(1);
    expect(wrote(sink)).toEqual([[1], [2]]);
  });

  it('E-29: does not reject for what failed', async () => {
    const { batcher } = world({ sink: { write: () => Promise.reject(new Error('down')) } });
    batcher.offer(1);
    expect(await batcher.flush()).toMatchObject({ ok: 0, failed: 1 });
  });
});

describe('push (R-172)', () => {
  it('gives each item its own outcome', async () => {
    const { env, batcher } = world<number, string>({
      sink: { write: async (items) => items.map((i) => (i === 1 ? new Error('no') : `#${i}`)) },
    });
    const all = Promise.allSettled(range(3).map((i) => batcher.push(i)));
    await env.clock.advance(100);
    expect(await all).toMatchObject([{ value: '#0' }, { reason: { message: 'no', class: 'permanent' } }, { value: '#2' }]);
  });

  it('says where a dead item was parked', async () => {
    const parking: Layer<number, void> = (inner) => ({
      ready: (lane) => inner.ready(lane),
      dispatch: async (batch, context) =>
        (await inner.dispatch(batch, context)).map((outcome) =>
          outcome.kind === 'failed' ? { kind: 'dead', failure: outcome.failure, deadLetterId: 'd7' } : outcome,
        ),
    });
    const { env, batcher } = world({ layers: [parking], sink: { write: () => Promise.reject(failure('bad', { code: 'BAD' })) } });
    const pushed = batcher.push(1);
    await env.clock.advance(100);
    await expect(pushed).rejects.toMatchObject({ code: 'BAD', deadLetterId: 'd7' });
    expect(batcher.stats()).toMatchObject({ dead: 1, failed: 0 });
  });

  it('raises no unhandledRejection when nobody looks, nor does add (D-31)', async () => {
    const raised: unknown[] = [];
    const listen = (reason: unknown) => raised.push(reason);
    process.on('unhandledRejection', listen);
    try {
      const { env, batcher } = world({ sink: { write: () => Promise.reject(new Error('down')) } });
      void batcher.push(1);
      void batcher.push(2, { signal: new AbortController().signal });
      void batcher.push(3, { signal: AbortSignal.abort() });
      await env.clock.advance(100);
      await batcher.close();
      void batcher.push(4);
      void batcher.add(5);
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      expect(raised).toEqual([]);
    } finally {
      process.off('unhandledRejection', listen);
    }
  });

  it('settles in the order of arrival, with signals or without', async () => {
    const { env, batcher } = world();
    const { signal } = new AbortController();
    const order: number[] = [];
    for (const i of range(6)) void batcher.push(i, i % 2 === 0 ? { signal } : {}).then(() => order.push(i));
    await env.clock.advance(100);
    expect(order).toEqual(range(6));
  });

  it('never settles in the turn that took the item, though the sink answers at once (D-25)', async () => {
    const { batcher } = world({ maxItems: 1 });
    let told = false;
    void batcher.push(1).then(() => {
      told = true;
    });
    expect(told).toBe(false);
  });

  it('can be left: an item that was not sent is not sent, a call that nobody waits for is aborted', async () => {
    const sink = scriptedSink<number>();
    const { env, batcher } = world({ sink });
    const controllers = range(3).map(() => new AbortController());
    const ends = range(3).map((i) => code(batcher.push(i, { signal: controllers[i]!.signal })));
    controllers[0]!.abort();
    await env.clock.advance(100);
    expect(wrote(sink)).toEqual([[1, 2]]);
    controllers[1]!.abort();
    expect(sink.calls[0]!.context.signal.aborted).toBe(false);
    controllers[2]!.abort();
    expect(sink.calls[0]!.context.signal.aborted).toBe(true);
    expect(await Promise.all(ends)).toEqual(['CANCELLED', 'CANCELLED', 'CANCELLED']);
    expect(batcher.stats()).toMatchObject({ cancelled: 3, inFlight: 0, held: 0 });
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(batcher.stats()).toMatchObject({ cancelled: 3, ok: 0 });
  });

  it('R-248: 10,000 pushes on one signal put one listener on it, warn of nothing, and leave none', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on('warning', listen);
    try {
      const { env, batcher } = world({ maxHeldItems: 5000, window: { maxDelayMs: 10 } });
      const { signal } = new AbortController();
      const all = range(10_000).map((i) => (i % 2 === 0 ? batcher.push(i, { signal }) : batcher.add(i, { signal })));
      expect(getEventListeners(signal, 'abort')).toHaveLength(1);
      await env.clock.advance(1000);
      await Promise.all(all);
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).toEqual([]);
    } finally {
      process.off('warning', listen);
    }
  });

  it('one abort ends 10,000 of them', async () => {
    const { batcher } = world({ maxItems: 20_000 });
    const controller = new AbortController();
    const all = range(10_000).map((i) => code(batcher.push(i, { signal: controller.signal })));
    controller.abort();
    expect(new Set(await Promise.all(all))).toEqual(new Set(['CANCELLED']));
    expect(batcher.stats()).toMatchObject({ cancelled: 10_000, held: 0 });
  });
});

describe('the sink', () => {
  it('runs in the context in which the batcher was made, not in that of whoever came first', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const sink: Sink<number> = {
      async write() {
        seen.push(storage.getStore());
      },
    };
    const { env, batcher } = storage.run('maker', () => world({ sink, maxItems: 2 }));
    const after: (string | undefined)[] = [];
    const push = (name: string) => storage.run(name, () => batcher.push(0).then(() => after.push(storage.getStore())));
    void push('first');
    void push('second');
    void push('third');
    await env.clock.advance(100);
    expect(seen).toEqual(['maker', 'maker']);
    expect(after).toEqual(['first', 'second', 'third']);
  });

  it('R-72: one that hangs is timed out and tried again, while other batches proceed', async () => {
    const sink = scriptedSink<number>({ idempotent: true });
    const { env, batcher } = world({ sink, maxItems: 1, maxInFlight: 3, timeoutMs: 1000, layers: [retry()] });
    const ends = range(3).map((i) => code(batcher.push(i)));
    sink.calls[1]!.reply();
    sink.calls[2]!.reply();
    await env.clock.advance(2000);
    expect(wrote(sink)).toEqual([[0], [1], [2], [0]]);
    expect(sink.calls[3]!.context.batchId).toBe(sink.calls[0]!.context.batchId);
    sink.calls[3]!.reply();
    expect(await Promise.all(ends)).toEqual(['ok', 'ok', 'ok']);
  });

  it('that hangs holds its bytes while it runs, each item counted once, and gives them back when it ends', async () => {
    const sink = scriptedSink<number>({ idempotent: true });
    const { env, batcher } = world({
      sink,
      maxItems: 2,
      maxInFlight: 2,
      maxHeldItems: 3,
      bytesOf: () => 10,
      timeoutMs: 1000,
      layers: [retry({ maxAttempts: 2 })],
    });
    const ends = [code(batcher.push(0)), code(batcher.push(1))];
    await env.clock.advance(5000);
    expect(await Promise.all(ends)).toEqual(['TIMEOUT', 'TIMEOUT']);
    expect(sink.open).toBe(2);
    expect(batcher.stats()).toMatchObject({ heldBytes: 20, held: 0, inFlight: 0, failed: 2 });
    expect([batcher.offer(2), batcher.offer(3)]).toEqual(['accepted', 'full']);
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(batcher.stats().heldBytes).toBe(30);
    sink.calls[1]!.reply();
    await env.clock.settle();
    expect(batcher.stats().heldBytes).toBe(10);
    expect(wrote(sink)).toEqual([
      [0, 1],
      [0, 1],
    ]);
    await env.clock.advance(100);
    expect(wrote(sink).at(-1)).toEqual([2]);
  });

  it('with one bad item among many fails that one alone under bisect', async () => {
    const { env, batcher } = world<number>({
      layers: [retry(), bisect()],
      maxItems: 64,
      sink: {
        async write(items) {
          if (items.includes(13)) throw failure('bad', { class: 'permanent' });
        },
      },
    });
    const ends = range(64).map((i) => code(batcher.push(i)));
    await env.clock.settle();
    expect((await Promise.all(ends)).map((end, i) => (end === 'ok' ? -1 : i)).filter((i) => i >= 0)).toEqual([13]);
  });

  it('that offers in its write does not deepen the stack', async () => {
    let left = 5000;
    const { env, batcher } = world<number>({
      maxItems: 1,
      maxInFlight: Number.POSITIVE_INFINITY,
      sink: {
        async write() {
          if (left-- > 0) batcher.offer(left);
        },
      },
    });
    batcher.offer(-1);
    await env.clock.settle();
    expect(batcher.stats()).toMatchObject({ ok: 5001 });
  });
});

describe('a layer that breaks the laws', () => {
  it.each<[string, Layer<number, void>]>([
    ['rejects', () => ({ ready: () => true, dispatch: () => Promise.reject(new Error('broken')) })],
    [
      'throws',
      () => ({
        ready: () => true,
        dispatch() {
          throw new Error('broken');
        },
      }),
    ],
    ['gives too few outcomes', () => ({ ready: () => true, dispatch: async () => [] })],
    ['gives holes', () => ({ ready: () => true, dispatch: async () => new Array(2) })],
    ['gives nothing', () => ({ ready: () => true, dispatch: async () => undefined as never })],
    [
      'throws in ready',
      (inner) => ({
        ready() {
          throw new Error('broken');
        },
        dispatch: async (batch, context) => {
          await inner.dispatch(batch, context);
          return [];
        },
      }),
    ],
  ])('by one that %s leaves nobody waiting', async (_, layer) => {
    const { env, batcher } = world({ layers: [layer] });
    const ends = [code(batcher.push(1)), code(batcher.push(2))];
    await env.clock.advance(100);
    expect(new Set(await Promise.all(ends)).has('ok')).toBe(false);
    expect(batcher.stats()).toMatchObject({ failed: 2, inFlight: 0 });
  });

  it('by one whose advice rejects is asked again', async () => {
    let asked = 0;
    const shy: Layer<number, void> = (inner) => ({
      ready: () => (asked++ === 0 ? Promise.reject(new Error('broken')) : true),
      dispatch: (batch, context) => inner.dispatch(batch, context),
    });
    const { env, sink, batcher } = world({ layers: [shy] });
    batcher.offer(1);
    await env.clock.advance(100);
    expect(wrote(sink)).toEqual([[1]]);
  });

  it('an observer that throws harms nobody', async () => {
    const env = testEnv({
      observe() {
        throw new Error('broken');
      },
    });
    const { batcher } = world({ env });
    const pushed = batcher.push(1);
    await env.clock.advance(100);
    await pushed;
  });
});

describe('options', () => {
  it.each([
    [{}, /sink with a write/],
    [{ sink: {} }, /sink with a write/],
    [{ sink: { write() {} }, maxSize: 5 }, /no option "maxSize"/],
    [{ sink: { write() {} }, maxItem: 5 }, /did you mean maxItems\?/],
    [{ sink: { write() {} }, maxItems: 0 }, /maxItems must be a whole number, 1 or more/],
    [{ sink: { write() {} }, overflow: 'drop' }, /overflow must be/],
    [{ sink: { write() {} }, timeoutMs: Number.NaN }, /timeoutMs must be/],
    [{ sink: { write() {} }, window: { maxDelayMs: -5 } }, /maxDelayMs must be/],
    [undefined, /needs an object of options/],
  ])('%o is refused (D-6)', (options, message) => {
    expect(() => createBatcher(options as never)).toThrow(message);
  });
});
