/** Property tests of the batcher: any callers, any sink, any time; what must always hold is checked after every step. */

import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Accumulator } from '../core/accumulator.js';
import type { Layer, Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import { tallyImbalance } from '../core/tally.js';
import type { Window } from '../core/window.js';
import { bisect } from '../layers/bisect.js';
import { retry } from '../layers/retry.js';
import { testEnv } from '../testing/test-env.js';
import { createBatcher } from './batcher.js';

interface Item {
  readonly n: number;
  readonly bytes: number;
}

const kinds = ['offer', 'add', 'push', 'cancel', 'answer', 'advance', 'block', 'flush', 'close'] as const;

const step = fc.record({
  kind: fc.constantFrom(...kinds.slice(0, 7), 'push' as const, 'push' as const, 'offer' as const, 'answer' as const, ...kinds),
  n: fc.nat(200),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const settings = fc.record({
  seed: fc.nat(1000),
  window: fc.constantFrom<Window>(
    { maxDelayMs: 0 },
    { maxDelayMs: 50 },
    { everyMs: 30 },
    { throttleMs: 0 },
    { throttleMs: 40 },
    { quietMs: 20, maxDelayMs: 50 },
    'tick',
    'whileBusy',
  ),
  maxItems: fc.integer({ min: 1, max: 6 }),
  maxBytes: fc.integer({ min: 1, max: 40 }),
  maxInFlight: fc.integer({ min: 1, max: 3 }),
  maxHeldItems: fc.integer({ min: 1, max: 15 }),
  maxHeldBytes: fc.integer({ min: 1, max: 100 }),
  maxWaiting: fc.nat(4),
  overflow: fc.constantFrom('wait' as const, 'reject' as const),
});
type Settings = typeof settings extends fc.Arbitrary<infer S> ? S : never;

interface Variant {
  readonly layers?: readonly Layer<Item, number>[];
  readonly timeoutMs?: number;
  readonly idempotent?: boolean;
  /** Divided into three lanes; else one. */
  readonly lanes?: boolean;
  readonly drop?: 'dropOldest' | 'dropNewest';
}

const laneBy = (item: Item) => String(item.n % 3);

/** How long an item may be held while the sink is free. A throttle says nothing of that: it depends on how many were before. */
const windowMs = (window: Window) => {
  if (typeof window === 'string') return 0;
  if ('throttleMs' in window) return Number.POSITIVE_INFINITY;
  return 'maxDelayMs' in window ? window.maxDelayMs : window.everyMs;
};

/** The backend as the model plays it: it watches the order, the bounds and the concurrency of what comes. */
function watchedSink(set: Settings, variant: Variant, now: () => number) {
  const open: { items: readonly Item[]; signal: AbortSignal; end(n: number): void }[] = [];
  const written = new Map<number, number>();
  const problems: string[] = [];
  const plain = variant.layers === undefined && variant.timeoutMs === undefined;
  const last = new Map<string, number>();
  const seen = { freeSince: 0 };
  const end = (call: (typeof open)[number]) => {
    if (open.length >= set.maxInFlight) seen.freeSince = now();
    open.splice(open.indexOf(call), 1);
  };
  const sink: Sink<Item, number> = {
    idempotent: variant.idempotent ?? false,
    write(items, { signal }) {
      const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
      if (items.length === 0) problems.push('an empty batch');
      if (items.length > set.maxItems) problems.push(`${items.length} items in a batch of at most ${set.maxItems}`);
      if (bytes > set.maxBytes && items.length > 1) problems.push(`${bytes} bytes in a batch of at most ${set.maxBytes}`);
      if (open.length >= set.maxInFlight) problems.push(`a call more than the ${set.maxInFlight} that may run`);
      const lane = variant.lanes ? laneBy(items[0]!) : '';
      if (variant.lanes && items.some((item) => laneBy(item) !== lane)) problems.push('a batch of two lanes');
      for (const { n } of items) {
        if (plain && n <= (last.get(lane) ?? -1)) problems.push(`${n} was dispatched after ${last.get(lane)}`);
        last.set(lane, n);
      }
      return new Promise((resolve, reject) => {
        const call = {
          items,
          signal,
          end(how: number) {
            end(call);
            const bad = (item: Item) => (item.n + how) % 5 === 0;
            if (how % 4 === 3) return reject(failure('whole', { class: how % 8 === 3 ? 'transient' : 'permanent' }));
            for (const item of items) if (!bad(item)) written.set(item.n, (written.get(item.n) ?? 0) + 1);
            resolve(
              items.map((item) => (bad(item) ? failure('bad', { class: how % 2 === 0 ? 'permanent' : 'transient' }) : item.n)),
            );
          },
        };
        open.push(call);
      });
    },
  };
  return { sink, open, written, problems, seen, plain };
}

/** Plays the steps, checks after each, then brings everything to rest and checks that nothing is left. */
async function play(set: Settings, steps: readonly Step[], variant: Variant = {}): Promise<void> {
  const env = testEnv({
    seed: set.seed,
    observe(event) {
      if (event.type !== 'cut' || !watched.plain || variant.lanes) return;
      // An item leaves within its window, or as soon as the sink is free again, whichever is later.
      const latest = Math.max(env.clock.now() - event.waitMs + windowMs(set.window), watched.seen.freeSince);
      if (env.clock.now() > latest) watched.problems.push(`a batch left at ${env.clock.now()}, not by ${latest}`);
    },
  });
  const watched = watchedSink(set, variant, () => env.clock.now());
  const { seed: _, ...bounds } = set;
  const { sink, open, written, problems, seen } = watched;
  const batcher = createBatcher<Item, number>({
    ...bounds,
    sink,
    env,
    bytesOf: (item) => item.bytes,
    timeoutMs: variant.timeoutMs ?? Number.POSITIVE_INFINITY,
    layers: variant.layers ?? [],
    ...(variant.lanes ? { laneBy, maxHeldItemsPerLane: Math.ceil(set.maxHeldItems / 2), maxLanes: 2 + (set.seed % 2) } : {}),
    ...(variant.drop === undefined ? {} : { overflow: variant.drop }),
  });
  const told = new Map<number, string[]>();
  const controllers: AbortController[] = [];
  const reports: Promise<unknown>[] = [];
  let next = 0;
  let offered = 0;
  let closed = false;

  const ask = (kind: 'offer' | 'add' | 'push', n: number) => {
    const item = { n: next++, bytes: n % 13 };
    offered++;
    if (kind === 'offer') return void batcher.offer(item);
    const controller = new AbortController();
    controllers.push(controller);
    const ends: string[] = [];
    told.set(item.n, ends);
    const { signal } = controller;
    if (kind === 'add')
      batcher.add(item, { signal }).then(
        () => ends.push('added'),
        (error) => ends.push(error.code),
      );
    else
      batcher.push(item, { signal }).then(
        (value) => ends.push(value === item.n ? 'ok' : `the value of ${value}`),
        (error) => ends.push(error.code),
      );
  };

  const perform = async ({ kind, n }: Step) => {
    if (kind === 'offer' || kind === 'add' || kind === 'push') ask(kind, n);
    else if (kind === 'cancel') controllers[n % Math.max(1, controllers.length)]?.abort();
    else if (kind === 'answer') open[n % Math.max(1, open.length)]?.end(n);
    else if (kind === 'advance') await env.clock.advance(n);
    else if (kind === 'block') {
      env.clock.block(n);
      seen.freeSince = env.clock.now();
    } else if (kind === 'flush') reports.push(batcher.flush());
    else if (n % 4 === 0) {
      closed = true;
      reports.push(batcher.close({ deadlineMs: n * 5 }));
    }
    if (n % 3 === 0 || kind === 'block') await env.clock.settle();
  };

  const check = (when: string) => {
    const stats = batcher.stats();
    const wrong = [...problems];
    if (tallyImbalance(stats) !== 0) wrong.push(`imbalance ${JSON.stringify(stats)}`);
    for (const row of stats.lanes) if (tallyImbalance(row) !== 0) wrong.push(`imbalance of a lane ${JSON.stringify(row)}`);
    if (stats.offered !== offered) wrong.push(`${stats.offered} of ${offered} offered`);
    if (stats.held + stats.inFlight > set.maxHeldItems) wrong.push(`holds ${stats.held + stats.inFlight} items`);
    if (stats.heldBytes > set.maxHeldBytes) wrong.push(`holds ${stats.heldBytes} bytes`);
    if (stats.waiting > set.maxWaiting) wrong.push(`${stats.waiting} wait for room`);
    if (Object.values(stats).some((count: unknown) => typeof count === 'number' && count < 0))
      wrong.push(`a negative count ${JSON.stringify(stats)}`);
    for (const [n, ends] of told) if (ends.length > 1) wrong.push(`${n} was told ${ends.join(' and ')}`);
    if (wrong.length > 0) throw failure(`${when}: ${wrong.join('; ')}`);
  };

  for (const taken of steps) {
    await perform(taken);
    check(taken.kind);
  }
  if (!closed) reports.push(batcher.close({ deadlineMs: 1e6 }));
  for (let i = 0; i < 300 && (env.clock.timers > 0 || open.length > 0); i++) {
    for (const call of [...open]) call.end(i < 60 ? i : 1);
    await env.clock.advance(i < 60 ? 7 : 1e5);
    check('coming to rest');
  }
  let reported = 0;
  for (const report of reports) void report.then(() => reported++);
  await env.clock.settle();
  if (reported < reports.length) throw failure(`a flush or a close is not over`);
  check('at rest');
  const stats = batcher.stats();
  const left = [env.clock.timers, open.length, stats.held, stats.inFlight, stats.waiting, stats.heldBytes];
  if (left.some((count) => count !== 0)) throw failure(`left at rest: ${left.join(', ')}`);
  for (const [n, ends] of told) {
    if (ends.length !== 1) throw failure(`${n} was never told`);
    if (ends[0]!.startsWith('the value')) throw failure(`${n} got ${ends[0]}`);
    if (ends[0] === 'ok' && !written.has(n)) throw failure(`${n} is said to be written, and is not`);
  }
  // Without retries nothing is written twice.
  if (watched.plain) for (const [n, times] of written) if (times > 1) throw failure(`${n} was written ${times} times`);
}

const steps = fc.array(step, { maxLength: 40, size: 'max' });

afterEach(() => {
  vi.restoreAllMocks();
});

describe('whatever happens, the batcher balances, keeps its bounds and its order, tells everybody once and leaves nothing behind', () => {
  it('with a sink alone', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(settings, steps, (set, taken) => play(set, taken)),
      { numRuns: 1500 },
    );
  });

  it('with lanes, and drops', { timeout: 60_000 }, async () => {
    const drop = fc.constantFrom(undefined, 'dropOldest' as const, 'dropNewest' as const);
    const property = fc.asyncProperty(settings, steps, fc.boolean(), drop, (set, taken, lanes, dropped) =>
      play(set, taken, { lanes, ...(dropped === undefined ? {} : { drop: dropped }) }),
    );
    await fc.assert(property, { numRuns: 1500 });
  });

  it('with retry, bisect and a time-out', { timeout: 60_000 }, async () => {
    const property = fc.asyncProperty(settings, steps, fc.boolean(), fc.boolean(), (set, taken, idempotent, lanes) => {
      const layers = [retry<Item, number>({ maxAttempts: 3, baseMs: 10 }), bisect<Item, number>({ maxExtraCalls: 8 })];
      return play(set, taken, { layers, timeoutMs: 40, idempotent, lanes });
    });
    await fc.assert(property, { numRuns: 1000 });
  });
});

describe('the property sees (canaries)', () => {
  const { cut, due, forget } = Accumulator.prototype;
  type Cutter = Accumulator<unknown>;

  it.each<[string, () => void]>([
    [
      'an accumulator that loses an item',
      () => {
        const lost = new Set<unknown>();
        vi.spyOn(Accumulator.prototype, 'cut').mockImplementation(function (this: Cutter, now, atMost) {
          const taken = cut.call(this, now, atMost);
          if (taken !== undefined && taken.held.length > 2) {
            lost.add(taken.held.pop());
            taken.runs.at(-1)!.length--;
          }
          return taken;
        });
        // The bug is the loss alone: what is lost is not in the count that a caller who leaves takes it off.
        vi.spyOn(Accumulator.prototype, 'forget').mockImplementation(function (this: Cutter, item) {
          if (!lost.has(item)) forget.call(this, item);
        });
      },
    ],
    [
      'an accumulator that changes the order',
      () => {
        vi.spyOn(Accumulator.prototype, 'cut').mockImplementation(function (this: Cutter, now, atMost) {
          const taken = cut.call(this, now, atMost);
          taken?.held.reverse();
          return taken;
        });
      },
    ],
    [
      'an accumulator that is due too late',
      () => {
        vi.spyOn(Accumulator.prototype, 'due').mockImplementation(function (this: Cutter) {
          const at = due.call(this);
          return typeof at === 'number' ? at + 5 : at;
        });
      },
    ],
  ])('%s', async (_, plant) => {
    plant();
    const { failed } = await fc.check(
      fc.asyncProperty(settings, steps, (set, taken) => play(set, taken)),
      {
        numRuns: 300,
        endOnFailure: true,
      },
    );
    expect(failed).toBe(true);
  });

  it.each<[string, Layer<Item, number>]>([
    [
      'a dispatcher that says ok without a call',
      (inner) => ({
        ready: (lane) => inner.ready(lane),
        dispatch: async (batch) => batch.items.map((item) => ({ kind: 'ok', value: item.value.n })),
      }),
    ],
    [
      'a dispatcher that mixes up the outcomes',
      (inner) => ({
        ready: (lane) => inner.ready(lane),
        dispatch: async (batch, context) => [...(await inner.dispatch(batch, context))].reverse(),
      }),
    ],
    [
      'a dispatcher that never answers',
      (inner) => ({ ready: (lane) => inner.ready(lane), dispatch: () => new Promise(() => {}) }),
    ],
  ])('%s', async (_, broken) => {
    const property = fc.asyncProperty(settings, steps, (set, taken) => play(set, taken, { layers: [broken] }));
    const { failed } = await fc.check(property, { numRuns: 300, endOnFailure: true });
    expect(failed).toBe(true);
  });
});
