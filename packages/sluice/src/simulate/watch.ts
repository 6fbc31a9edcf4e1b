/** Watch: holds a batcher to its promises at every step, from outside: what goes in, what the sink sees, what callers are told. */

import type { Item } from '../core/batch.js';
import type { Dispatcher, Layer, Sink } from '../core/dispatcher.js';
import { failure } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import { type Tally, tallyImbalance } from '../core/tally.js';
import type { Window } from '../core/window.js';
import type { Clock } from '../env/env.js';
import { fairnessRule } from './fairness.js';
import { countListeners } from './listeners.js';
import { latestDueAt } from './window-bound.js';

/**
 * What must hold at every step.
 *
 * - `settledOnce`: every item is cut once and told once, and nobody is told `ok` of what the sink never took.
 * - `tally`: it balances, per lane too, no count is negative, and it agrees with what was offered.
 * - `bounds`: items and bytes of a batch, held items and bytes, waiters, calls at once, batches of a lane; no empty batch.
 * - `delay`: a batch leaves when its window is over, or in the turn in which a slot is free again, whichever is later.
 * - `order`: the sink sees the items of a lane for the first time in their order.
 * - `boundary`: a value comes from a call that began after it was asked for.
 * - `fairness`: a lane that could go is not passed over for long.
 * - `rest`: when all is over no timer runs, no listener is left, nothing is held, every caller has been told.
 */
export type Invariant = 'settledOnce' | 'tally' | 'bounds' | 'delay' | 'order' | 'boundary' | 'fairness' | 'rest';

/** A promise that was broken. */
export interface Violation {
  readonly invariant: Invariant;
  /** In monotonic milliseconds. */
  readonly atMs: number;
  readonly what: string;
}

/** What the watched batcher has promised: its options as they were given. Bounds that are left out are not checked. */
export interface Promised {
  readonly window: Window;
  readonly maxItems?: number;
  readonly maxBytes?: number;
  readonly maxInFlight?: number;
  readonly maxHeldItems?: number;
  readonly maxHeldBytes?: number;
  readonly maxWaiting?: number;
  /** Unsettled batches of one lane. */
  readonly maxInFlightPerLane?: number;
  /** Items of other lanes that may leave while a lane could go. */
  readonly maxPassedOver?: number;
  /** No other layer than the batcher's own limit stands between it and the sink, and no call is ever abandoned: slot waits are exact. */
  readonly plain?: boolean;
}

/** Options of {@link watchBatcher}. */
export interface WatchOptions<T> extends Promised {
  readonly clock: Pick<Clock, 'now'>;
  /** The place of an item in the order of offers: 0, 1, 2 … Each item its own. */
  readonly sequenceOf: (item: T) => number;
  /** The lane of an item. Default: all are in one. */
  readonly laneOf?: (item: T) => string;
}

/** The counts that a step is checked against. */
export type WatchedStats = Tally & { readonly heldBytes?: number; readonly lanes?: unknown };

/** Watches one batcher. */
export interface Watch<T, R> {
  /** What has been found so far; at most 100. */
  readonly violations: readonly Violation[];
  /** Place it outermost among the batcher's layers. */
  readonly layer: Layer<T, R>;
  /** The sink to give to the batcher. */
  sink(inner: Sink<T, R>): Sink<T, R>;
  /** To be told of the batcher's events. */
  observe(event: SluiceEvent): void;
  /** An item is about to be offered. */
  offered(item: T): void;
  /** An item is held: accepted, and not sent yet. Needed for `fairness` only. */
  held(item: T): void;
  /** A caller was told what became of its item. `ok`: the sink took it. */
  told(item: T, ok: boolean, value?: unknown): void;
  /** Checks what must hold between any two turns. */
  step(stats: WatchedStats): void;
  /** Checks what must hold when all is over. `waiting`: callers that have been promised an answer and have none. */
  rest(stats: WatchedStats, timers: number, callersWaiting: number): void;
  /** Calls of the sink that run now, abandoned ones too. */
  calls(): number;
  /** Notes a violation that somebody else has found. */
  report(invariant: Invariant, what: string): void;
}

