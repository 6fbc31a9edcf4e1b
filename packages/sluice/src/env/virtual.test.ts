import { describe, expect, it } from 'vitest';
import { VirtualClock } from './virtual.js';

/** What the promise jobs of a long chain do, one after the other. */
async function chain(length: number, then: () => void): Promise<void> {
  for (let i = 0; i < length; i++) await undefined;
  then();
}

describe('a virtual clock', () => {
  it('fires timers in the order of their times, then of their making', async () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    for (const [name, ms] of [
      ['c', 20],
      ['a', 10],
      ['d', 20],
      ['b', 10],
    ] as const)
      clock.after(ms, () => fired.push(`${name}@${clock.now()}`));
    await clock.run(Number.POSITIVE_INFINITY);
    expect(fired).toEqual(['a@10', 'b@10', 'c@20', 'd@20']);
    expect(clock.timers).toBe(0);
  });

  it('keeps the order of ten thousand timers, most of them cancelled', async () => {
    const clock = new VirtualClock();
    const fired: number[] = [];
    const wanted: number[] = [];
    for (let i = 0; i < 10_000; i++) {
      const ms = (i * 7919) % 1000;
      const cancel = clock.after(ms, () => fired.push(clock.now()));
      if (i % 5 !== 0) cancel();
      else wanted.push(ms);
    }
    expect(clock.timers).toBe(2000);
    await clock.run(Number.POSITIVE_INFINITY);
    expect(fired).toEqual(wanted.sort((a, b) => a - b));
  });

  it('lets every promise job run between two timers, however long their chain is', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.after(1, () => void chain(5000, () => seen.push(`jobs done at ${clock.now()}`)));
    clock.after(2, () => seen.push('next timer'));
    await clock.run(Number.POSITIVE_INFINITY);
    expect(seen).toEqual(['jobs done at 1', 'next timer']);
  });

  it('runs the end of the turn once the promise jobs are done, and their own jobs before the next timer', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.after(1, () => {
      clock.afterTurn(() => {
        seen.push('end of turn');
        void chain(50, () => clock.afterTurn(() => seen.push('end of the turn after it')));
      });
      clock.afterTurn(() => seen.push('cancelled'))();
      void chain(50, () => seen.push('jobs'));
    });
    clock.after(1, () => seen.push('next timer'));
    await clock.run(Number.POSITIVE_INFINITY);
    expect(seen).toEqual(['jobs', 'end of turn', 'end of the turn after it', 'next timer']);
  });

  it('runs two simulations at once, each as if it were alone', async () => {
    const alone = async () => {
      const clock = new VirtualClock();
      const seen: string[] = [];
      for (let i = 0; i < 300; i++) clock.after(i % 7, () => void chain(i % 23, () => seen.push(`${i}@${clock.now()}`)));
      await clock.run(Number.POSITIVE_INFINITY);
      return seen;
    };
    const expected = await alone();
    expect(await Promise.all([alone(), alone(), alone()])).toEqual([expected, expected, expected]);
  });

  it('stops at the time it was given, and goes on from there', async () => {
    const clock = new VirtualClock({ wallStartMs: 1000 });
    let fired = 0;
    clock.after(50, () => fired++);
    clock.after(51, () => fired++);
    await clock.run(50);
    expect([fired, clock.now(), clock.wall()]).toEqual([1, 50, 1050]);
    await clock.run(60);
    expect([fired, clock.now()]).toEqual([2, 60]);
  });

  it('lets timers go before what comes from outside at the same time, and asks after every step whether it is over', async () => {
    const steps: number[] = [];
    const clock: VirtualClock = new VirtualClock({ afterStep: () => steps.push(clock.now()) });
    const seen: string[] = [];
    let next = 10;
    clock.after(10, () => seen.push('timer'));
    clock.after(99, () => seen.push('late timer'));
    const happenings = {
      nextAt: () => next,
      happen() {
        seen.push(`arrival@${next}`);
        next += 5;
        return next === 20 ? ('quiet' as const) : ('stir' as const);
      },
    };
    await clock.run(Number.POSITIVE_INFINITY, happenings, () => seen.length === 4);
    expect(seen).toEqual(['timer', 'arrival@10', 'arrival@15', 'arrival@20']);
    expect(steps).toEqual([0, 10, 10, 20]);
  });

  it('refuses to run twice at once, and passes on what an event throws', async () => {
    const clock = new VirtualClock();
    clock.after(1, () => {
      throw new RangeError('thrown by a timer');
    });
    const running = clock.run(10);
    await expect(clock.run(10)).rejects.toThrow('runs already');
    await expect(running).rejects.toThrow('thrown by a timer');
    await clock.run(10);
    expect(clock.now()).toBe(10);
  });
});
