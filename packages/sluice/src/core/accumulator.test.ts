/** Tests of the accumulator: when it is due, what a cut takes, and why it stopped there. */

import { describe, expect, it } from 'vitest';
import { Accumulator, HeldItem } from './accumulator.js';
import { type Window, windowRule } from './window.js';

class Held extends HeldItem {
  readonly name: string;
  readonly acceptedAt: number;
  readonly barrier: { readonly index: number };

  constructor(name: string, acceptedAt: number, bytes: number, barrier: number) {
    super(bytes);
    this.name = name;
    this.acceptedAt = acceptedAt;
    this.barrier = barriers[barrier]!;
  }
}

const barriers = [{ index: 0 }, { index: 1 }];

const held = (name: string, acceptedAt = 0, bytes = 0, barrier = 0) => new Held(name, acceptedAt, bytes, barrier);

/** An accumulator that is told of an item all at once. */
class World extends Accumulator<Held> {
  put(item: Held): void {
    this.add(item, item.acceptedAt, item.barrier);
  }
}

const accumulator = (window: Window = { maxDelayMs: 100 }, maxItems = 10, maxBytes = 1000) =>
  new World(windowRule(window, 0), { maxItems, maxBytes });

const leave = (acc: World, item: Held) => {
  item.gone = true;
  acc.forget(item);
};

const names = (acc: World) => acc.cut(0)?.held.map((item) => item.name);