/** Watches a batcher: put its `layer` outermost, its `sink` around the sink, and tell it what is offered and told. */
export function watchBatcher<T, R>(options: WatchOptions<T>): Watch<T, R> {
  const { clock, sequenceOf, laneOf = () => '' } = options;
  const violations: Violation[] = [];
  const report = (invariant: Invariant, what: string) => {
    if (violations.length < mostViolations) violations.push({ invariant, atMs: clock.now(), what });
  };
  const marks = new Marks();
  const lanes = new Map<string, LaneSeen>();
  const laneSeen = (lane: string) => {
    let seen = lanes.get(lane);
    if (seen === undefined) {
      seen = { unsettled: 0, settledAt: 0, lastSeen: -1 };
      lanes.set(lane, seen);
    }
    return seen;
  };
  const fairness = fairnessRule(
    options.maxPassedOver ?? Number.POSITIVE_INFINITY,
    (heldAt) => latestDueAt(options.window, heldAt),
    (what) => report('fairness', what),
  );
  const values = new Map<number, unknown>();
  let offered = 0;
  let calls = 0;
  let freeAt = 0;
  let slotFreeAt = 0;
  let abandonedEver = false;
  let listeners = 0;

  const cut = (lane: string, items: readonly Item<T>[], seen: LaneSeen) => {
    if (items.length === 0) return report('bounds', 'an empty batch was cut');
    for (const { value } of items) {
      if (!marks.set(sequenceOf(value), 'cut')) report('settledOnce', `item ${sequenceOf(value)} was cut twice`);
    }
    if (items.length > (options.maxItems ?? Number.POSITIVE_INFINITY))
      report('bounds', `a batch of ${items.length} items; maxItems is ${options.maxItems}`);
    if (seen.unsettled >= (options.maxInFlightPerLane ?? Number.POSITIVE_INFINITY))
      report(
        'bounds',
        `lane ${JSON.stringify(lane)} has ${seen.unsettled + 1} batches unsettled; its bound is ${options.maxInFlightPerLane}`,
      );
    const now = clock.now();
    const firstAt = items[0]!.acceptedAt;
    const latest = Math.max(latestDueAt(options.window, firstAt), freeAt, seen.settledAt);
    if (now > latest + 1e-6) report('delay', `a batch left at ${now} ms, at the latest it was due at ${latest} ms`);
    fairness.sent(
      lane,
      items.length,
      now,
      (other) => laneSeen(other).unsettled < (options.maxInFlightPerLane ?? Number.POSITIVE_INFINITY),
    );
  };

  const settled = (seen: LaneSeen) => {
    seen.unsettled--;
    seen.settledAt = clock.now();
  };

  const layer: Layer<T, R> = (inner: Dispatcher<T, R>) => {
    const free = () => {
      freeAt = clock.now();
      // In the plain case the sink says when a slot is free, which holds the limit to its word as well.
      if (options.plain === true && !abandonedEver && freeAt > slotFreeAt)
        report('delay', `a slot was free at ${slotFreeAt} ms, and nobody was told before ${freeAt} ms`);
    };
    return {
      ready(lane) {
        const ready = inner.ready(lane);
        return ready === true ? true : ready.then(free, free);
      },
      async dispatch(batch, context) {
        const seen = laneSeen(batch.lane);
        cut(batch.lane, batch.items, seen);
        seen.unsettled++;
        const left = countListeners(context.signal);
        const outcomes = await inner.dispatch(batch, context);
        settled(seen);
        listeners += left();
        if (outcomes.length !== batch.items.length)
          report('settledOnce', `${outcomes.length} outcomes for ${batch.items.length} items`);
        return outcomes;
      },
    };
  };

  const begin = (items: readonly T[]) => {
    if (items.length === 0) report('bounds', 'the sink was called with nothing');
    if (calls >= (options.maxInFlight ?? Number.POSITIVE_INFINITY) && !abandonedEver)
      report('bounds', `${calls + 1} calls at once; maxInFlight is ${options.maxInFlight}`);
    calls++;
    for (const item of items) {
      const n = sequenceOf(item);
      if (!marks.set(n, 'sent')) {
        if (options.plain === true) report('settledOnce', `item ${n} was sent twice, and nothing retries`);
        continue;
      }
      const seen = laneSeen(laneOf(item));
      if (n < seen.lastSeen) report('order', `item ${n} was sent after item ${seen.lastSeen}`);
      seen.lastSeen = n;
    }
  };

  const end = () => {
    // Of any call, not only of the one that frees the last slot: a permit is given back some promise jobs after the call has ended.
    slotFreeAt = clock.now();
    calls--;
  };

  return {
    violations,
    layer,
    report,
    calls: () => calls,
    sink(inner) {
      return {
        ...(inner.idempotent === undefined ? {} : { idempotent: inner.idempotent }),
        ...(inner.atomic === undefined ? {} : { atomic: inner.atomic }),
        async write(items, context) {
          const bytes = context.entries.reduce((sum, entry) => sum + entry.bytes, 0);
          if (items.length > 1 && bytes > (options.maxBytes ?? Number.POSITIVE_INFINITY))
            report('bounds', `a batch of ${bytes} bytes; maxBytes is ${options.maxBytes}`);
          begin(items);
          try {
            const results = await inner.write(items, context);
            items.forEach((item, i) => {
              const result = results === undefined ? undefined : results[i];
              if (result instanceof Error) return;
              marks.set(sequenceOf(item), 'taken');
              if (result !== undefined) values.set(sequenceOf(item), result);
            });
            return results;
          } finally {
            end();
          }
        },
        ...(inner.close === undefined ? {} : { close: () => inner.close!() }),
      };
    },
    observe(event) {
      if (event.type === 'abandoned') abandonedEver = true;
    },
    offered: () => {
      offered++;
    },
    held(item) {
      if (marks.set(sequenceOf(item), 'held')) fairness.held(laneOf(item), clock.now());
    },
    told(item, ok, value) {
      const n = sequenceOf(item);
      if (!marks.set(n, 'told')) report('settledOnce', `item ${n} was told twice`);
      if (marks.has(n, 'held') && !marks.has(n, 'cut')) fairness.left(laneOf(item));
      if (!ok) return;
      if (!marks.has(n, 'taken')) report('settledOnce', `item ${n} is said to be written, and the sink never took it`);
      else if (values.get(n) !== value)
        report('settledOnce', `item ${n} got ${String(value)}, the sink said ${String(values.get(n))}`);
    },
    step(stats) {
      checkTally(stats, offered, report);
      if (stats.held + stats.inFlight > (options.maxHeldItems ?? Number.POSITIVE_INFINITY))
        report('bounds', `${stats.held + stats.inFlight} items are held; maxHeldItems is ${options.maxHeldItems}`);
      if ((stats.heldBytes ?? 0) > (options.maxHeldBytes ?? Number.POSITIVE_INFINITY))
        report('bounds', `${stats.heldBytes} bytes are held; maxHeldBytes is ${options.maxHeldBytes}`);
      if (stats.waiting > (options.maxWaiting ?? Number.POSITIVE_INFINITY))
        report('bounds', `${stats.waiting} wait for room; maxWaiting is ${options.maxWaiting}`);
    },
    rest(stats, timers, callersWaiting) {
      const left = {
        timers,
        listeners,
        callersWaiting,
        held: stats.held,
        inFlight: stats.inFlight,
        waiting: stats.waiting,
        heldBytes: stats.heldBytes ?? 0,
      };
      const remains = Object.entries(left).filter(([, count]) => count !== 0);
      // A call that the sink never answers holds its bytes for ever, and says so.
      const excused =
        abandonedEver && calls > 0 ? remains.filter(([name]) => name !== 'heldBytes' && name !== 'listeners') : remains;
      if (excused.length > 0) report('rest', `left behind: ${excused.map(([name, count]) => `${name} ${count}`).join(', ')}`);
    },
  };
}

