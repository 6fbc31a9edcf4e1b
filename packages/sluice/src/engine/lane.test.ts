/** Tests of a lane: one timer, armed while something is held; a cut only when due and ready. */

import { describe, expect, it } from 'vitest';
import { emptyTally } from '../core/tally.js';
import { type Window, windowRule } from '../core/window.js';
import type { Clock } from '../env/env.js';
import { TestClock } from '../testing/test-clock.js';
import { Barriers } from './barrier.js';
import { Capacity } from './capacity.js';
import { EngineItem } from './item.js';
import { Lane } from './lane.js';
import { Pump } from './pump.js';
import { readiness } from './readiness.js';

function laneAt(clock: Clock, window: Window, maxItems: number, pump: Pump<Lane<string>>): Lane<string> {
  const capacity = new Capacity({ maxHeldItems: 1e6, maxHeldBytes: 1e6 });
  const bounds = { maxItems, maxBytes: 1000 };
  const options = { clock, window: windowRule(window, 0), bounds, maxInFlight: Number.POSITIVE_INFINITY };
  return new Lane('', 1, capacity, options, (lane) => pump.look(lane));
}

/** A lane whose dispatcher the test makes busy. */
function laneOf(window: Window, maxItems = 3) {
  const clock = new TestClock();
  const barriers = new Barriers();
  const sent: string[] = [];
  let busy = false;
  const wake: (() => void)[] = [];
  const pump: Pump<Lane<string>> = new Pump({
    ready: readiness(() => (busy ? new Promise<void>((resolve) => wake.push(resolve)) : true)),
    send() {
      const cut = lane.cut();
      sent.push(`${clock.now()} ${cut.reason} ${cut.held.map((item) => (item as EngineItem<string>).value).join('')}`);
      onSend?.();
      return 1;
    },
  });
  const lane = laneAt(clock, window, maxItems, pump);
  let onSend: (() => void) | undefined;
  return {
    clock,
    lane,
    look: () => pump.look(lane),
    sent,
    barriers,
    get asked() {
      return wake.length;
    },
    add(name: string) {
      const item = new EngineItem(name, 0);
      lane.add(item, clock.now(), barriers.current);
      lane.added();
      return item;
    },
    busy(value: boolean) {
      busy = value;
      if (value) return;
      for (const resolve of wake.splice(0)) resolve();
    },
    onSend(fn: () => void) {
      onSend = fn;
    },
  };
}

