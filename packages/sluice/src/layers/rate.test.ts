/** Tests of rate: the bound in every window of time, and that no timer refills it. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf, laneBatchOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { type RateOptions, rate } from './rate.js';

function rated(options: RateOptions) {
  const env = testEnv();
  const begunAt: { at: number; items: number }[] = [];
  const sink = scriptedSink<number>({
    answer: (items) => {
      begunAt.push({ at: env.clock.now(), items: items.length });
    },
  });
  const dispatcher = stack([rate<number, void>(options)], sinkDispatcher(sink, env), env);
  return { env, sink, dispatcher, begunAt };
}

/** The most that began in any window of `windowMs`, half-open, that begins with a call. */
function mostIn(windowMs: number, begun: readonly { at: number; items: number }[], count: (call: { items: number }) => number) {
  return Math.max(
    0,
    ...begun.map(({ at }) =>
      begun.filter((call) => call.at >= at && call.at < at + windowMs).reduce((sum, call) => sum + count(call), 0),
    ),
  );
}

describe('rate', () => {
  it('R-103: 300 calls a second offered for 10 s to a limit of 100 are at most 1,000 and the burst (S4)', async () => {
    const { env, dispatcher, begunAt } = rated({ perSecond: 100, burst: 20 });
    for (let ms = 0; ms < 10_000; ms += 10) {
      for (let i = 0; i < 3; i++) void dispatcher.dispatch(batchOf(i), contextOf({ deadlineAt: 10_000 }));
      await env.clock.advance(10);
    }
    expect(begunAt.length).toBeLessThanOrEqual(1020);
    expect(begunAt.length).toBeGreaterThanOrEqual(1018);
    expect(mostIn(1000, begunAt, () => 1)).toBeLessThanOrEqual(120);
    expect(env.clock.timers).toBe(0);
  });

  it('R-103: keeps its bound in every window of time, for any arrivals', async () => {
    const arrivals = fc.array(fc.record({ afterMs: fc.nat(400), count: fc.integer({ min: 1, max: 12 }) }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 10 }),
        fc.constantFrom('calls' as const, 'items' as const),
        arrivals,
        async (perSecond, burst, by, steps) => {
          const { env, dispatcher, begunAt } = rated({ perSecond, burst, by });
          for (const { afterMs, count } of steps) {
            await env.clock.advance(afterMs);
            void dispatcher.dispatch(batchOf(...Array.from({ length: count }, (_, i) => i)), contextOf());
            void dispatcher.dispatch(batchOf(1), contextOf());
          }
          await env.clock.advance(1e6);
          const largest = by === 'calls' ? 1 : 12;
          for (const windowMs of [50, 1000, 3000]) {
            const most = mostIn(windowMs, begunAt, ({ items }) => (by === 'calls' ? 1 : items));
            expect(most).toBeLessThanOrEqual((perSecond * windowMs) / 1000 + burst + largest - 1 + 1e-6);
          }
          expect(begunAt).toHaveLength(steps.length * 2);
          expect(env.clock.timers).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('D-47: needs no timer while nobody waits, and saves up no more than its burst', async () => {
    const { env, dispatcher, begunAt } = rated({ perSecond: 10, burst: 3 });
    await env.clock.advance(1e9);
    expect(env.clock.timersStarted).toBe(0);
    for (let i = 0; i < 5; i++) void dispatcher.dispatch(batchOf(i), contextOf());
    expect(begunAt).toHaveLength(3);
  });

  it('spaces calls evenly by default', async () => {
    const { env, dispatcher, begunAt } = rated({ perSecond: 4 });
    for (let i = 0; i < 4; i++) void dispatcher.dispatch(batchOf(i), contextOf());
    await env.clock.advance(1000);
    expect(begunAt.map(({ at }) => at)).toEqual([0, 250, 500, 750]);
  });

  it('lets a batch that is larger than the burst go on credit, and pays it back', async () => {
    const { env, dispatcher, begunAt } = rated({ perSecond: 10, burst: 5, by: 'items' });
    void dispatcher.dispatch(batchOf(...Array.from({ length: 25 }, (_, i) => i)), contextOf());
    expect(dispatcher.ready('')).toBeInstanceOf(Promise);
    void dispatcher.dispatch(batchOf(1), contextOf());
    await env.clock.advance(2099);
    expect(begunAt).toHaveLength(1);
    await env.clock.advance(1);
    expect(begunAt).toHaveLength(2);
  });

  it('goes on under fake timers that do not move the monotonic clock', async () => {
    const env = testEnv();
    const { clock } = env;
    const after = (ms: number, fn: () => void) => clock.after(ms, fn);
    const stopped = { ...env, clock: { now: () => 0, wall: () => 0, after, afterTurn: after.bind(undefined, 0) } };
    const sink = scriptedSink<number>({ answer: () => {} });
    const dispatcher = stack([rate<number, void>({ perSecond: 10 })], sinkDispatcher(sink, env), stopped);
    for (let i = 0; i < 3; i++) void dispatcher.dispatch(batchOf(i), contextOf());
    await env.clock.advance(200);
    expect(sink.calls).toHaveLength(3);
  });

  it('keeps lanes apart on request', async () => {
    const { dispatcher, begunAt } = rated({ perSecond: 1, perLane: true });
    for (const lane of ['a', 'a', 'b', 'b']) void dispatcher.dispatch(laneBatchOf(lane, 1), contextOf());
    expect(begunAt).toHaveLength(2);
  });

  it.each([
    {},
    { perSecond: 0 },
    { perSecond: Number.POSITIVE_INFINITY },
    { perSecond: 1, burst: 0.5 },
    { perSecond: 1, by: 'bytes' },
  ])('refuses %o', (options) => {
    expect(() => rate(options as RateOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
