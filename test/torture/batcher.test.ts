import type { createBatcher, Sink } from 'sluice';
import type { Layer } from 'sluice/layers';
import type { Invariant } from 'sluice/simulate';
import { describe, expect, it } from 'vitest';
import { type Planted, playBatcher } from './batcher-schedule.js';
import type { Sent } from './batcher-settings.js';
import { campaign } from './campaign.js';

const schedules = 4500;

it(`R-163: ${schedules} schedules of arrivals, leaving, flush, close and bad sinks break no promise of the batcher`, {
  timeout: 600_000,
}, async () => {
  expect((await campaign('batcher', 1, schedules))?.message).toBeUndefined();
});

/** What broke a promise once, and in what way. */
const knownErrors: readonly [number, string][] = [
  [
    183_877,
    'the earlier of two writes to a key was sent again alone, after a lost reply and after the caller of the later one had left',
  ],
  [10_229, 'an attempt that timed out before its turn was taken for one that the sink had seen; later batches may pass it'],
];

it.each(knownErrors)('R-163: the schedule of seed %i breaks no promise any more: %s', async (seed) => {
  expect((await campaign('batcher', seed, 1))?.message).toBeUndefined();
});

it('R-163: the same seed plays the same schedule, event by event', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const once = await playBatcher(seed, { traced: true });
    expect(once.trace.length).toBeGreaterThan(2);
    expect(await playBatcher(seed, { traced: true })).toEqual(once);
  }
});

const layered = (layer: Layer<Sent, number>): Planted => ({
  options: (options) => ({ ...options, layers: [...(options.layers ?? []), layer] }),
});
const throughSink = (
  write: (sink: Sink<Sent, number>, ...args: Parameters<Sink<Sent, number>['write']>) => ReturnType<Sink<Sent, number>['write']>,
): Planted => ({
  sink: (sink) => ({ ...sink, write: (...args) => write(sink, ...args) }),
});
const promisedLess = (
  name: 'maxItems' | 'maxBytes' | 'maxInFlight' | 'maxHeldItems' | 'maxHeldBytes' | 'maxWaiting',
): Planted => ({
  options: (options) => ({ ...options, [name]: options[name]! + 2 }),
});

/** What each sink was called with last. */
const lastCall = new WeakMap<Sink<Sent, number>, Parameters<Sink<Sent, number>['write']>>();

