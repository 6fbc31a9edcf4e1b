/** Tests of timeout: cut off, abandoned, late, and never more abandoned calls than allowed. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DispatchContext } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { limit } from './limit.js';
import { retry } from './retry.js';
import { type TimeoutOptions, timeout } from './timeout.js';

function timed(options: TimeoutOptions) {
  const env = testEnv();
  const sink = scriptedSink<string>();
  const dispatcher = stack([timeout<string, void>(options)], sinkDispatcher(sink, env), env);
  const run = (name = 'a', context: Partial<DispatchContext> = {}) => dispatcher.dispatch(batchOf(name), contextOf(context));
  const abandoned = () => env.eventsOf('abandoned').length - env.eventsOf('late').length;
  return { env, sink, dispatcher, run, abandoned };
}

describe('timeout', () => {
  it('hands on what comes in time, and leaves no timer', async () => {
    const { env, sink, run } = timed({ timeoutMs: 100 });
    const ended = run();
    await env.clock.advance(99);
    sink.calls[0]!.reply();
    expect(await ended).toMatchObject([{ kind: 'ok' }]);
    expect(env.clock.timers).toBe(0);
  });

  it('R-68, R-72: ends a hung attempt as unknown, aborts its signal, and counts the call as abandoned until it ends (D-17)', async () => {
    const { env, sink, run } = timed({ timeoutMs: 100 });
    const ended = run();
    await env.clock.advance(100);
    expect(await ended).toMatchObject([{ failure: { code: 'TIMEOUT', class: 'unknown' } }]);
    expect(sink.calls[0]!.context.signal.aborted).toBe(true);
    expect(env.eventsOf('abandoned')).toEqual([{ type: 'abandoned', batchId: 'b', items: 1, bytes: 1 }]);
    expect(env.eventsOf('late')).toEqual([]);
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(env.eventsOf('late')).toEqual([{ type: 'late', batchId: 'b', items: 1, bytes: 1 }]);
  });

  it('is shortened by the total deadline, and begins nothing after it', async () => {
    const { env, sink, run } = timed({ timeoutMs: 100 });
    const ended = run('a', { deadlineAt: 30 });
    await env.clock.advance(30);
    expect(await ended).toMatchObject([{ failure: { code: 'TIMEOUT', class: 'unknown' } }]);
    expect(await run('b', { deadlineAt: 30 })).toMatchObject([{ failure: { code: 'TIMEOUT', class: 'rejected' } }]);
    expect(sink.calls).toHaveLength(1);
  });

  it('runs no timer when neither time-out nor deadline is finite', () => {
    const { env, run } = timed({ timeoutMs: Number.POSITIVE_INFINITY });
    void run();
    expect(env.clock.timersStarted).toBe(0);
  });

  it("ends a running call with the code of the signal's reason, as unknown", async () => {
    const { sink, run } = timed({ timeoutMs: 100 });
    const controller = new AbortController();
    const ended = run('a', { signal: controller.signal });
    controller.abort(failure('shutting down', { code: 'SHUTDOWN_TIMEOUT' }));
    expect(await ended).toMatchObject([{ failure: { code: 'SHUTDOWN_TIMEOUT', class: 'unknown' } }]);
    expect(sink.calls[0]!.context.signal.aborted).toBe(true);
    expect(await run('b', { signal: controller.signal })).toMatchObject([{ failure: { class: 'rejected' } }]);
    expect(sink.calls).toHaveLength(1);
  });

  it('is not ready, and begins nothing more, while maxAbandoned calls are', async () => {
    const { env, sink, dispatcher, run } = timed({ timeoutMs: 100, maxAbandoned: 2 });
    void run('a');
    void run('b');
    await env.clock.advance(100);
    const asked = dispatcher.ready('') as Promise<void>;
    expect(asked).toBeInstanceOf(Promise);
    const waiting = run('c');
    expect(sink.calls).toHaveLength(2);
    sink.calls[1]!.reply();
    await env.clock.settle();
    expect(sink.calls.map((call) => call.items[0])).toEqual(['a', 'b', 'c']);
    // `c` may come to be abandoned as well: with `a` that makes two.
    expect(dispatcher.ready('')).not.toBe(true);
    sink.calls[2]!.reply();
    expect(await waiting).toMatchObject([{ kind: 'ok' }]);
    await asked;
    expect(dispatcher.ready('')).toBe(true);
  });

  it('does not let a fresh batch overtake those in line', async () => {
    const { env, sink, dispatcher, run } = timed({ timeoutMs: 100, maxAbandoned: 1 });
    void run('hung');
    await env.clock.advance(100);
    void run('first in line');
    void run('second in line');
    sink.calls[0]!.reply();
    await env.clock.settle();
    void run('fresh');
    expect(sink.calls.map((call) => call.items[0])).toEqual(['hung', 'first in line', 'second in line', 'fresh']);
    expect(dispatcher.ready('')).toBe(true);
  });

  it.each([
    ['an abort', 0],
    ['its deadline', 150],
  ])('lets a batch that waits in line leave at %s, as rejected: it was not begun', async (_, deadline) => {
    const { env, sink, run } = timed({ timeoutMs: 100, maxAbandoned: 1 });
    void run('hung');
    await env.clock.advance(100);
    const controller = new AbortController();
    const ended = run('b', { signal: controller.signal, ...(deadline === 0 ? {} : { deadlineAt: deadline }) });
    if (deadline === 0) controller.abort();
    else await env.clock.advance(50);
    expect(await ended).toMatchObject([{ failure: { code: deadline === 0 ? 'CANCELLED' : 'TIMEOUT', class: 'rejected' } }]);
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(sink.calls).toHaveLength(1);
    expect(env.clock.timers).toBe(0);
  });

  it('never has more than maxAbandoned abandoned calls, though retry sends again to a sink that hangs', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('dispatch' as const), n: fc.nat(3) }),
      fc.record({ kind: fc.constant('advance' as const), n: fc.integer({ min: 1, max: 300 }) }),
      fc.record({ kind: fc.constant('reply' as const), n: fc.nat(20) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), async (max, steps) => {
        let abandoned = 0;
        let most = 0;
        const env = testEnv({
          observe(event) {
            if (event.type === 'abandoned') most = Math.max(most, ++abandoned);
            if (event.type === 'late') abandoned--;
          },
        });
        const sink = scriptedSink<number>({ idempotent: true });
        const layers = [
          retry<number, void>({ maxAttempts: Number.POSITIVE_INFINITY, baseMs: 10, maxDelayMs: 50 }),
          limit<number, void>({ maxInFlight: max }),
          timeout<number, void>({ timeoutMs: 100, maxAbandoned: max }),
        ];
        const dispatcher = stack(layers, sinkDispatcher(sink, env), env);
        const answered = new Set<number>();
        for (const { kind, n } of steps) {
          if (kind === 'dispatch') void dispatcher.dispatch(batchOf(n), contextOf({ idempotent: true }));
          else if (kind === 'advance') await env.clock.advance(n);
          else if (n < sink.calls.length && !answered.has(n)) {
            answered.add(n);
            sink.calls[n]!.reply();
            await env.clock.settle();
          }
          expect(sink.open).toBeLessThanOrEqual(max);
        }
        expect(most).toBeLessThanOrEqual(max);
        // Once the sink answers again, everything comes to its end.
        for (let i = 0; i < 500; i++) {
          for (let call = 0; call < sink.calls.length; call++) {
            if (answered.has(call)) continue;
            answered.add(call);
            sink.calls[call]!.reply();
          }
          await env.clock.advance(20);
          if (env.clock.timers === 0 && sink.open === 0) break;
        }
        expect([env.clock.timers, sink.open, abandoned]).toEqual([0, 0, 0]);
        expect(dispatcher.ready('')).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it.each([{}, { timeoutMs: 0 }, { timeoutMs: Number.NaN }, { timeoutMs: 1, maxAbandoned: 0 }])('refuses %o', (options) => {
    expect(() => timeout(options as TimeoutOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
