import fc from 'fast-check';
import { testEnv } from 'sluice/testing';
import { describe, expect, it } from 'vitest';
import { type AdmissionOptions, createAdmission, type Entry, type Refused } from './admission.js';
import { createHeldLimit } from './held-limit.js';

const bounds = { share: 1, maxRequests: 1_000, maxHeldItems: 100_000 };

function make(options: Partial<AdmissionOptions> = {}) {
  const env = testEnv({ seed: 1 });
  const admission = createAdmission({ tenants: {}, maxHeldItems: 1_000, clock: env.clock, ...options });
  const enter = (tenant: string, items = 1): Entry | Refused['reason'] => {
    const entry = admission.enter(tenant, items * 10);
    if ('reason' in entry) return entry.reason;
    const late = entry.take(items);
    if (late === undefined) return entry;
    entry.leave();
    return late.reason;
  };
  const isIn = (entered: Entry | Refused['reason']): entered is Entry => typeof entered === 'object';
  return { env, admission, enter, isIn };
}

describe('a tenant', () => {
  it('has a rate: in debt it waits for as long as the debt takes', async () => {
    const { env, admission, enter } = make({ tenants: { a: { ...bounds, itemsPerSecond: 100, burst: 50 } } });
    expect(enter('a', 150)).toBeTypeOf('object');
    expect(admission.enter('a')).toMatchObject({ reason: 'rate', retryAfterMs: 1_000 });
    await env.clock.advance(999);
    expect(enter('a')).toBe('rate');
    await env.clock.advance(2);
    expect(enter('a')).toBeTypeOf('object');
    expect(enter('b', 1)).toBeTypeOf('object');
  });

  it('has at most so many requests and items under way, and others are not touched by that', () => {
    const { enter, isIn } = make({ tenants: { '*': { ...bounds, maxRequests: 2 }, b: { ...bounds, maxHeldItems: 10 } } });
    const first = enter('a');
    expect([isIn(first), isIn(enter('a')), enter('a')]).toEqual([true, true, 'requests']);
    (first as Entry).leave();
    expect(isIn(enter('a'))).toBe(true);
    expect([isIn(enter('b', 10)), enter('b', 1)]).toEqual([true, 'items']);
  });

  it('one request of any size is let in when it has nothing under way', () => {
    const { enter } = make({ tenants: { a: { ...bounds, maxHeldItems: 10 } } });
    expect(enter('a', 5_000)).toBeTypeOf('object');
  });

  it('that is alone may hold everything, and one that comes then gets in at once', () => {
    const { admission, enter, isIn } = make();
    const under: Entry[] = [];
    let entered = enter('greedy', 10);
    for (; isIn(entered); entered = enter('greedy', 10)) under.push(entered);
    expect(entered).toBe('full');
    expect(admission.heldItems).toBeGreaterThanOrEqual(admission.limit);
    expect(admission.heldItems).toBeLessThan(admission.limit + 10);
    for (let i = 0; i < 5; i++) expect(isIn(enter('modest', 10))).toBe(true);
    expect(admission.heldItems).toBeLessThanOrEqual(1_000);
    // From now on it is one of two.
    for (let i = 0; i < 10; i++) under.pop()!.leave();
    expect(enter('greedy', 10)).toBe('share');
    expect(isIn(enter('modest', 10))).toBe(true);
  });

  it('that is one of two leaves half of the room, until it has been alone for a second', async () => {
    const { env, admission, enter, isIn } = make();
    enter('modest', 1);
    while (isIn(enter('greedy', 10)));
    expect(admission.heldItems).toBeGreaterThan(admission.limit / 2 - 10);
    expect(admission.heldItems).toBeLessThanOrEqual(admission.limit / 2 + 10);
    expect(enter('greedy', 10)).toBe('share');
    await env.clock.advance(1_000);
    expect(isIn(enter('greedy', 10))).toBe(true);
  });

  it('that was refused for the items of a request is refused before them when it sends as much again, until something was stored', () => {
    const { admission, enter, isIn } = make();
    enter('other', 210);
    const under: Entry[] = [];
    let entered = enter('a', 100);
    for (; isIn(entered); entered = enter('a', 100)) under.push(entered);
    expect(entered).toBe('share');
    const before = admission.enter('a', 1_000);
    expect(before).toMatchObject({ reason: 'share' });
    expect(admission.refused).toEqual(new Map([['share', 2]]));
    expect(isIn(enter('a', 1))).toBe(true);
    expect(isIn(enter('other', 1))).toBe(true);
    for (const entry of under.slice(1)) entry.stored();
    expect(isIn(enter('a', 1))).toBe(true);
  });

  it('without bounds of its own may have 20,000 requests under way', () => {
    const { enter, isIn } = make();
    for (let i = 0; i < 20_000; i++) {
      const entry = enter('_', 1);
      (entry as Entry).stored();
      if (!isIn(entry)) throw new Error(`refused at ${i}`);
    }
    expect(enter('_', 1)).toBe('requests');
  });

  it('with twice the share may have twice as much', () => {
    const { admission, enter, isIn } = make({ tenants: { large: { ...bounds, share: 2 }, small: bounds } });
    const under: Entry[] = [];
    // Both want more than there is; the log takes what came first.
    for (let i = 0; i < 5_000; i++) {
      for (const entered of [enter('large'), enter('small')]) if (isIn(entered)) under.push(entered);
      if (i % 2 === 0) under.shift()?.leave();
    }
    const [large, small] = admission.tenants().map(({ heldItems }) => heldItems) as [number, number];
    expect(large / small).toBeGreaterThan(1.7);
    expect(large / small).toBeLessThan(2.3);
    expect(large + small).toBeLessThanOrEqual(admission.limit);
  });

  it('gives back what it had, once, however it ends', () => {
    const { admission, enter } = make();
    const entry = enter('a', 10) as Entry;
    entry.stored();
    entry.stored();
    expect(admission.heldItems).toBe(0);
    expect(admission.tenants()).toMatchObject([{ tenant: 'a', requests: 1, heldItems: 0, takenItems: 10, refused: 0 }]);
    entry.leave();
    entry.leave();
    expect(admission.tenants()).toMatchObject([{ tenant: 'a', requests: 0, heldItems: 0, takenItems: 10, refused: 0 }]);
  });

  it('gets new bounds at once', () => {
    const { admission, enter } = make();
    enter('a', 10);
    admission.configure({ a: { ...bounds, maxRequests: 1 } });
    expect(enter('a')).toBe('requests');
    expect(admission.refused).toEqual(new Map([['requests', 1]]));
  });
});