describe('the accumulator', () => {
  it('wants nothing while it is empty, and is never cut into an empty batch (R-62)', () => {
    const acc = accumulator();
    expect(acc.due()).toBe('never');
    expect(acc.cut(0)).toBeUndefined();
    expect(acc.overdue(1e9)).toBe(false);
  });

  it('is due maxDelayMs after the first item, whatever comes later', () => {
    const acc = accumulator();
    acc.put(held('a', 5));
    acc.put(held('b', 90));
    expect(acc.due()).toBe(105);
    expect(acc.overdue(104)).toBe(false);
    expect(acc.overdue(105)).toBe(true);
    expect(acc.cut(0)).toMatchObject({ reason: 'time', firstAt: 5, bytes: 0 });
  });

  it('is due at once when it holds a full batch, by items or by bytes (R-56)', () => {
    const byItems = accumulator(undefined, 2);
    byItems.put(held('a'));
    expect(byItems.due()).toBe(100);
    byItems.put(held('b'));
    expect(byItems.due()).toBe('now');
    expect(byItems.cut(0)).toMatchObject({ reason: 'size' });
    const byBytes = accumulator(undefined, 10, 100);
    byBytes.put(held('a', 0, 100));
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
      acc.put(held(name, 0, bytes));
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
    acc.put(held('a', 0));
    acc.put(held('b', 30));
    acc.put(held('c', 60));
    acc.cut(0);
    expect(acc.due()).toBe(160);
  });

  it('does not send who left, but keeps the deadline that the opener set', () => {
    const acc = accumulator();
    const opener = held('opener', 10);
    acc.put(opener);
    acc.put(held('b', 60));
    leave(acc, opener);
    expect(acc.live).toBe(1);
    expect(acc.due()).toBe(110);
    expect(names(acc)).toEqual(['b']);
    expect(acc.due()).toBe('never');
  });

  it('forgets everything when nobody is left, so that the next item opens a window of its own', () => {
    const acc = accumulator();
    const [a, b] = [held('a', 0), held('b', 1)];
    acc.put(a);
    acc.put(b);
    leave(acc, a);
    leave(acc, b);
    expect(acc.due()).toBe('never');
    acc.put(held('c', 500));
    expect(acc.due()).toBe(600);
  });

  it('does not count who left against the bounds', () => {
    const acc = accumulator(undefined, 2, 100);
    const a = held('a', 0, 60);
    acc.put(a);
    leave(acc, a);
    acc.put(held('b', 1, 60));
    expect(acc.due()).toBe(101);
  });

  it('does not grow with those who left', () => {
    const acc = accumulator({ maxDelayMs: 1e9 }, 1e6, 1e9);
    const opener = held('opener', 3);
    acc.put(opener);
    acc.put(held('stays', 4));
    leave(acc, opener);
    for (let i = 0; i < 10_000; i++) {
      const item = held(`x${i}`, 4, 1);
      acc.put(item);
      leave(acc, item);
    }
    acc.put(held('last', 5));
    expect(acc.due()).toBe(1e9 + 3);
    expect(names(acc)).toEqual(['stays', 'last']);
  });

  it('is due at once behind a raised barrier, and says who forced it', () => {
    const acc = accumulator();
    acc.put(held('a', 0, 0, 0));
    acc.put(held('b', 0, 0, 1));
    expect(acc.due()).toBe(100);
    acc.raise(0, 'manual');
    expect(acc.due()).toBe('now');
    expect(acc.cut(0)).toMatchObject({ reason: 'manual' });
    acc.put(held('c', 0, 0, 1));
    expect(acc.due()).toBe(100);
    acc.raise(1, 'shutdown');
    expect(acc.cut(0)).toMatchObject({ reason: 'shutdown' });
  });

  it('is due at the end of the turn under tick, and at once under whileBusy', () => {
    const tick = accumulator('tick');
    tick.put(held('a', 5));
    expect(tick.due()).toBe('turnEnd');
    expect(tick.overdue(1e9)).toBe(false);
    expect(tick.cut(0)).toMatchObject({ reason: 'tick' });
    const busy = accumulator('whileBusy');
    busy.put(held('a', 5));
    expect(busy.due()).toBe(5);
    expect(busy.cut(0)).toMatchObject({ reason: 'busy' });
  });

  it('takes bare values, which are told apart from items and count no bytes', () => {
    const acc = new Accumulator<unknown>(windowRule({ maxDelayMs: 100 }, 0), { maxItems: 3, maxBytes: 10 });
    const item = held('item', 0, 4);
    for (const value of [undefined, 1, item, null, { gone: true, bytes: 99 }]) acc.add(value, 0, barriers[0]!);
    expect(acc.cut(0)).toMatchObject({ held: [undefined, 1, item], bytes: 4, reason: 'size' });
    expect(acc.cut(0)).toMatchObject({ held: [null, { gone: true }], bytes: 0, reason: 'time' });
  });

  it('knows when each of its values came, and behind which barrier, also of those that remain after a cut', () => {
    const acc = new Accumulator<string>(windowRule({ maxDelayMs: 100 }, 0), { maxItems: 3, maxBytes: 10 });
    for (const [i, name] of [...'aabbcc'].entries()) acc.add(name, Math.floor(i / 2) * 10, barriers[i > 3 ? 1 : 0]!);
    const [b0, b1] = barriers;
    expect(acc.cut(30)!.runs).toEqual([
      { acceptedAt: 0, barrier: b0, length: 2 },
      { acceptedAt: 10, barrier: b0, length: 1 },
    ]);
    expect(acc.due()).toBe('now');
    expect(acc.cut(30)!.runs).toEqual([
      { acceptedAt: 10, barrier: b0, length: 1 },
      { acceptedAt: 20, barrier: b1, length: 2 },
    ]);
  });

  it("stops a batch before a second item of an order key; what has no key is in nobody's way", () => {
    const acc = new Accumulator<string>(windowRule({ maxDelayMs: 0 }, 0), { maxItems: 9, maxBytes: 9 }, (key) =>
      key === '-' ? undefined : key,
    );
    for (const key of 'a-b-ac') acc.add(key, 0, barriers[0]!);
    expect([acc.cut(0)?.held.join(''), acc.cut(0)?.held.join(''), acc.cut(0)]).toEqual(['a-b-', 'ac', undefined]);
  });

  it('gives the oldest out, and measures the window of the next from its own arrival', () => {
    const acc = accumulator();
    const [gone, a] = [held('gone', 0, 3), held('a', 10, 5)];
    for (const item of [gone, a, held('b', 30, 7)]) acc.put(item);
    leave(acc, gone);
    expect(acc.takeOldest()).toMatchObject({ held: a, run: { acceptedAt: 10 } });
    expect([acc.due(), acc.live]).toEqual([130, 1]);
    expect(acc.cut(0)).toMatchObject({ bytes: 7 });
    expect(acc.takeOldest()).toBeUndefined();
  });

  it('under { throttleMs: 0 } lets one leave at a time', () => {
    const acc = accumulator({ throttleMs: 0 }, 10);
    for (const name of 'ab') acc.put(held(name));
    expect([acc.cut(0)?.reason, acc.cut(0)?.reason, acc.cut(0)]).toEqual(['throttle', 'throttle', undefined]);
  });
});