/** Enough to see what is wrong; a broken engine would fill the memory. */
const mostViolations = 100;

/** What has been seen of one lane. */
interface LaneSeen {
  unsettled: number;
  settledAt: number;
  /** The last item that the sink saw for the first time. */
  lastSeen: number;
}

const bits = { cut: 1, sent: 2, taken: 4, told: 8, held: 16 } as const;

/** Five facts an item, one byte each: a simulation may have millions. */
class Marks {
  #bytes = new Uint8Array(1024);

  has(n: number, mark: keyof typeof bits): boolean {
    return ((this.#bytes[n] ?? 0) & bits[mark]) !== 0;
  }

  /** @returns false when it was set before. */
  set(n: number, mark: keyof typeof bits): boolean {
    if (n >= this.#bytes.length) {
      const grown = new Uint8Array(Math.max(n + 1, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (this.has(n, mark)) return false;
    this.#bytes[n]! |= bits[mark];
    return true;
  }
}

function checkTally(stats: WatchedStats, offered: number, report: (invariant: Invariant, what: string) => void): void {
  if (tallyImbalance(stats) !== 0) report('tally', `it does not balance: ${JSON.stringify(stats)}`);
  if (stats.offered !== offered) report('tally', `it counts ${stats.offered} offered, of ${offered}`);
  for (const lane of laneRows(stats.lanes)) {
    if (tallyImbalance(lane) !== 0) report('tally', `that of a lane does not balance: ${JSON.stringify(lane)}`);
  }
  const { ok, failed, dead, cancelled, dropped, held, inFlight, waiting, rejected, accepted } = stats;
  if (Math.min(ok, failed, dead, cancelled, dropped, held, inFlight, waiting, rejected, accepted) < 0)
    report('tally', `a count is negative: ${JSON.stringify(stats)}`);
}

/** The rows of the lanes, in whatever collection they come. */
function laneRows(lanes: unknown): Tally[] {
  if (typeof lanes !== 'object' || lanes === null) return [];
  const rows: unknown[] =
    lanes instanceof Map
      ? [...lanes.values()]
      : Symbol.iterator in lanes
        ? [...(lanes as Iterable<unknown>)]
        : Object.values(lanes);
  return rows.filter((row): row is Tally => typeof row === 'object' && row !== null && 'offered' in row && 'accepted' in row);
}

/** A failure that names what was broken, for a test to throw. */
export function broken(violations: readonly Violation[]): Error {
  const lines = violations.map(({ invariant, atMs, what }) => `${invariant} at ${atMs} ms: ${what}`);
  return failure(`${violations.length} invariants were broken\n${lines.join('\n')}`, { code: 'INVARIANT_BROKEN' });
}