/** Every kind of promise, broken on purpose: by a layer, a sink or a batcher that stands between what is watched and what is real. */
const canaries: readonly [string, Invariant, Planted][] = [
  [
    'a layer that says ok without a call',
    'settledOnce',
    layered((inner) => ({
      ready: (lane) => inner.ready(lane),
      dispatch: async (batch) => batch.items.map((item) => ({ kind: 'ok', value: item.value.n })),
    })),
  ],
  [
    'a layer that mixes up the outcomes',
    'settledOnce',
    layered((inner) => ({
      ready: (lane) => inner.ready(lane),
      dispatch: async (batch, context) => [...(await inner.dispatch(batch, context))].reverse(),
    })),
  ],
  [
    'a sink that is called twice',
    'settledOnce',
    throughSink(async (sink, ...args) => {
      await sink.write(...args);
      return sink.write(...args);
    }),
  ],
  [
    'a batcher that tells a caller twice',
    'settledOnce',
    {
      batcher: (batcher) => ({
        ...batcher,
        push: (item, options) => {
          const pushed = batcher.push(item, options);
          // Not a promise, but it looks like one, and calls whoever waits twice.
          // biome-ignore lint/suspicious/noThenProperty: that is the bug
          const twice = { then: (...told: Parameters<typeof pushed.then>) => [pushed.then(...told), pushed.then(...told)][1]! };
          return twice as typeof pushed;
        },
      }),
    },
  ],
  ['a count that is off by one', 'tally', { batcher: (batcher) => ({ ...batcher, stats: () => off(batcher.stats()) }) }],
  [
    'an item that is not counted',
    'tally',
    { batcher: (batcher) => ({ ...batcher, offer: (item) => (item.n % 7 === 6 ? 'full' : batcher.offer(item)) }) },
  ],
  ['a batch with too many items', 'bounds', promisedLess('maxItems')],
  ['a batch with too many bytes', 'bounds', promisedLess('maxBytes')],
  ['a call too many at once', 'bounds', promisedLess('maxInFlight')],
  ['an item too many held', 'bounds', promisedLess('maxHeldItems')],
  ['a byte too many held', 'bounds', promisedLess('maxHeldBytes')],
  ['a caller too many who waits for room', 'bounds', promisedLess('maxWaiting')],
  [
    'a call with nothing',
    'bounds',
    throughSink(async (sink, items, context) => {
      if (items[0]!.n % 5 === 4) await sink.write([], { ...context, entries: [] });
      return sink.write(items, context);
    }),
  ],
  [
    'a window that is 5 ms too long',
    'delay',
    {
      options: (options) => ({
        ...options,
        ...(typeof options.window === 'object' && 'maxDelayMs' in options.window
          ? { window: { maxDelayMs: options.window.maxDelayMs + 5 } }
          : {}),
      }),
    },
  ],
  [
    'a timer that fires 5 ms late',
    'delay',
    {
      options: (options) => ({
        ...options,
        env: {
          ...options.env!,
          clock: { ...clockOf(options.env!.clock), after: (ms, fn) => options.env!.clock.after(ms + 5, fn) },
        },
      }),
    },
  ],
  [
    'a dispatcher that wakes its askers late',
    'delay',
    {
      options: (options) => ({
        ...options,
        layers: [
          ...(options.layers ?? []),
          (inner, env) => ({
            ready(lane) {
              const ready = inner.ready(lane);
              return ready === true ? true : ready.then(() => new Promise<void>((resolve) => void env.clock.after(3, resolve)));
            },
            dispatch: (batch, context) => inner.dispatch(batch, context),
          }),
        ],
      }),
    },
  ],
  [
    'a sink that sees the items in another order',
    'order',
    throughSink(async (sink, items, context) => {
      const results = await sink.write([...items].reverse(), context);
      return results === undefined ? undefined : [...results].reverse();
    }),
  ],
  [
    'a lane that is forgotten while others go on',
    'delay',
    {
      options: (options) => ({
        ...options,
        layers: [
          ...(options.layers ?? []),
          (inner) => ({
            // It lets the engine wait for what never comes; who asks again finds the way free.
            ready: once((lane, again) => (lane.endsWith('2') && !again ? new Promise<void>(() => {}) : inner.ready(lane))),
            dispatch: (batch, context) => inner.dispatch(batch, context),
          }),
        ],
      }),
    },
  ],
  [
    'a call that is made again after what came later',
    'order',
    throughSink(async (sink, items, context) => {
      const results = await sink.write(items, context);
      const before = lastCall.get(sink);
      if (before !== undefined) await sink.write(...before);
      lastCall.set(sink, [items, context]);
      return results;
    }),
  ],
  ['a lane that goes on after it halted', 'order', { options: (options) => without(options, 'strict') }],
  [
    'an item too many held in a lane',
    'bounds',
    { options: (options) => without({ ...options, maxHeldItems: 30, maxHeldBytes: 1000 }, 'maxHeldItemsPerLane') },
  ],
  ['a drop that nobody is told of', 'tally', { options: (options) => without(options, 'onDrop') }],
  [
    'a timer that is left running',
    'rest',
    {
      // On the clock of the world: those on the clock of the layers end with the batcher.
      options: (options) => ({
        ...options,
        layers: [
          ...(options.layers ?? []),
          (inner) => ({
            ready: (lane) => inner.ready(lane),
            dispatch(batch, context) {
              options.env!.clock.after(1e9, () => {});
              return inner.dispatch(batch, context);
            },
          }),
        ],
      }),
    },
  ],
  [
    'a listener that is left on the signal of a call',
    'rest',
    layered((inner) => ({
      ready: (lane) => inner.ready(lane),
      dispatch(batch, context) {
        context.signal.addEventListener('abort', () => {});
        return inner.dispatch(batch, context);
      },
    })),
  ],
  [
    "a listener that is left on a caller's signal",
    'rest',
    {
      batcher: (batcher) => ({
        ...batcher,
        push(item, options) {
          options?.signal?.addEventListener('abort', () => {});
          return batcher.push(item, options);
        },
      }),
    },
  ],
  [
    'a caller who is never told',
    'rest',
    {
      batcher: (batcher) => ({
        ...batcher,
        push(item, options) {
          const pushed = batcher.push(item, options);
          return item.n % 9 === 8 ? new Promise(() => {}) : pushed;
        },
      }),
    },
  ],
  ['a flush that never ends', 'rest', { batcher: (batcher) => ({ ...batcher, flush: () => new Promise(() => {}) }) }],
];

describe('the schedules see what is planted (canaries)', () => {
  it.each(canaries)('%s', async (_, invariant, planted) => {
    const seen = new Set<Invariant>();
    for (let seed = 1; seed <= 400 && !seen.has(invariant); seed++) {
      for (const violation of (await playBatcher(seed, { planted })).violations) seen.add(violation.invariant);
    }
    expect([...seen]).toContain(invariant);
  });
});

/** An option left out. */
function without<O extends object>(options: O, name: keyof O): O {
  const { [name]: _, ...others } = options;
  return others as O;
}

/** Advice that says something else when a lane asks for the second time in a row. */
function once(ready: (lane: string, again: boolean) => true | Promise<void>): (lane: string) => true | Promise<void> {
  const asked = new Set<string>();
  return (lane) => {
    const again = asked.has(lane);
    asked.add(lane);
    return ready(lane, again);
  };
}

function off<S extends { readonly ok: number }>(stats: S): S {
  return stats.ok > 3 ? { ...stats, ok: stats.ok - 1 } : stats;
}

/** The members of a clock that is a class, bound. */
function clockOf(clock: NonNullable<Parameters<typeof createBatcher>[0]['env']>['clock']) {
  return { now: () => clock.now(), wall: () => clock.wall(), afterTurn: (fn: () => void) => clock.afterTurn(fn) };
}
