/** Tests of the end: no layer leaves a timer, and none a listener, when its batcher or loader is closed. */

import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { createBatcher } from '../batcher/batcher.js';
import type { Layer } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { breaker } from '../layers/breaker.js';
import { rate } from '../layers/rate.js';
import { retry } from '../layers/retry.js';
import { createLoader } from '../loader/loader.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { testEnv } from '../testing/test-env.js';
import { endingClock } from './ending-clock.js';

describe('after a close', () => {
  /** Each holds what comes second back for an hour. */
  const holding: readonly [string, <T>() => Layer<T, void>][] = [
    ['rate', () => rate({ perSecond: 1 / 3600 })],
    ['breaker', () => breaker({ maxFailures: 1, cooldownMs: 3_600_000 })],
    ['retry', () => retry({ baseMs: 3_600_000, maxDelayMs: 3_600_000 })],
  ];

  it.each(holding)('no timer of %s runs on, though somebody had asked it when to come and then left', async (_, layer) => {
    const env = testEnv();
    const sink = scriptedSink<number>({
      answer: () => {
        throw failure('down', { class: 'transient' });
      },
    });
    const batcher = createBatcher<number>({ sink, env, layers: [layer()], maxItems: 1, maxInFlight: 1 });
    const { signal, abort } = abortable();
    batcher.offer(1);
    await env.clock.settle();
    const left = batcher.push(2, { signal }).catch((error: { code: string }) => error.code);
    await env.clock.settle();
    expect(env.clock.timers).toBeGreaterThan(0);
    abort();
    expect(await left).toBe('CANCELLED');
    const closed = batcher.close({ deadlineMs: 10 });
    await env.clock.advance(10);
    await closed;
    expect([env.clock.timers, getEventListeners(signal, 'abort').length]).toEqual([0, 0]);
  });

  it('nor one of a loader', async () => {
    const env = testEnv();
    const loader = createLoader(async (keys: readonly number[]) => keys, { env, layers: [rate({ perSecond: 1 / 3600 })] });
    await loader.load(1);
    const { signal, abort } = abortable();
    const left = loader.load(2, { signal }).catch((error: { code: string }) => error.code);
    await env.clock.settle();
    expect(env.clock.timers).toBe(1);
    abort();
    expect(await left).toBe('CANCELLED');
    await loader.close();
    expect([env.clock.timers, getEventListeners(signal, 'abort').length]).toEqual([0, 0]);
  });
});

describe('a clock that ends', () => {
  it('runs what is due, cancels what is cancelled, and after its end starts nothing', async () => {
    const env = testEnv();
    const { clock, end } = endingClock(env.clock);
    const ran: string[] = [];
    clock.after(1, () => ran.push('a timer'));
    clock.after(1, () => ran.push('cancelled'))();
    clock.afterTurn(() => ran.push('a turn'));
    await env.clock.advance(1);
    expect(ran).toEqual(['a turn', 'a timer']);
    expect([clock.now(), clock.wall()]).toEqual([env.clock.now(), env.clock.wall()]);
    clock.after(1, () => ran.push('after the end'));
    end();
    expect(env.clock.timers).toBe(0);
    const cancel = clock.after(1, () => ran.push('after the end'));
    cancel();
    await env.clock.advance(10);
    expect(ran).toHaveLength(2);
  });
});

function abortable(): { readonly signal: AbortSignal; abort(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}
