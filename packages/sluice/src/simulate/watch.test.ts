import { describe, expect, it } from 'vitest';
import { createBatch } from '../core/batch.js';
import type { Dispatcher } from '../core/dispatcher.js';
import { emptyTally } from '../core/tally.js';
import { EngineItem } from '../engine/item.js';
import { seededRandom } from '../env/seeded-random.js';
import { VirtualClock } from '../env/virtual.js';
import type { Promised } from './invariant.js';
import { keyOrder } from './order-rule.js';
import { watchBatcher } from './watch.js';

interface Sent {
  readonly n: number;
  readonly lane: string;
}

/** A watch whose batcher the test plays: it dispatches what the test says. */
function world(promised: Partial<Promised> = {}) {
  const clock = new VirtualClock();
  const watch = watchBatcher<Sent, void>({
    window: { maxDelayMs: 0 },
    ...promised,
    clock,
    sequenceOf: ({ n }) => n,
    laneOf: ({ lane }) => lane,
  });
  const ends: (() => void)[] = [];
  const inner: Dispatcher<Sent, void> = {
    ready: () => true,
    dispatch: (batch) =>
      new Promise((resolve) => ends.push(() => resolve(batch.items.map(() => ({ kind: 'ok', value: undefined }))))),
  };
  const env = { clock, random: seededRandom(1), observe: () => {}, neutral: <T>(fn: () => T) => fn() };
  const dispatcher = watch.layer(inner, env);
  let n = 0;
  const held = (lane: string) => {
    const item = { n: n++, lane };
    watch.offered(item);
    watch.held(item);
    return item;
  };
  const send = (...items: Sent[]) => {
    const entries = items.map((item) => Object.defineProperty(new EngineItem(item, 0), 'acceptedAt', { value: clock.now() }));
    const context = { signal: new AbortController().signal, deadlineAt: Number.POSITIVE_INFINITY, attempt: 1, idempotent: false };
    void dispatcher.dispatch(createBatch('b', items[0]!.lane, entries, 0, 'time'), context);
  };
  const broken = () => watch.violations.map(({ invariant }) => invariant);
  const endAll = () => {
    for (const end of ends.splice(0)) end();
  };
  return { clock, watch, held, send, broken, endAll };
}

describe('the watch', () => {
  it('sees a lane that could go passed over for long, and accuses nobody who could not', () => {
    const passed = world({ maxPassedOver: 3 });
    passed.held('b');
    for (let i = 0; i < 3; i++) passed.send(passed.held('a'));
    expect(passed.broken()).toEqual([]);
    passed.send(passed.held('a'));
    expect(passed.broken()).toEqual(['fairness']);

    const inTurn = world({ maxPassedOver: 3 });
    for (let i = 0; i < 9; i++) {
      const waiting = inTurn.held('b');
      inTurn.send(inTurn.held('a'), inTurn.held('a'));
      inTurn.send(waiting);
    }
    expect(inTurn.broken()).toEqual([]);

    const notDue = world({ maxPassedOver: 3, window: { maxDelayMs: 1000 } });
    notDue.held('b');
    for (let i = 0; i < 9; i++) notDue.send(notDue.held('a'));
    expect(notDue.broken()).toEqual([]);

    const busy = world({ maxPassedOver: 3, maxInFlightPerLane: 1 });
    busy.send(busy.held('b'));
    busy.held('b');
    for (let i = 0; i < 9; i++) busy.send(busy.held(`a${i}`));
    expect(busy.broken()).toEqual([]);

    const left = world({ maxPassedOver: 3 });
    left.watch.told(left.held('b'), false);
    for (let i = 0; i < 9; i++) left.send(left.held('a'));
    expect(left.broken()).toEqual([]);
  });

  it('sees a second batch of an ordered lane before the first is settled', async () => {
    const { clock, held, send, broken, endAll } = world({ maxInFlightPerLane: 1 });
    send(held('a'));
    send(held('b'));
    expect(broken()).toEqual([]);
    endAll();
    await clock.run(1);
    send(held('a'));
    send(held('a'));
    expect(broken()).toEqual(['bounds']);
  });

  it('sees a lane that could send what is due, and does not; and none that may not, or has just come', async () => {
    const row = (lane: string, more: object = {}) => ({ ...emptyTally(), lane, offered: 1, accepted: 1, held: 1, ...more });
    const lie = async (promised: Partial<Promised>, lane: string, more?: object) => {
      const { clock, watch, broken } = world(promised);
      for (const at of [0, 10, 20, 30]) {
        await clock.run(at);
        watch.step({ ...row(''), lanes: [row(lane, more)] });
      }
      return broken().filter((invariant) => invariant === 'delay').length;
    };
    // Due at 5: it could go at 10, at 20 it should have.
    expect(await lie({ window: { maxDelayMs: 5 } }, 'a')).toBe(2);
    expect(await lie({ window: { maxDelayMs: 25 } }, 'a')).toBe(0);
    expect(await lie({ window: { maxDelayMs: 5 }, refuses: true }, 'a')).toBe(0);
    expect(await lie({ window: { maxDelayMs: 5 } }, 'a', { held: 0 })).toBe(0);
  });

  it('sees what overtakes within a key, and lets a call be made again', () => {
    const { watch, broken } = world();
    const rule = keyOrder<number>(
      (n) => n,
      (n) => n % 2,
      (what) => watch.report('order', what),
    );
    rule.sent([0, 2, 1], () => true);
    rule.taken(0);
    rule.taken(2);
    rule.sent([0, 2], () => false);
    expect(broken()).toEqual([]);
    rule.sent([0], () => false);
    rule.sent([5, 3], () => true);
    expect(broken()).toEqual(['order', 'order']);
  });

  it('reads the rows of the lanes, in whatever collection they come', () => {
    const good = { ...emptyTally(), offered: 2, accepted: 2, ok: 1, held: 1 };
    const bad = { ...good, ok: 0 };
    for (const [lanes, found] of [
      [[good, good], []],
      [[good, bad], ['tally']],
      [new Map([['a', bad]]), ['tally']],
      [{ a: good, b: bad }, ['tally']],
    ] as const) {
      const { watch, broken } = world();
      watch.step({ ...emptyTally(), lanes });
      expect(broken()).toEqual(found);
    }
  });

  it('keeps a hundred violations at most', () => {
    const { watch } = world();
    for (let i = 0; i < 300; i++) watch.report('tally', 'again');
    expect(watch.violations.length).toBe(100);
  });
});
