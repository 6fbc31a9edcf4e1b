/** Tests of retry: what is tried again, when, and under which id. */

import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { DispatchContext, Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf, laneBatchOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { limit } from './limit.js';
import { type RetryOptions, retry } from './retry.js';

const transient = () => failure('down', { class: 'transient', code: 'DOWN' });

/** A sink beneath retry on a test env. */
function beneath<T, R>(sink: Sink<T, R>, options: RetryOptions = {}, seed = 1) {
  const env = testEnv({ seed });
  const dispatcher = stack([retry<T, R>(options)], sinkDispatcher(sink, env), env);
  return {
    env,
    run: (batch = batchOf<T>(), context: Partial<DispatchContext> = {}) => dispatcher.dispatch(batch, contextOf(context)),
  };
}

/** The pauses that retry takes when everything always fails. */
async function pauses(options: RetryOptions, seed: number, problem: () => Error = transient): Promise<number[]> {
  const { env, run } = beneath<string, void>({ write: () => Promise.reject(problem()) }, options, seed);
  const ended = run(batchOf('a'));
  await env.clock.advance(1e9);
  await ended;
  return env.eventsOf('retry').map((event) => event.delayMs);
}

describe('retry', () => {
  it('counts the first call among maxAttempts, and gives back the last failure (R-80)', async () => {
    let calls = 0;
    const { env, run } = beneath<string, void>(
      { write: async () => Promise.reject(new Error(`call ${++calls}`)) },
      { maxAttempts: 3 },
    );
    const ended = run(batchOf('a'));
    await env.clock.advance(1e6);
    expect(await ended).toMatchObject([{ kind: 'failed', failure: { message: 'call 3' } }]);
    expect(calls).toBe(3);
    expect(env.clock.timers).toBe(0);
  });

  it('with one attempt does not try again at all', async () => {
    const { env, run } = beneath<string, void>({ write: () => Promise.reject(transient()) }, { maxAttempts: 1 });
    expect(await run(batchOf('a'))).toMatchObject([{ kind: 'failed' }]);
    expect(env.clock.timersStarted).toBe(0);
  });

  it('does not sleep after the last attempt (D-12)', async () => {
    expect(await pauses({ maxAttempts: 4 }, 1)).toHaveLength(3);
  });

  it('pauses within [d, 2d), d = min(base·2^k, maxDelay) before retry k (R-81, W-18)', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const taken = await pauses({ maxAttempts: 6, baseMs: 100, maxDelayMs: 500 }, seed);
      for (const [k, delayMs] of taken.entries()) {
        const d = Math.min(100 * 2 ** k, 500);
        expect(delayMs).toBeGreaterThanOrEqual(d);
        expect(delayMs).toBeLessThan(2 * d);
      }
    }
  });

  it('spreads full jitter over [0, 2d)', async () => {
    const first = [];
    for (let seed = 1; seed <= 200; seed++) first.push((await pauses({ maxAttempts: 2, baseMs: 100, jitter: 'full' }, seed))[0]!);
    expect(Math.min(...first)).toBeLessThan(20);
    expect(Math.max(...first)).toBeGreaterThan(180);
    expect(Math.max(...first)).toBeLessThan(200);
  });

  it('D-13: stays within maxDelayMs after a thousand doublings, and takes a base of 0', async () => {
    const taken = await pauses({ maxAttempts: 1100, baseMs: 1, maxDelayMs: 5 }, 1);
    expect(Math.max(...taken)).toBeLessThan(10);
    expect(await pauses({ maxAttempts: 3, baseMs: 0 }, 1)).toEqual([0, 0]);
  });

  it('takes Retry-After for a floor, of whichever item asks for most', async () => {
    const answer = Array.from({ length: 2000 }, (_, i) =>
      failure('wait', { class: 'transient', retryAfterMs: i === 1999 ? 9000 : 1 }),
    );
    const { env, run } = beneath<number, void>({ write: async (items) => items.map((i) => answer[i]!) }, { maxAttempts: 2 });
    const ended = run(batchOf(...answer.keys()));
    await env.clock.advance(1e6);
    await ended;
    expect(env.eventsOf('retry')[0]).toMatchObject({ delayMs: 9000, items: 2000 });
  });

  it('believes no Retry-After that is not a number', async () => {
    const [pause] = await pauses({ maxAttempts: 2 }, 1, () => failure('x', { class: 'transient', retryAfterMs: Number.NaN }));
    expect(pause).toBeGreaterThanOrEqual(100);
  });

  it.each(['permanent', 'rejected', 'blocked'] as const)('does not try again what is %s', async (cls) => {
    const sink = scriptedSink<string>({ answer: () => [failure('no', { class: cls })] });
    await beneath(sink).run(batchOf('a'));
    expect(sink.calls).toHaveLength(1);
  });

  it('tries an unknown failure again only where the sink is idempotent', async () => {
    const unknown = () => [failure('lost', { class: 'unknown' })];
    const once = scriptedSink<string>({ answer: unknown });
    await beneath(once).run(batchOf('a'));
    expect(once.calls).toHaveLength(1);
    const often = scriptedSink<string>({ answer: unknown });
    const { env, run } = beneath(often, { maxAttempts: 3 });
    const ended = run(batchOf('a'), { idempotent: true });
    await env.clock.advance(1e6);
    await ended;
    expect(often.calls).toHaveLength(3);
  });

  it('sends only what failed again (R-147, D-18, W-13), under an id of its own that it keeps', async () => {
    const sink = scriptedSink<string, string>({
      answer: (items, call) => items.map((item) => (item === 'b' && call < 4 ? transient() : item.toUpperCase())),
    });
    const { env, run } = beneath(sink);
    const ended = run(batchOf('a', 'b', 'c'));
    await env.clock.advance(1e6);
    expect(await ended).toEqual(['A', 'B', 'C'].map((value) => ({ kind: 'ok', value })));
    expect(sink.calls.map((call) => [call.items, call.context.batchId, call.context.attempt])).toEqual([
      [['a', 'b', 'c'], 'b', 1],
      [['b'], 'b.1', 2],
      [['b'], 'b.1', 3],
      [['b'], 'b.1', 4],
    ]);
  });

  it('keeps the id of a whole batch that is sent again, and sends the original items though the sink changed its array (D-3)', async () => {
    const seen: [string, string[]][] = [];
    const sink: Sink<string> = {
      async write(items, { batchId }) {
        seen.push([batchId, [...items]]);
        (items as string[]).reverse().pop();
        throw transient();
      },
    };
    const { env, run } = beneath(sink, { maxAttempts: 3 });
    const ended = run(batchOf('a', 'b'));
    await env.clock.advance(1e6);
    await ended;
    expect(seen).toEqual(new Array(3).fill(['b', ['a', 'b']]));
  });

  it('takes no pause that would end past the deadline', async () => {
    const { env, run } = beneath<string, void>({ write: () => Promise.reject(transient()) }, { baseMs: 100 });
    const ended = run(batchOf('a'), { deadlineAt: 90 });
    await env.clock.settle();
    expect(await ended).toMatchObject([{ kind: 'failed', failure: { code: 'DOWN' } }]);
    expect(env.clock.timersStarted).toBe(0);
  });

  it('ends its pause when the signal is aborted, with the failure it had (D-14)', async () => {
    const controller = new AbortController();
    const sink = scriptedSink<string>({
      answer: () => {
        throw transient();
      },
    });
    const { env, run } = beneath(sink);
    const ended = run(batchOf('a'), { signal: controller.signal });
    await env.clock.settle();
    expect(env.clock.timers).toBe(1);
    controller.abort();
    expect(await ended).toMatchObject([{ failure: { code: 'DOWN' } }]);
    expect(env.clock.timers).toBe(0);
    expect(sink.calls).toHaveLength(1);
  });

  it('leaves no listener on the signal after its pauses', async () => {
    const { signal } = new AbortController();
    const { env, run } = beneath<string, void>({ write: () => Promise.reject(transient()) }, { maxAttempts: 5 });
    const ended = run(batchOf('a'), { signal });
    await env.clock.advance(1e6);
    await ended;
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('skips the items that nobody waits for any more', async () => {
    const sink = scriptedSink<string>({
      answer: () => {
        throw transient();
      },
    });
    const { env, run } = beneath(sink, { maxAttempts: 2 });
    const batch = batchOf('a', 'b');
    const ended = run(batch);
    await env.clock.settle();
    (batch.items[0] as { gone: boolean }).gone = true;
    await env.clock.advance(1e6);
    expect(await ended).toMatchObject([{ failure: { code: 'CANCELLED' } }, { failure: { code: 'DOWN' } }]);
    expect(sink.calls.map((call) => call.items)).toEqual([['a', 'b'], ['b']]);
  });

  it('sends what may have been written once more beside the others, under the same id, though nobody waits for it any more', async () => {
    const failures = [failure('lost', { class: 'unknown' }), transient()];
    const sink = scriptedSink<string>({
      answer: (_, call) => {
        const problem = failures[call - 1];
        if (problem !== undefined) throw problem;
      },
    });
    const { env, run } = beneath(sink);
    const batch = batchOf('a', 'b');
    const ended = run(batch, { idempotent: true });
    await env.clock.settle();
    (batch.items[1] as { gone: boolean }).gone = true;
    await env.clock.advance(1e6);
    expect(await ended).toMatchObject([{ kind: 'ok' }, { kind: 'ok' }]);
    expect(sink.calls.map(({ items, context }) => [context.batchId, ...items])).toEqual(
      Array.from({ length: 3 }, () => [batch.id, 'a', 'b']),
    );
  });

  it('gives up what may have been written once nobody waits for any of it', async () => {
    const sink = scriptedSink<string>({
      answer: () => {
        throw failure('lost', { class: 'unknown' });
      },
    });
    const { env, run } = beneath(sink);
    const batch = batchOf('a', 'b');
    const ended = run(batch, { idempotent: true });
    await env.clock.settle();
    for (const item of batch.items) (item as { gone: boolean }).gone = true;
    await env.clock.advance(1e6);
    expect(await ended).toMatchObject([{ failure: { code: 'CANCELLED' } }, { failure: { code: 'CANCELLED' } }]);
    expect(sink.calls).toHaveLength(1);
  });

  it('holds on to blocked items without counting attempts, while others come to their end', async () => {
    let open = false;
    const sink: Sink<string> & { calls: string[][] } = {
      calls: [],
      async write(items) {
        this.calls.push([...items]);
        return items.map(
          (item) => (item === 'blocked' && open ? undefined : failure(item, { class: item as 'blocked' | 'transient' })) as never,
        );
      },
    };
    const { env, run } = beneath(sink, { maxAttempts: 3, holdBlocked: true, maxDelayMs: 100 });
    const ended = run(batchOf('blocked', 'transient'));
    await env.clock.advance(2000);
    expect(sink.calls.filter((items) => items.includes('transient'))).toHaveLength(3);
    expect(sink.calls.length).toBeGreaterThan(10);
    open = true;
    await env.clock.advance(200);
    expect(await ended).toMatchObject([{ kind: 'ok' }, { kind: 'failed', failure: { class: 'transient' } }]);
  });

  it('keeps the failure of an attempt that may have happened when the next one was not begun', async () => {
    let calls = 0;
    const sink: Sink<string> = {
      write: () =>
        Promise.reject(++calls === 1 ? failure('lost', { class: 'unknown' }) : failure('closed', { class: 'rejected' })),
    };
    const { env, run } = beneath(sink);
    const ended = run(batchOf('a'), { idempotent: true });
    await env.clock.advance(1e6);
    expect(await ended).toMatchObject([{ failure: { message: 'lost' } }]);
    expect(calls).toBe(2);
  });

  it.each([{ maxAttempts: 0 }, { maxAttempts: 1.5 }, { baseMs: -1 }, { jitter: 'none' }, { maxTries: 3 }])(
    'refuses %o (D-11)',
    (options) => {
      expect(() => retry(options as RetryOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    },
  );
});

/** Batches that all fail, under the bounds that they share. */
function failing(options: RetryOptions, problem: () => Error = transient) {
  const env = testEnv();
  const sink = scriptedSink<string>({
    answer: () => {
      throw problem();
    },
  });
  const dispatcher = stack([retry<string, void>(options)], sinkDispatcher(sink, env), env);
  return { env, sink, run: (lane = '') => dispatcher.dispatch(laneBatchOf(lane, 'a'), contextOf()) };
}

describe('the bounds of retry', () => {
  it('R-173: a cap of 10 and 15 failing batches leave 10 waiting, and give up 5 with RETRY_OVERFLOW (S4)', async () => {
    const { env, sink, run } = failing({ maxWaiting: 10, maxAttempts: 2 });
    const ended: string[] = [];
    for (let i = 0; i < 15; i++) {
      void run().then(([outcome]) => ended.push(outcome!.kind === 'failed' ? outcome!.failure.code : outcome!.kind));
    }
    await env.clock.settle();
    expect(ended).toEqual(new Array(5).fill('RETRY_OVERFLOW'));
    expect(env.clock.timers).toBe(10);
    expect(env.eventsOf('refused')).toHaveLength(5);
    await env.clock.advance(1000);
    expect(sink.calls).toHaveLength(25);
    expect(ended.slice(5)).toEqual(new Array(10).fill('DOWN'));
  });

  it('R-173: batches that wait for a retry do not hold fresh ones back', async () => {
    const env = testEnv();
    const sink = scriptedSink<string>();
    const layers = [retry<string, void>({ baseMs: 1000 }), limit<string, void>({ maxInFlight: 1 })];
    const dispatcher = stack(layers, sinkDispatcher(sink, env), env);
    void dispatcher.dispatch(batchOf('failing'), contextOf());
    sink.calls[0]!.fail(transient());
    await env.clock.settle();
    expect(dispatcher.ready('')).toBe(true);
    void dispatcher.dispatch(batchOf('fresh'), contextOf());
    expect(sink.calls[1]!.items).toEqual(['fresh']);
  });

  it('what is given up keeps the class and the cause of its last failure', async () => {
    const { run } = failing({ maxWaiting: 0 });
    const [outcome] = await run();
    expect(outcome).toMatchObject({
      failure: { code: 'RETRY_OVERFLOW', class: 'transient', cause: { code: 'DOWN' } },
      tries: { attempts: 1 },
    });
  });

  it('a budget keeps retries to its share of first calls while the sink is down', async () => {
    const { env, sink, run } = failing({ maxAttempts: 5, budget: { ratio: 0.2, minPerSecond: 0, burst: 10 } });
    const codes: unknown[] = [];
    for (let i = 0; i < 1000; i++) {
      void run().then(([outcome]) => codes.push(outcome!.kind === 'failed' && outcome!.failure.code));
      await env.clock.advance(1);
    }
    await env.clock.advance(1e6);
    expect(codes).toHaveLength(1000);
    expect(sink.calls.length - 1000).toBeLessThanOrEqual(210);
    expect(sink.calls.length - 1000).toBeGreaterThanOrEqual(200);
    expect(codes.filter((code) => code === 'RETRY_BUDGET').length).toBeGreaterThan(700);
  });

  it('a budget allows some retries a second however few calls there are', async () => {
    const { env, sink, run } = failing({ maxAttempts: 2, baseMs: 1, budget: { ratio: 0, minPerSecond: 2, burst: 1 } });
    for (let i = 0; i < 10; i++) {
      void run();
      await env.clock.advance(1000);
    }
    expect(sink.calls).toHaveLength(20);
  });

  it('R-108: one a lane, a tenant that fails uses up its own room only', async () => {
    const { env, run } = failing({ maxWaiting: 1, perLane: true });
    void run('A');
    await env.clock.settle();
    expect(await run('A')).toMatchObject([{ failure: { code: 'RETRY_OVERFLOW' } }]);
    const other = run('B');
    await env.clock.settle();
    expect(env.eventsOf('retry').map((event) => event.lane)).toEqual(['A', 'B']);
    await env.clock.advance(1e6);
    expect(await other).toMatchObject([{ failure: { code: 'DOWN' } }]);
  });

  it('an item is not tried again past its own deadline; the others are', async () => {
    const { env, run } = beneath<string, void>(scriptedSink({ answer: (items) => items.map(transient) }), { baseMs: 100 });
    const batch = batchOf('short', 'long');
    Object.defineProperty(batch.items[0], 'deadlineAt', { value: 50 });
    const ended = run(batch);
    await env.clock.advance(1e6);
    expect(await ended).toMatchObject([
      { failure: { code: 'DOWN' }, tries: { attempts: 1 } },
      { failure: { code: 'DOWN' }, tries: { attempts: 4 } },
    ]);
    expect(env.eventsOf('retry').map((event) => event.items)).toEqual([1, 1, 1]);
  });

  it('says how often each item was tried, and when it first failed', async () => {
    const { env, run } = beneath<string, void>({ write: () => Promise.reject(transient()) }, { maxAttempts: 3 });
    await env.clock.advance(5);
    const ended = run(batchOf('a', 'b'));
    await env.clock.advance(1e6);
    const outcomes = await ended;
    const firstFailedAt = Date.UTC(2024, 0, 1) + 5;
    expect(outcomes).toMatchObject([{ tries: { attempts: 3, firstFailedAt } }, { tries: { attempts: 3, firstFailedAt } }]);
    // A batch that failed as a whole is still seen to have done so.
    expect(outcomes[0]).toBe(outcomes[1]);
  });

  it('R-82: of 1,000 clients that fail together, no 10 ms see more than 5 % of the first retries, at a base of 1 s', async () => {
    const buckets = new Map<number, number>();
    for (let seed = 1; seed <= 1000; seed++) {
      const [first] = await pauses({ maxAttempts: 2, baseMs: 1000 }, seed);
      const bucket = Math.floor(first! / 10);
      buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
    }
    expect(Math.max(...buckets.values())).toBeLessThanOrEqual(50);
  });

  it.each([
    { maxWaiting: -1 },
    { maxWaiting: 1.5 },
    { budget: { ratio: -1 } },
    { budget: { burst: 0 } },
    { budget: { rate: 1 } },
  ])('refuse %o', (options) => {
    expect(() => retry(options as RetryOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