describe('whatever tenants do', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('send' as const),
      tenant: fc.constantFrom('a', 'b', 'c'),
      items: fc.integer({ min: 1, max: 200 }),
    }),
    fc.record({ kind: fc.constantFrom('store' as const, 'leave' as const), at: fc.nat() }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 1_500 }) }),
  );

  it('nothing is held twice or for ever, no more than there may be and one request, and who holds nothing gets in while there is room', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 200 }), fc.constantFrom(0.1, 1, 10), async (steps, share) => {
        const { env, admission, enter, isIn } = make({ tenants: { a: { ...bounds, share } } });
        let under: Entry[] = [];
        for (const one of steps) {
          if (one.kind === 'wait') await env.clock.advance(one.ms);
          else if (one.kind === 'send') {
            const { heldItems: all, limit } = admission;
            const own = admission.tenants().find(({ tenant }) => tenant === one.tenant)?.heldItems ?? 0;
            const entered = enter(one.tenant, one.items);
            if (isIn(entered)) under.push(entered);
            else expect(own > 0 || all >= limit, `${one.tenant} was refused: ${entered}`).toBe(true);
          } else if (under.length > 0) {
            const entry = under[one.at % under.length]!;
            if (one.kind === 'store') entry.stored();
            else {
              entry.leave();
              under = under.filter((other) => other !== entry);
            }
          }
          const held = admission.tenants().map(({ heldItems }) => heldItems);
          expect(Math.min(0, ...held)).toBe(0);
          expect(held.reduce((sum, items) => sum + items, 0)).toBe(admission.heldItems);
          expect(admission.heldItems).toBeLessThan(1_000 + 200);
        }
        for (const entry of under) entry.leave();
        expect(admission.tenants().every(({ requests, heldItems }) => requests === 0 && heldItems === 0)).toBe(true);
      }),
    );
  });
});

