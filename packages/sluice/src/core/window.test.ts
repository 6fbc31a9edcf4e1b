/** Tests of the windows: half-open delays, the ticker of R-76, validation. */

import { describe, expect, it } from 'vitest';
import { type Window, windowRule } from './window.js';

describe('windows', () => {
  it('{ maxDelayMs } is due that long after the first item', () => {
    expect(windowRule({ maxDelayMs: 50 }, 0).dueAt(49)).toBe(99);
    expect(windowRule({ maxDelayMs: 0 }, 0).dueAt(49)).toBe(49);
  });

  it('{ everyMs } is due at the next tick: an item at 49 leaves at 50, where { maxDelayMs } waits until 99 (R-76)', () => {
    expect(windowRule({ everyMs: 50 }, 0).dueAt(49)).toBe(50);
    expect(windowRule({ maxDelayMs: 50 }, 0).dueAt(49)).toBe(99);
  });

  it('{ everyMs } counts its ticks from the start, and what comes exactly on a tick waits for the next', () => {
    const rule = windowRule({ everyMs: 50 }, 7);
    expect(rule.dueAt(7)).toBe(57);
    expect(rule.dueAt(56.9)).toBe(57);
    expect(rule.dueAt(57)).toBe(107);
    expect(rule.dueAt(1000)).toBe(1007);
  });

  it('name their cut reason', () => {
    const reasons = ([{ maxDelayMs: 1 }, { everyMs: 1 }, 'tick', 'whileBusy'] as const).map((w) => windowRule(w, 0).reason);
    expect(reasons).toEqual(['time', 'time', 'tick', 'busy']);
  });

  it.each([
    [{ maxDelayMs: -1 }, /maxDelayMs must be a number of milliseconds, 0 or more; got -1/],
    [{ maxDelayMs: Number.NaN }, /got NaN/],
    [{ maxDelayMs: Number.POSITIVE_INFINITY }, /got Infinity/],
    [{ maxDelayMs: '5' }, /got "5"/],
    [{ everyMs: 0 }, /everyMs must be a number of milliseconds, 1 or more/],
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
    expect(windowRule({ maxDelayMs: 2 ** 40 }, 0).dueAt(0)).toBe(2 ** 40);
  });
});
