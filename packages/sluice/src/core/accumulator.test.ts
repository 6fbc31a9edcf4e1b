/** Tests of the accumulator: when it is due, what a cut takes, and why it stopped there. */

import { describe, expect, it } from 'vitest';
import { Accumulator } from './accumulator.js';
import { type Window, windowRule } from './window.js';

interface Held {
  readonly name: string;
  readonly bytes: number;
  readonly acceptedAt: number;
  gone: boolean;
  readonly barrier: { readonly index: number };
}

const held = (name: string, acceptedAt = 0, bytes = 0, barrier = 0): Held => ({
  name,
  bytes,
  acceptedAt,
  gone: false,
  barrier: { index: barrier },
});

const accumulator = (window: Window = { maxDelayMs: 100 }, maxItems = 10, maxBytes = 1000) =>
  new Accumulator<Held>(windowRule(window, 0), { maxItems, maxBytes });

const leave = (acc: Accumulator<Held>, item: Held) => {
  item.gone = true;
  acc.forget(item);
};

const names = (acc: Accumulator<Held>) => acc.cut(0)?.items.map((item) => item.name);

describe('the accumulator', () => {
  it('wants nothing while it is empty, and is never cut into an empty batch (R-62)', () => {
    const acc = accumulator();
    expect(acc.due()).toBe('never');
    expect(acc.cut(0)).toBeUndefined();
    expect(acc.overdue(1e9)).toBe(false);
  });

  it('is due maxDelayMs after the first item, whatever comes later', () => {
    const acc = accumulator();
    acc.add(held('a', 5));
    acc.add(held('b', 90));
    expect(acc.due()).toBe(105);
    expect(acc.overdue(104)).toBe(false);
    expect(acc.overdue(105)).toBe(true);
    expect(acc.cut(0)).toMatchObject({ reason: 'time', firstAt: 5, bytes: 0 });
  });

  it('is due at once when it holds a full batch, by items or by bytes (R-56)', () => {
    const byItems = accumulator(undefined, 2);
    byItems.add(held('a'));
    expect(byItems.due()).toBe(100);
    byItems.add(held('b'));
    expect(byItems.due()).toBe('now');
    expect(byItems.cut(0)).toMatchObject({ reason: 'size' });
    const byBytes = accumulator(undefined, 10, 100);
    byBytes.add(held('a', 0, 100));
    expect(byBytes.due()).toBe('now');
    expect(byBytes.cut(0)).toMatchObject({ reason: 'bytes', bytes: 100 });
  });

  it('cuts no batch beyond its bounds, and lets an item that is larger alone leave alone', () => {
    const acc = accumulator(undefined, 3, 100);
    for (const [name, bytes] of [
      ['a', 40],
      ['b', 40],
      ['huge', 500],
      ['c', 1],
      ['d', 1],
      ['e', 1],
      ['f', 1],
    ] as const)
      acc.add(held(name, 0, bytes));
    expect([names(acc), names(acc), names(acc), names(acc), names(acc)]).toEqual([
      ['a', 'b'],
      ['huge'],
      ['c', 'd', 'e'],
      ['f'],
      undefined,
    ]);
  });

  it('measures the window of what remains after a full batch from its own first item (R-77)', () => {
    const acc = accumulator(undefined, 2);
    acc.add(held('a', 0));
    acc.add(held('b', 30));
    acc.add(held('c', 60));
    acc.cut(0);
    expect(acc.due()).toBe(160);
  });

  it('does not send who left, but keeps the deadline that the opener set', () => {
    const acc = accumulator();
    const opener = held('opener', 10);
    acc.add(opener);
    acc.add(held('b', 60));
    leave(acc, opener);
    expect(acc.live).toBe(1);
    expect(acc.due()).toBe(110);
    expect(names(acc)).toEqual(['b']);
    expect(acc.due()).toBe('never');
  });

  it('forgets everything when nobody is left, so that the next item opens a window of its own', () => {
    const acc = accumulator();
    const [a, b] = [held('a', 0), held('b', 1)];
    acc.add(a);
    acc.add(b);
    leave(acc, a);
    leave(acc, b);
    expect(acc.due()).toBe('never');
    acc.add(held('c', 500));
    expect(acc.due()).toBe(600);
  });

  it('does not count who left against the bounds', () => {
    const acc = accumulator(undefined, 2, 100);
    const a = held('a', 0, 60);
    acc.add(a);
    leave(acc, a);
    acc.add(held('b', 1, 60));
    expect(acc.due()).toBe(101);
  });

  it('does not grow with those who left', () => {
    const acc = accumulator({ maxDelayMs: 1e9 }, 1e6, 1e9);
    const opener = held('opener', 3);
    acc.add(opener);
    acc.add(held('stays', 4));
    leave(acc, opener);
    for (let i = 0; i < 10_000; i++) {
      const item = held(`x${i}`, 4, 1);
      acc.add(item);
      leave(acc, item);
    }
    acc.add(held('last', 5));
    expect(acc.due()).toBe(1e9 + 3);
    expect(names(acc)).toEqual(['stays', 'last']);
  });

  it('is due at once behind a raised barrier, and says who forced it', () => {
    const acc = accumulator();
    acc.add(held('a', 0, 0, 0));
    acc.add(held('b', 0, 0, 1));
    expect(acc.due()).toBe(100);
    acc.raise(0, 'manual');
    expect(acc.due()).toBe('now');
    expect(acc.cut(0)).toMatchObject({ reason: 'manual' });
    acc.add(held('c', 0, 0, 1));
    expect(acc.due()).toBe(100);
    acc.raise(1, 'shutdown');
    expect(acc.cut(0)).toMatchObject({ reason: 'shutdown' });
  });

  it('is due at the end of the turn under tick, and at once under whileBusy', () => {
    const tick = accumulator('tick');
    tick.add(held('a', 5));
    expect(tick.due()).toBe('turnEnd');
    expect(tick.overdue(1e9)).toBe(false);
    expect(tick.cut(0)).toMatchObject({ reason: 'tick' });
    const busy = accumulator('whileBusy');
    busy.add(held('a', 5));
    expect(busy.due()).toBe(5);
    expect(busy.cut(0)).toMatchObject({ reason: 'busy' });
  });
});