describe('a lane', () => {
  it('runs one timer while it holds something, and none while it is empty', async () => {
    const world = laneOf({ maxDelayMs: 100 });
    expect(world.clock.timersStarted).toBe(0);
    world.add('a');
    world.add('b');
    expect([world.clock.timers, world.clock.timersStarted]).toEqual([1, 1]);
    await world.clock.advance(100);
    expect(world.sent).toEqual(['100 time ab']);
    expect(world.clock.timers).toBe(0);
  });

  it('cuts a full batch at once, and no stale timer cuts the next one early (R-77, D-2)', async () => {
    const world = laneOf({ maxDelayMs: 100 });
    for (const name of 'ab') world.add(name);
    await world.clock.advance(60);
    for (const name of 'cd') world.add(name);
    expect(world.sent).toEqual(['60 size abc']);
    await world.clock.advance(99);
    expect(world.sent).toHaveLength(1);
    await world.clock.advance(1);
    expect(world.sent).toEqual(['60 size abc', '160 time d']);
  });

  it('lets an overdue batch go before a newcomer, which is outside its window (D-34)', async () => {
    const world = laneOf({ maxDelayMs: 100 });
    world.add('a');
    world.clock.block(150);
    world.add('b');
    expect(world.sent).toEqual(['150 time a']);
    await world.clock.advance(100);
    expect(world.sent).toEqual(['150 time a', '250 time b']);
  });

  it('has a half-open window: an arrival exactly when it is due belongs to the next', () => {
    const world = laneOf({ maxDelayMs: 100 });
    world.add('a');
    world.clock.block(100);
    world.add('b');
    expect(world.sent).toEqual(['100 time a']);
  });

  it('while the dispatcher is busy asks once, collects, and cuts as late as it can', async () => {
    const world = laneOf({ maxDelayMs: 100 }, 10);
    world.busy(true);
    world.add('a');
    await world.clock.advance(100);
    for (const name of 'bcd') world.add(name);
    await world.clock.advance(500);
    expect([world.sent, world.asked]).toEqual([[], 1]);
    world.busy(false);
    await world.clock.settle();
    expect(world.sent).toEqual(['600 time abcd']);
    expect(world.clock.timers).toBe(0);
  });

  it('goes by the timer and not by the clock, so that fake timers which do not move the clock work (D-33)', () => {
    const timers: (() => void)[] = [];
    const sent: number[] = [];
    const clock = {
      now: () => 0,
      wall: () => 0,
      afterTurn: () => () => {},
      after: (_: number, fn: () => void) => {
        timers.push(fn);
        return () => {};
      },
    };
    const pump: Pump<Lane<string>> = new Pump({ ready: readiness(() => true), send: () => sent.push(lane.cut().held.length) });
    const lane = laneAt(clock, { maxDelayMs: 100 }, 10, pump);
    lane.add('a', 0, new Barriers().current);
    lane.added();
    timers[0]!();
    expect(sent).toEqual([1]);
  });

  it('under { throttleMs } sends at once when idle, then keeps its distance, full or not', async () => {
    const world = laneOf({ throttleMs: 100 }, 2);
    for (const name of 'abcde') world.add(name);
    expect([world.sent, world.clock.timersStarted]).toEqual([['0 throttle a'], 1]);
    await world.clock.advance(300);
    expect(world.sent).toEqual(['0 throttle a', '100 size bc', '200 size de']);
    expect(world.clock.timers).toBe(0);
    world.add('f');
    expect(world.sent.at(-1)).toBe('300 throttle f');
  });

  it('under { throttleMs } counts the cooldown from a dispatch that the dispatcher made wait', async () => {
    const world = laneOf({ throttleMs: 100 }, 10);
    world.busy(true);
    world.add('a');
    await world.clock.advance(70);
    world.busy(false);
    await world.clock.settle();
    world.add('b');
    await world.clock.advance(100);
    expect(world.sent).toEqual(['70 throttle a', '170 throttle b']);
  });

  it('under { throttleMs } does not believe a timer that is a fraction of a millisecond early', async () => {
    const world = laneOf({ throttleMs: 100 });
    const early = world.clock.after.bind(world.clock);
    world.clock.after = (ms, fn) => early(ms > 1 ? ms - 0.5 : ms, fn);
    world.add('a');
    world.add('b');
    await world.clock.advance(99.9);
    expect(world.sent).toEqual(['0 throttle a']);
    await world.clock.advance(0.1);
    expect(world.sent).toEqual(['0 throttle a', '100 throttle b']);
  });

  it('under { quietMs, maxDelayMs } sends after a gap with one timer for all who extend it, and never starves', async () => {
    const world = laneOf({ quietMs: 20, maxDelayMs: 100 }, 100);
    for (let i = 0; i < 5; i++) {
      world.add('x');
      await world.clock.advance(15);
    }
    expect([world.sent, world.clock.timers]).toEqual([[], 1]);
    await world.clock.advance(5);
    expect(world.sent).toEqual(['80 quiet xxxxx']);
    expect(world.clock.timersStarted).toBeLessThanOrEqual(5);
    for (let i = 0; i < 12; i++) {
      world.add('y');
      await world.clock.advance(10);
    }
    expect(world.sent[1]).toBe('180 time yyyyyyyyyy');
  });

  it('is cut at the end of the turn under tick', async () => {
    const world = laneOf('tick');
    world.add('a');
    await Promise.resolve().then(() => world.add('b'));
    expect(world.sent).toEqual([]);
    await world.clock.settle();
    expect(world.sent).toEqual(['0 tick ab']);
  });

  it('keeps its timer when it is looked at again before it is due', () => {
    const world = laneOf({ maxDelayMs: 100 });
    world.add('a');
    world.lane.raise(-1, 'manual');
    world.look();
    expect([world.clock.timers, world.clock.timersStarted]).toEqual([1, 1]);
  });

  it('stops its timer when everybody has left', () => {
    const world = laneOf({ maxDelayMs: 100 });
    const item = world.add('a');
    item.gone = true;
    world.lane.forget(item);
    expect(world.clock.timers).toBe(0);
  });

  it('takes what is added during a send into the loop, not onto the stack', () => {
    const world = laneOf('whileBusy', 1);
    let left = 20_000;
    world.onSend(() => {
      if (left-- > 0) world.add('x');
    });
    world.add('x');
    expect(world.sent).toHaveLength(20_001);
  });

  it('cuts everything behind a raised barrier at once', async () => {
    const world = laneOf({ maxDelayMs: 100 }, 2);
    world.busy(true);
    for (const name of 'abc') world.add(name);
    world.lane.raise(world.barriers.raise(emptyTally()).index, 'manual');
    world.look();
    world.add('d');
    world.busy(false);
    await world.clock.settle();
    expect(world.sent).toEqual(['0 size ab', '0 size cd']);
  });

  it('hands everything out unsent', () => {
    const world = laneOf({ maxDelayMs: 100 }, 10);
    for (const name of 'abc') world.add(name);
    expect(world.lane.takeAll().flatMap((cut) => cut.held.map((item) => (item as EngineItem<string>).value))).toEqual([
      'a',
      'b',
      'c',
    ]);
    expect([world.clock.timers, world.lane.live, world.sent]).toEqual([0, 0, []]);
  });
});