describe('what all may have under way', () => {
  it('shrinks while the mean of an interval is late, and grows while it is used and in time', async () => {
    const { clock } = testEnv({ seed: 1 });
    const held = createHeldLimit({ maxHeldItems: 10_000, targetMs: 50, clock });
    const start = held.limit;
    const round = async (items: number, ms: number) => {
      const at = held.take(items);
      await clock.advance(ms);
      held.give(items, at);
    };
    await round(1, 20);
    for (let i = 0; i < 20; i++) await round(held.limit, 120);
    expect(held.limit).toBeLessThan(start);
    expect(held.limit).toBe(2_000);
    for (let i = 0; i < 400; i++) await round(held.limit, 20);
    expect(held.limit).toBe(10_000);
    // One late among many in time is a burst, no queue.
    const late = held.take(1);
    for (let i = 0; i < 5; i++) await round(1, 20);
    held.give(1, late);
    expect(held.limit).toBe(10_000);
  });

  it('does not shrink where the disk is slow by itself', async () => {
    const { clock } = testEnv({ seed: 1 });
    const held = createHeldLimit({ maxHeldItems: 10_000, targetMs: 50, clock });
    const start = held.limit;
    for (let i = 0; i < 50; i++) {
      const at = held.take(10);
      await clock.advance(180);
      held.give(10, at);
    }
    expect(held.limit).toBe(start);
  });

  it('does not take the queue of a start under full load for a slow disk, but learns of one at the least there can be', async () => {
    const { clock } = testEnv({ seed: 1 });
    const held = createHeldLimit({ maxHeldItems: 100_000, targetMs: 50, clock });
    const start = held.limit;
    const round = async (ms: number) => {
      const at = held.take(held.limit);
      await clock.advance(ms);
      held.give(held.limit, at);
    };
    for (let i = 0; i < 5; i++) await round(120);
    expect(held.limit).toBeLessThan(0.65 * start);
    for (let i = 0; i < 20; i++) await round(120);
    expect(held.limit).toBe(2_000);
    for (let i = 0; i < 60; i++) await round(120);
    expect(held.limit).toBeGreaterThan(2_000);
  });

  it('does not grow while it is not used', async () => {
    const { clock } = testEnv({ seed: 1 });
    const held = createHeldLimit({ maxHeldItems: 10_000, targetMs: 50, clock });
    const start = held.limit;
    for (let i = 0; i < 100; i++) {
      const at = held.take(1);
      await clock.advance(20);
      held.give(1, at);
    }
    expect(held.limit).toBe(start);
  });

  it('says how long something is likely to take by what went lately, from 100 ms to 30 s', async () => {
    const { clock } = testEnv({ seed: 1 });
    const held = createHeldLimit({ maxHeldItems: 1_000, targetMs: 50, clock });
    expect(held.drainMs(5)).toBe(1_000);
    for (let i = 0; i < 50; i++) {
      const at = held.take(600);
      await clock.advance(600);
      held.give(600, at);
    }
    expect(held.drainMs(2_000)).toBeGreaterThan(1_900);
    expect(held.drainMs(2_000)).toBeLessThan(2_100);
    expect(held.drainMs(1)).toBe(100);
    expect(held.drainMs(10 ** 9)).toBe(30_000);
  });

  it('takes neither quiet nor a trickle for a slow log: the first burst after an hour is told what the last one was', async () => {
    const { clock } = testEnv({ seed: 1 });
    const held = createHeldLimit({ maxHeldItems: 1_000, targetMs: 50, clock });
    const send = async (items: number, pauseMs: number) => {
      const at = held.take(items);
      await clock.advance(10);
      held.give(items, at);
      await clock.advance(pauseMs);
    };
    for (let i = 0; i < 100; i++) await send(1, 1_000);
    // Nobody knows what it takes: it has never had much to do.
    expect(held.drainMs(50_000)).toBe(1_000);
    for (let i = 0; i < 100; i++) await send(1_000, 0);
    const busy = held.drainMs(50_000);
    expect(busy).toBeGreaterThan(450);
    expect(busy).toBeLessThan(550);
    for (let i = 0; i < 3_600; i++) await send(1, 1_000);
    expect(held.drainMs(50_000)).toBeCloseTo(busy, -2);
    await clock.advance(3_600_000);
    await send(1_000, 100);
    expect(held.drainMs(50_000)).toBeCloseTo(busy, -2);
  });
});
