/** Tests of the system's env: the end of a turn, long timers, the fake timers of test frameworks. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createBatcher } from '../batcher/batcher.js';
import { scriptedSink } from '../testing/scripted-sink.js';
import { capturedContext, systemEnv } from './system.js';

afterEach(() => {
  vi.useRealTimers();
});

const { clock } = systemEnv();

describe('afterTurn', () => {
  it('runs when the promise jobs of this turn are done, also those that they queue', async () => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      clock.afterTurn(() => {
        order.push('after the turn');
        resolve();
      });
      void (async () => {
        for (let i = 0; i < 50; i++) {
          await undefined;
          order.push(`job ${i}`);
        }
      })();
    });
    expect(order).toHaveLength(51);
    expect(order.at(-1)).toBe('after the turn');
  });

  it('lets promise jobs go first even where nextTick would not: in a callback of the event loop', async () => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      setImmediate(() => {
        clock.afterTurn(() => {
          order.push('after the turn');
          resolve();
        });
        void Promise.resolve()
          .then(() => order.push('job'))
          .then(() => order.push('its job'));
      });
    });
    expect(order).toEqual(['job', 'its job', 'after the turn']);
  });

  it('runs before any timer', async () => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      clock.after(0, () => {
        order.push('timer');
        resolve();
      });
      clock.afterTurn(() => order.push('after the turn'));
    });
    expect(order).toEqual(['after the turn', 'timer']);
  });

  it('can be cancelled', async () => {
    let ran = false;
    clock.afterTurn(() => {
      ran = true;
    })();
    await new Promise((resolve) => setImmediate(resolve));
    expect(ran).toBe(false);
  });
});

describe('after', () => {
  it('R-243: chains waits that are longer than a timer of the platform takes (D-6)', () => {
    vi.useFakeTimers();
    const longMs = 2 ** 31 * 2.5;
    let ran = 0;
    clock.after(longMs, () => ran++);
    vi.advanceTimersByTime(longMs - 1);
    expect(ran).toBe(0);
    vi.advanceTimersByTime(1);
    expect(ran).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('cancels a chained wait in any of its links', () => {
    vi.useFakeTimers();
    let ran = 0;
    const cancel = clock.after(2 ** 33, () => ran++);
    vi.advanceTimersByTime(2 ** 32);
    cancel();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(2 ** 33);
    expect(ran).toBe(0);
  });
});

describe('the system env under fake timers, without injection (R-245)', () => {
  it.each([
    ['all of them', undefined],
    ['without performance.now', ['setTimeout', 'clearTimeout', 'Date'] as const],
  ])('works: %s', async (_, toFake) => {
    vi.useFakeTimers(toFake === undefined ? undefined : { toFake: [...toFake] });
    const sink = scriptedSink<string>({ answer: () => undefined });
    const batcher = createBatcher<string>({ sink, window: { maxDelayMs: 100 }, timeoutMs: Number.POSITIVE_INFINITY });
    const pushed = [batcher.push('a'), batcher.push('b')];
    await vi.advanceTimersByTimeAsync(99);
    expect(sink.calls).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    await Promise.all(pushed);
    expect(sink.calls.map((call) => call.items)).toEqual([['a', 'b']]);
    await batcher.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('measures no interval on the wall clock (R-244, D-32)', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
    const sink = scriptedSink<string>({ answer: () => undefined });
    const batcher = createBatcher<string>({ sink, window: { maxDelayMs: 100 } });
    batcher.offer('a');
    await vi.advanceTimersByTimeAsync(50);
    vi.setSystemTime(Date.now() + 3_600_000);
    batcher.offer('b');
    expect(sink.calls).toHaveLength(0);
    vi.setSystemTime(Date.now() - 7_200_000);
    await vi.advanceTimersByTimeAsync(50);
    expect(sink.calls.map((call) => call.items)).toEqual([['a', 'b']]);
    await batcher.close();
  });
});

describe('capturedContext', () => {
  it('runs functions in the context in which it was made', () => {
    const storage = new AsyncLocalStorage<string>();
    const neutral = storage.run('maker', () => capturedContext());
    expect(storage.run('caller', () => neutral(() => storage.getStore()))).toBe('maker');
  });

  it('just runs them where the platform has no such thing', () => {
    vi.stubGlobal('process', undefined);
    try {
      expect(capturedContext()(() => 7)).toBe(7);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

it('an override replaces a member and keeps the others', () => {
  const random = { next: () => 0.5 };
  const env = systemEnv({ random });
  expect(env.random).toBe(random);
  expect(env.clock).toBe(clock);
});
