/** Tests of the shared watch on abort signals. */

import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { onAbort } from './signals.js';

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

describe('onAbort', () => {
  it('puts one listener on a signal, however many wait, and none once they have left', () => {
    const { signal } = new AbortController();
    const cancels = Array.from({ length: 10_000 }, () => onAbort(signal, () => {}));
    expect(listeners(signal)).toBe(1);
    for (const cancel of cancels) cancel();
    expect(listeners(signal)).toBe(0);
  });

  it('calls each waiter once, in order of arrival, and leaves no listener', () => {
    const controller = new AbortController();
    const called: number[] = [];
    for (let i = 0; i < 5; i++) onAbort(controller.signal, () => called.push(i));
    controller.abort();
    controller.abort();
    expect(called).toEqual([0, 1, 2, 3, 4]);
    expect(listeners(controller.signal)).toBe(0);
  });

  it('does not call who was cancelled, not even by one that was called just before', () => {
    const controller = new AbortController();
    const called: string[] = [];
    const cancels: (() => void)[] = [];
    onAbort(controller.signal, () => {
      called.push('a');
      for (const cancel of cancels) cancel();
    });
    cancels.push(onAbort(controller.signal, () => called.push('b')));
    onAbort(controller.signal, () => called.push('c'));
    controller.abort();
    expect(called).toEqual(['a', 'c']);
  });

  it('takes the same function twice for two waiters, and a late cancel for harmless', () => {
    const controller = new AbortController();
    let calls = 0;
    const leave = () => calls++;
    const first = onAbort(controller.signal, leave);
    onAbort(controller.signal, leave);
    first();
    first();
    controller.abort();
    first();
    expect(calls).toBe(1);
  });

  it('watches a signal anew after everybody had left', () => {
    const controller = new AbortController();
    let called = 0;
    onAbort(controller.signal, () => {})();
    onAbort(controller.signal, () => called++);
    expect(listeners(controller.signal)).toBe(1);
    controller.abort();
    expect(called).toBe(1);
  });
});
