/** Tests of the test clock and the scripted sink: a liar here would make every other test worthless. */

import { describe, expect, it, vi } from 'vitest';
import type { SinkContext } from '../core/dispatcher.js';
import { contextOf } from './made-batch.js';
import { scriptedSink } from './scripted-sink.js';
import { seededRandom } from './seeded-random.js';
import { TestClock } from './test-clock.js';

describe('TestClock', () => {
  it('fires timers in the order of their times, then of their making, at their own time', async () => {
    const clock = new TestClock();
    const fired: string[] = [];
    const start = (name: string, ms: number) => clock.after(ms, () => fired.push(`${name}@${clock.now()}`));
    start('late', 20);
    start('first', 10);
    start('second', 10);
    start('never', 31);
    await clock.advance(30);
    expect(fired).toEqual(['first@10', 'second@10', 'late@20']);
    expect([clock.now(), clock.timers, clock.timersStarted]).toEqual([30, 1, 4]);
  });

  it('drains promise jobs before, between and after timers, so that what they start is in time', async () => {
    const clock = new TestClock();
    const fired: number[] = [];
    void Promise.resolve().then(() =>
      clock.after(10, async () => {
        for (let i = 0; i < 20; i++) await undefined;
        clock.after(5, () => fired.push(clock.now()));
      }),
    );
    clock.after(20, () => fired.push(clock.now()));
    await clock.advance(20);
    expect(fired).toEqual([15, 20]);
  });

  it('fires what has been cancelled by an earlier timer no more', async () => {
    const clock = new TestClock();
    let ran = false;
    const cancel = clock.after(10, () => {
      ran = true;
    });
    clock.after(5, cancel);
    await clock.advance(20);
    expect(ran).toBe(false);
  });

  it('runs afterTurn unaided', async () => {
    const clock = new TestClock();
    await new Promise<void>((resolve) => clock.afterTurn(resolve));
    expect(clock.now()).toBe(0);
  });

  it('moves time without firing when it is blocked', async () => {
    const clock = new TestClock(1000);
    let firedAt = -1;
    clock.after(10, () => {
      firedAt = clock.now();
    });
    clock.block(50);
    expect([clock.now(), clock.wall(), firedAt]).toEqual([50, 1050, -1]);
    await clock.settle();
    expect(firedAt).toBe(50);
  });

  it('never runs backwards, though two advances overlap', async () => {
    const clock = new TestClock();
    await Promise.all([clock.advance(100), clock.advance(50)]);
    expect(clock.now()).toBe(100);
    await expect(clock.advance(-1)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('works while the timers of the platform are faked', async () => {
    vi.useFakeTimers();
    try {
      const clock = new TestClock();
      await clock.advance(10);
      expect(clock.now()).toBe(10);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('scriptedSink', () => {
  it('takes one answer a call', async () => {
    const sink = scriptedSink<string>();
    const context: SinkContext = { ...contextOf(), batchId: 'b', lane: '', entries: [] };
    const written = sink.write(['a'], context);
    expect(sink.open).toBe(1);
    sink.calls[0]!.reply();
    await written;
    expect(() => sink.calls[0]!.fail(new Error('again'))).toThrow(/answered already/);
    expect(sink.open).toBe(0);
  });
});

describe('seededRandom', () => {
  it('depends on the seed alone, and stays within [0, 1)', () => {
    const take = (seed: number) => {
      const random = seededRandom(seed);
      return Array.from({ length: 1000 }, () => random.next());
    };
    expect(take(7)).toEqual(take(7));
    expect(take(7)).not.toEqual(take(8));
    expect(take(7).every((n) => n >= 0 && n < 1)).toBe(true);
    expect(new Set(take(7)).size).toBe(1000);
  });
});
