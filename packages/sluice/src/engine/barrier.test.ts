/** Tests of the barriers that flush and close wait behind. */

import { describe, expect, it } from 'vitest';
import { Barriers } from './barrier.js';

const none = { ok: 0, failed: 0, dead: 0, cancelled: 0, dropped: 0 };

describe('Barriers', () => {
  it('have nothing to wait for while everything is settled', () => {
    expect(new Barriers().raise(none)).toEqual({ index: 0, settled: undefined });
  });

  it('wait for what entered before, of all earlier stretches, and not for later ones', async () => {
    const barriers = new Barriers();
    const first = barriers.current;
    first.enter();
    const flushOne = barriers.raise(none);
    const second = barriers.current;
    second.enter();
    second.enter();
    const flushTwo = barriers.raise(none);
    const third = barriers.current;
    third.enter();
    expect([flushOne.index, flushTwo.index, third.index]).toEqual([0, 1, 2]);

    let twoDone = false;
    void flushTwo.settled?.then(() => {
      twoDone = true;
    });
    first.leave('ok');
    expect(await flushOne.settled).toMatchObject({ ok: 1 });
    second.leave('failed');
    second.leave();
    expect(await flushTwo.settled).toEqual({ ok: 1, failed: 1, dead: 0, cancelled: 0, dropped: 0 });
    expect(twoDone).toBe(true);
  });

  it('count only what ended after the flush was called', async () => {
    const barriers = new Barriers();
    const barrier = barriers.current;
    barrier.enter();
    barrier.enter();
    barrier.leave('ok');
    const { settled } = barriers.raise({ ...none, ok: 1 });
    barrier.leave('cancelled');
    expect(await settled).toEqual({ ok: 0, failed: 0, dead: 0, cancelled: 1, dropped: 0 });
  });

  it('do constant work for each flush, however many wait for a sink that hangs', async () => {
    const barriers = new Barriers();
    const flushes: Promise<unknown>[] = [];
    const entered = Array.from({ length: 20_000 }, () => {
      const barrier = barriers.current;
      barrier.enter();
      flushes.push(barriers.raise(none).settled!);
      return barrier;
    });
    for (const barrier of entered.reverse()) barrier.leave('ok');
    const counts = await Promise.all(flushes);
    // Each waited for all items up to its own.
    expect(counts[0]).toMatchObject({ ok: 1 });
    expect(counts.at(-1)).toMatchObject({ ok: 20_000 });
  });
});
