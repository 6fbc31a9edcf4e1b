/** Tests of breaker: what opens it, what it does while it is open, and how it closes again. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Batch } from '../core/batch.js';
import type { DispatchContext } from '../core/dispatcher.js';
import { type FailureClass, failure } from '../core/errors.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf, laneBatchOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { bisect } from './bisect.js';
import { type BreakerOptions, breaker, breakerOfOwned } from './breaker.js';
import { retry } from './retry.js';

function broken(options: BreakerOptions = {}) {
  const env = testEnv();
  const sink = scriptedSink<string>();
  const dispatcher = stack([breaker<string, void>(options)], sinkDispatcher(sink, env), env);
  const run = (batch: Batch<string> = batchOf('a'), context: Partial<DispatchContext> = {}) =>
    dispatcher.dispatch(batch, contextOf(context));
  const states = () => env.eventsOf('breaker').map((event) => event.state);
  /** One call that ends like this. */
  const call = async (cls?: FailureClass, lane = '') => {
    const ended = run(laneBatchOf(lane, 'a'));
    const begun = sink.calls.at(-1)!;
    if (cls === undefined) begun.reply();
    else begun.fail(failure('x', { class: cls, code: 'X' }));
    await ended;
  };
  const fail = async (times: number, cls: FailureClass = 'transient') => {
    for (let i = 0; i < times; i++) await call(cls);
  };
  return { env, sink, dispatcher, run, states, call, fail };
}

