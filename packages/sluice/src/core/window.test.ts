/** Tests of the windows: half-open delays, the ticker of R-76, validation. */

import { describe, expect, it } from 'vitest';
import { type Window, windowRule } from './window.js';

/** When a batch is due whose only item was accepted at `firstAt`. */
const due = (window: Window, firstAt: number, startedAt = 0) =>
  windowRule(window, startedAt).dueAt({ firstAt, lastAt: firstAt, dispatchedAt: Number.NEGATIVE_INFINITY });

describe('windows', () => {
  it('{ maxDelayMs } is due that long after the first item', () => {
    expect(due({ maxDelayMs: 50 }, 49)).toBe(99);
    expect(due({ maxDelayMs: 0 }, 49)).toBe(49);
  });

  it('{ everyMs } is due at the next tick: an item at 49 leaves at 50, where { maxDelayMs } waits until 99 (R-76)', () => {
    expect(due({ everyMs: 50 }, 49)).toBe(50);
    expect(due({ maxDelayMs: 50 }, 49)).toBe(99);
  });

  it('{ everyMs } counts its ticks from the start, and what comes exactly on a tick waits for the next', () => {
    expect([7, 56.9, 57, 1000].map((firstAt) => due({ everyMs: 50 }, firstAt, 7))).toEqual([57, 57, 107, 1007]);
  });

  it('name their cut reason', () => {
    const times = { firstAt: 0, lastAt: 0, dispatchedAt: 0 };
    const all = [
      { maxDelayMs: 1 },
      { everyMs: 1 },
      { throttleMs: 1 },
      { quietMs: 1, maxDelayMs: 2 },
      'tick',
      'whileBusy',
    ] as const;
    const reasons = all.map((window) => windowRule(window, 0).reason(times));
    expect(reasons).toEqual(['time', 'time', 'throttle', 'quiet', 'tick', 'busy']);
  });

  it('{ throttleMs } is due that long after the last dispatch, and at once before the first', () => {
    const rule = windowRule({ throttleMs: 100 }, 0);
    expect(rule.dueAt({ firstAt: 7, lastAt: 7, dispatchedAt: Number.NEGATIVE_INFINITY })).toBe(Number.NEGATIVE_INFINITY);
    expect(rule.dueAt({ firstAt: 90, lastAt: 95, dispatchedAt: 10 })).toBe(110);
  });

  it('{ quietMs, maxDelayMs } is due after a quiet gap, and no later than its cap, which then is the reason', () => {
    const rule = windowRule({ quietMs: 20, maxDelayMs: 50 }, 0);
    const gap = { firstAt: 0, lastAt: 12, dispatchedAt: 0 };
    const busy = { firstAt: 0, lastAt: 48, dispatchedAt: 0 };
    expect([rule.dueAt(gap), rule.reason(gap)]).toEqual([32, 'quiet']);
    expect([rule.dueAt(busy), rule.reason(busy)]).toEqual([50, 'time']);
  });

  it.each([
    [{ maxDelayMs: -1 }, /maxDelayMs must be a number of milliseconds, 0 or more; got -1/],
    [{ maxDelayMs: Number.NaN }, /got NaN/],
    [{ maxDelayMs: Number.POSITIVE_INFINITY }, /got Infinity/],
    [{ maxDelayMs: '5' }, /got "5"/],
    [{ everyMs: 0 }, /everyMs must be a number of milliseconds, 1 or more/],
    [{ throttleMs: -1 }, /throttleMs must be a number of milliseconds, 0 or more; got -1/],
    [{ quietMs: 5 }, /window must be/],
    [{ quietMs: 5, maxDelayMs: 4 }, /quietMs must not exceed window.maxDelayMs \(4\)/],
    [{ maxDelayMs: 1, everyMs: 1 }, /window must be .*got { "maxDelayMs, everyMs" }/],
    [{}, /window must be/],
    [null, /got null/],
    [10n, /got 10/],
    ['ticks', /got "ticks"/],
  ])('refuse %o', (window, message) => {
    expect(() => windowRule(window as unknown as Window, 0)).toThrow(message);
    expect(() => windowRule(window as unknown as Window, 0)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('take delays of any length (R-243)', () => {
    expect(due({ maxDelayMs: 2 ** 40 }, 0)).toBe(2 ** 40);
  });
});
