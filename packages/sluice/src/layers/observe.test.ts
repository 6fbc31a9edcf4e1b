/** Tests of observe: what it reports, where the waits show, and that it changes nothing. */

import { describe, expect, it } from 'vitest';
import { createBatcher } from '../batcher/batcher.js';
import { failure } from '../core/errors.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { batchOf, contextOf, laneBatchOf } from '../testing/made-batch.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { limit } from './limit.js';
import { type ObserveOptions, observe } from './observe.js';
import { retry } from './retry.js';

describe('observe', () => {
  it('R-111: outside and inside of retry, tells the whole from its attempts, and the back-off between them', async () => {
    const env = testEnv();
    const sink = scriptedSink<string>();
    const layers = [observe<string, void>(), retry<string, void>({ baseMs: 100 }), observe<string, void>({ label: 'attempt' })];
    const dispatcher = stack(layers, sinkDispatcher(sink, env), env);
    const ended = dispatcher.dispatch(batchOf('a', 'b'), contextOf());
    await env.clock.advance(10);
    sink.calls[0]!.fail(failure('down', { class: 'transient', code: 'DOWN' }));
    await env.clock.advance(1000);
    sink.calls[1]!.reply();
    await ended;
    const [attempt1, attempt2, all] = env.eventsOf('ended');
    expect(env.eventsOf('begun').map((event) => [event.label, event.attempt])).toEqual([
      ['all', 1],
      ['attempt', 1],
      ['attempt', 2],
    ]);
    expect(attempt1).toMatchObject({
      label: 'attempt',
      durationMs: 10,
      code: 'DOWN',
      failureClass: 'transient',
      outcomes: { failed: 2 },
    });
    expect(attempt2).toMatchObject({ label: 'attempt', outcomes: { ok: 2, failed: 0, dead: 0, cancelled: 0 } });
    expect(all!.code).toBeUndefined();
    const { delayMs } = env.eventsOf('retry')[0]!;
    expect(all!.durationMs).toBe(1010);
    expect(delayMs).toBeGreaterThanOrEqual(100);
    expect(env.eventsOf('called').map((event) => event.attempt)).toEqual([1, 2]);
  });

  it('R-111: says how long a lane had waited for a slot, apart from the wait in the window', async () => {
    const env = testEnv();
    const sink = scriptedSink<string>();
    const batcher = createBatcher<string>({ env, sink, window: { maxDelayMs: 100 }, maxInFlight: 1, layers: [observe()] });
    batcher.offer('a');
    await env.clock.advance(100);
    batcher.offer('b');
    await env.clock.advance(350);
    sink.calls[0]!.reply();
    await env.clock.settle();
    expect(env.eventsOf('begun').map((event) => event.slotWaitMs)).toEqual([0, 250]);
    expect(env.eventsOf('cut').map((event) => event.waitMs)).toEqual([100, 350]);
  });

  it('keeps the slot waits of lanes apart', async () => {
    const env = testEnv();
    const sink = scriptedSink<string>();
    const dispatcher = stack([observe<string, void>(), limit<string, void>({ maxInFlight: 1 })], sinkDispatcher(sink, env), env);
    void dispatcher.dispatch(laneBatchOf('x', 'a'), contextOf());
    void dispatcher.ready('slow');
    await env.clock.advance(50);
    void dispatcher.ready('slow');
    sink.calls[0]!.reply();
    await env.clock.settle();
    void dispatcher.dispatch(laneBatchOf('quick', 'b'), contextOf());
    void dispatcher.dispatch(laneBatchOf('slow', 'c'), contextOf());
    expect(env.eventsOf('begun').map((event) => [event.lane, event.slotWaitMs])).toEqual([
      ['x', 0],
      ['quick', 0],
      ['slow', 50],
    ]);
  });

  it('counts items that nobody waits for any more as cancelled', async () => {
    const env = testEnv();
    const sink = scriptedSink<string>();
    const dispatcher = stack([observe<string, void>()], sinkDispatcher(sink, env), env);
    const batch = batchOf('a', 'b');
    const ended = dispatcher.dispatch(batch, contextOf());
    (batch.items[1] as { gone: boolean }).gone = true;
    sink.calls[0]!.fail(failure('x'));
    await ended;
    expect(env.eventsOf('ended')[0]!.outcomes).toEqual({ ok: 0, failed: 1, dead: 0, cancelled: 1 });
  });

  it('survives an observer that throws', async () => {
    const env = testEnv({
      observe: () => {
        throw failure('no');
      },
    });
    const sink = scriptedSink<string>({ answer: () => {} });
    const dispatcher = observe<string, void>()(
      { ready: () => true, dispatch: async (batch) => batch.items.map(() => ({ kind: 'ok', value: undefined })) },
      env,
    );
    expect(await dispatcher.dispatch(batchOf('a'), contextOf())).toHaveLength(1);
    expect(sink.calls).toHaveLength(0);
  });

  it.each([{ label: 5 }, { name: 'x' }])('refuses %o', (options) => {
    expect(() => observe(options as ObserveOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