describe('breaker', () => {
  it('R-70: opens after 5 failed calls in a row, calls nothing during the cooldown, then sends one probe (S4)', async () => {
    const { env, sink, run, states, fail } = broken({ cooldownMs: 1000 });
    await fail(4);
    expect(states()).toEqual([]);
    await fail(1);
    expect(states()).toEqual(['open']);
    const waiting = [run(), run(), run()];
    await env.clock.advance(999);
    expect(sink.calls).toHaveLength(5);
    await env.clock.advance(1);
    expect(sink.calls).toHaveLength(6);
    expect(states()).toEqual(['open', 'halfOpen']);
    await env.clock.advance(10_000);
    expect(sink.calls).toHaveLength(6);
    sink.calls[5]!.reply();
    await env.clock.settle();
    expect(states()).toEqual(['open', 'halfOpen', 'closed']);
    expect(sink.calls).toHaveLength(8);
    for (const late of sink.calls.slice(6)) late.reply();
    expect((await Promise.all(waiting)).flat().map((outcome) => outcome.kind)).toEqual(['ok', 'ok', 'ok']);
    expect(env.clock.timers).toBe(0);
  });

  it('opens again when the probe fails, for another cooldown', async () => {
    const { env, sink, run, states, fail } = broken({ maxFailures: 1, cooldownMs: 100 });
    await fail(1);
    void run();
    await env.clock.advance(100);
    sink.calls[1]!.fail(failure('x', { class: 'transient' }));
    await env.clock.settle();
    expect(states()).toEqual(['open', 'halfOpen', 'open']);
    void run();
    await env.clock.advance(99);
    expect(sink.calls).toHaveLength(2);
    await env.clock.advance(1);
    expect(sink.calls).toHaveLength(3);
  });

  it('E-35: is not ready while it is open, so that writes stay held, and wakes whoever asked after the cooldown', async () => {
    const { env, dispatcher, fail } = broken({ maxFailures: 1, cooldownMs: 100 });
    await fail(1);
    const asked = dispatcher.ready('');
    expect(asked).toBeInstanceOf(Promise);
    let woken = false;
    void (asked as Promise<void>).then(() => {
      woken = true;
    });
    await env.clock.advance(99);
    expect(woken).toBe(false);
    await env.clock.advance(1);
    expect(woken).toBe(true);
    expect(dispatcher.ready('')).toBe(true);
    expect(env.clock.timers).toBe(0);
  });

  it("E-35: with open: 'reject' fails reads at once, says when to come again, and probes with the first call after the cooldown", async () => {
    const { env, sink, dispatcher, run, fail } = broken({ maxFailures: 1, cooldownMs: 100, open: 'reject' });
    await fail(1);
    await env.clock.advance(40);
    expect(dispatcher.ready('')).toBe(true);
    const [outcome] = await run();
    expect(outcome).toMatchObject({
      failure: { code: 'BREAKER_OPEN', class: 'rejected', retryAfterMs: 60, cause: { code: 'X' } },
    });
    expect(env.eventsOf('refused')).toMatchObject([{ layer: 'breaker', items: 1, code: 'BREAKER_OPEN' }]);
    await env.clock.advance(60);
    const probe = run();
    expect(await run()).toMatchObject([{ failure: { code: 'BREAKER_OPEN', retryAfterMs: 0 } }]);
    sink.calls[1]!.reply();
    expect(await probe).toMatchObject([{ kind: 'ok' }]);
    expect(env.clock.timersStarted).toBe(0);
  });

  it.each(['permanent', 'rejected'] as const)('does not open however many calls fail as %s', async (cls) => {
    const { states, fail } = broken({ maxFailures: 2 });
    await fail(20, cls);
    expect(states()).toEqual([]);
  });

  it.each(['transient', 'unknown'] as const)('counts %s failures', async (cls) => {
    const { states, fail } = broken({ maxFailures: 2 });
    await fail(2, cls);
    expect(states()).toEqual(['open']);
  });

  it('W-11: is opened at once by a blocked call', async () => {
    const { env, call } = broken();
    await call('blocked');
    expect(env.eventsOf('breaker')).toEqual([{ type: 'breaker', lane: '', state: 'open', code: 'X' }]);
  });

  it('takes a call with one item done, or one refused for good and none failed, as an answer', async () => {
    const { sink, run, states } = broken({ maxFailures: 1 });
    const mixed = run(batchOf('a', 'b'));
    sink.calls[0]!.reply([undefined, failure('x', { class: 'transient' })]);
    await mixed;
    const poison = run(batchOf('a', 'b'));
    sink.calls[1]!.reply([failure('bad'), failure('not tried', { class: 'rejected' })]);
    await poison;
    expect(states()).toEqual([]);
    const down = run(batchOf('a', 'b'));
    sink.calls[2]!.reply([failure('bad'), failure('x', { class: 'transient' })]);
    await down;
    expect(states()).toEqual(['open']);
  });

  it('a poison batch that is bisected does not open it', async () => {
    const env = testEnv();
    const sink = scriptedSink<number>({
      answer: (items) => {
        if (items.includes(7)) throw failure('bad row');
      },
    });
    const layers = [bisect<number, void>(), breaker<number, void>({ maxFailures: 2 })];
    const dispatcher = stack(layers, sinkDispatcher(sink, env), env);
    const outcomes = await dispatcher.dispatch(batchOf(...Array.from({ length: 64 }, (_, i) => i)), contextOf());
    expect(outcomes.filter((outcome) => outcome.kind === 'failed')).toHaveLength(1);
    expect(env.eventsOf('breaker')).toEqual([]);
  });

  it('starts counting anew after a success', async () => {
    const { states, call, fail } = broken({ maxFailures: 3 });
    await fail(2);
    await call();
    await fail(2);
    expect(states()).toEqual([]);
  });

  it('learns nothing from calls that were aborted', async () => {
    const { sink, run, states } = broken({ maxFailures: 1 });
    const controller = new AbortController();
    const ended = run(batchOf('a'), { signal: controller.signal });
    controller.abort();
    sink.calls[0]!.fail(failure('cut off', { class: 'unknown' }));
    await ended;
    expect(states()).toEqual([]);
  });

  it('learns nothing from calls that began before it opened: they neither close it nor open it anew', async () => {
    const { env, sink, run, states, fail } = broken({ maxFailures: 1, cooldownMs: 100 });
    const [old, older] = [run(), run()];
    await fail(1);
    sink.calls[0]!.reply();
    await old;
    expect(states()).toEqual(['open']);
    await env.clock.advance(100);
    const probe = run();
    sink.calls[1]!.fail(failure('x', { class: 'transient' }));
    await older;
    expect(states()).toEqual(['open', 'halfOpen']);
    sink.calls[3]!.reply();
    await probe;
    expect(states()).toEqual(['open', 'halfOpen', 'closed']);
  });

  it('sends another probe when the first said nothing (it was aborted)', async () => {
    const { env, sink, run, states, fail } = broken({ maxFailures: 1, cooldownMs: 100 });
    await fail(1);
    const controller = new AbortController();
    const first = run(batchOf('first'), { signal: controller.signal });
    void run(batchOf('second'));
    await env.clock.advance(100);
    controller.abort();
    sink.calls[1]!.fail(failure('cut off', { class: 'unknown' }));
    await first;
    await env.clock.settle();
    expect(sink.calls[2]!.items).toEqual(['second']);
    expect(states()).toEqual(['open', 'halfOpen']);
  });

  it('keeps a Retry-After that is longer than the cooldown', async () => {
    const { env, sink, run, dispatcher } = broken({ maxFailures: 1, cooldownMs: 100 });
    const ended = run();
    sink.calls[0]!.fail(failure('later', { class: 'transient', retryAfterMs: 500 }));
    await ended;
    await env.clock.advance(499);
    expect(dispatcher.ready('')).not.toBe(true);
    await env.clock.advance(1);
    expect(dispatcher.ready('')).toBe(true);
  });

  it('opens at the failure rate, once the window holds enough calls, and forgets what is older', async () => {
    const options = { maxFailures: Number.POSITIVE_INFINITY, failureRate: { ratio: 0.5, minCalls: 10, windowMs: 1000 } };
    const { env, states, call } = broken(options);
    for (let i = 0; i < 9; i++) await call('transient');
    expect(states()).toEqual([]);
    await env.clock.advance(1100);
    for (let i = 0; i < 9; i++) await call(i % 2 === 0 ? 'transient' : undefined);
    expect(states()).toEqual([]);
    await call('transient');
    expect(states()).toEqual(['open']);
  });

  it('lets a batch in line leave at its deadline or abort, as rejected, and then leaves no timer', async () => {
    const { env, sink, run, fail } = broken({ maxFailures: 1, cooldownMs: 1000 });
    await fail(1);
    const controller = new AbortController();
    const [timed, aborted] = [run(batchOf('b'), { deadlineAt: 50 }), run(batchOf('c'), { signal: controller.signal })];
    await env.clock.advance(50);
    controller.abort();
    expect(await timed).toMatchObject([{ failure: { code: 'TIMEOUT', class: 'rejected' } }]);
    expect(await aborted).toMatchObject([{ failure: { code: 'CANCELLED', class: 'rejected' } }]);
    expect(env.clock.timers).toBe(0);
    expect(sink.calls).toHaveLength(1);
  });

  it('beneath retry holds the retry back until the probe, and leaves its failure as it was', async () => {
    const env = testEnv();
    const sink = scriptedSink<string>();
    const layers = [retry<string, void>({ baseMs: 10 }), breaker<string, void>({ maxFailures: 1, cooldownMs: 500 })];
    const dispatcher = stack(layers, sinkDispatcher(sink, env), env);
    const ended = dispatcher.dispatch(batchOf('a'), contextOf({ deadlineAt: 300 }));
    sink.calls[0]!.fail(failure('down', { class: 'transient', code: 'DOWN' }));
    await env.clock.advance(300);
    expect(await ended).toMatchObject([{ failure: { code: 'DOWN' } }]);
    expect([sink.calls.length, env.clock.timers]).toEqual([1, 0]);
  });

  it('R-108: one a lane keeps the failures of one tenant from the others', async () => {
    const { dispatcher, call } = broken({ maxFailures: 2, perLane: true });
    await call('transient', 'A');
    await call('transient', 'A');
    expect(dispatcher.ready('A')).not.toBe(true);
    for (const lane of ['B', 'C', '']) expect(dispatcher.ready(lane)).toBe(true);
  });

  it('never has two calls running between opening and closing, whatever happens', async () => {
    const step = fc.record({ kind: fc.constantFrom('run', 'ok', 'fail', 'wait'), n: fc.nat(50) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const { env, sink, run, states } = broken({ maxFailures: 2, cooldownMs: 30 });
        const begunHalfOpen: number[] = [];
        const open = new Set<number>();
        for (const { kind, n } of steps) {
          const before = sink.calls.length;
          const wasClosed = (states().at(-1) ?? 'closed') === 'closed';
          if (kind === 'run') void run();
          else if (kind === 'wait') await env.clock.advance(n);
          else if (open.size > 0) {
            const chosen = [...open][n % open.size]!;
            open.delete(chosen);
            if (kind === 'ok') sink.calls[chosen]!.reply();
            else sink.calls[chosen]!.fail(failure('x', { class: 'transient' }));
            await env.clock.settle();
          }
          for (let i = before; i < sink.calls.length; i++) open.add(i);
          if (!wasClosed && states().at(-1) !== 'closed') begunHalfOpen.push(sink.calls.length - before);
        }
        expect(begunHalfOpen.every((count) => count <= 1)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    { maxFailures: 0 },
    { cooldownMs: 0 },
    { open: 'maybe' },
    { failureRate: { ratio: 0 } },
    { failureRate: { ratio: 2 } },
    { failureRate: { ratio: 0.5, minCall: 3 } },
    { cooldown: 5 },
  ])('refuses %o', (options) => {
    expect(() => breaker(options as BreakerOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

it('tells who waits when the cooldown is over, though somebody else has asked just before and begun nothing', async () => {
  const { env, dispatcher, fail } = broken({ maxFailures: 1, cooldownMs: 30 });
  await fail(1);
  const waits = dispatcher.ready('') as Promise<void>;
  let told = false;
  void waits.then(() => {
    told = true;
  });
  env.clock.block(30);
  expect(dispatcher.ready('')).toBe(true);
  await env.clock.advance(0);
  expect(told).toBe(true);
  expect(env.clock.timers).toBe(0);
});

describe('breakerOfOwned', () => {
  function owned(options: BreakerOptions) {
    const env = testEnv();
    const sink = scriptedSink<string>();
    let probe = () => {};
    const layer = breakerOfOwned<string, void>(options, (its) => {
      probe = its;
    });
    const dispatcher = stack([layer], sinkDispatcher(sink, env), env);
    const run = () => dispatcher.dispatch(batchOf('a'), contextOf({}));
    const states = () => env.eventsOf('breaker').map((event) => event.state);
    const down = failure('x', { class: 'transient', retryAfterMs: 60_000 });
    return { env, sink, dispatcher, run, states, down, probe: () => probe() };
  }

  it('sends one batch, of those in line, when its owner says that the sink is back, and the others once that is answered', async () => {
    const { env, sink, run, states, down, probe } = owned({ maxFailures: 1, cooldownMs: 10_000 });
    const failed = run();
    sink.calls[0]!.fail(down);
    await failed;
    const waiting = [run(), run()];
    await env.clock.advance(100);
    expect(sink.calls).toHaveLength(1);
    probe();
    expect([sink.calls.length, states(), env.clock.timers]).toEqual([2, ['open', 'halfOpen'], 0]);
    sink.calls[1]!.reply();
    await env.clock.settle();
    sink.calls[2]!.reply();
    await Promise.all(waiting);
    expect(states()).toEqual(['open', 'halfOpen', 'closed']);
  });

  it('wakes who asked whether it is ready', async () => {
    const { sink, dispatcher, run, down, probe } = owned({ maxFailures: 1, cooldownMs: 10_000 });
    const failed = run();
    sink.calls[0]!.fail(down);
    await failed;
    const ready = dispatcher.ready('');
    expect(ready).not.toBe(true);
    probe();
    await ready;
    expect(dispatcher.ready('')).toBe(true);
  });

  it('learns nothing of a probe or a call that began before: the sink has come back since', async () => {
    const { env, sink, run, states, down, probe } = owned({ maxFailures: 1, cooldownMs: 1_000 });
    const early = run();
    probe();
    sink.calls[0]!.fail(down);
    await early;
    expect(states()).toEqual([]);
    const failed = run();
    sink.calls[1]!.fail(down);
    await failed;
    const old = run();
    await env.clock.advance(60_000);
    expect(sink.calls).toHaveLength(3);
    const fresh = run();
    probe();
    expect(sink.calls).toHaveLength(4);
    sink.calls[2]!.fail(down);
    await old;
    expect(states()).toEqual(['open', 'halfOpen', 'halfOpen']);
    sink.calls[3]!.reply();
    await fresh;
    expect(states().at(-1)).toBe('closed');
  });

  it('opens again when the probe that its owner asked for fails', async () => {
    const { env, sink, run, states, probe } = owned({ maxFailures: 1, cooldownMs: 1_000 });
    const down = failure('x', { class: 'transient' });
    const failed = run();
    sink.calls[0]!.fail(down);
    await failed;
    const second = run();
    probe();
    sink.calls[1]!.fail(down);
    await second;
    expect(states()).toEqual(['open', 'halfOpen', 'open']);
    void run();
    await env.clock.advance(999);
    expect(sink.calls).toHaveLength(2);
    await env.clock.advance(1);
    expect(sink.calls).toHaveLength(3);
  });
});
