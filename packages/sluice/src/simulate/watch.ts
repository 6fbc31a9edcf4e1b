/** Watch: holds a batcher to its promises at every step, from outside: what goes in, what the sink sees, what callers are told. */

import type { Item } from '../core/batch.js';
import type { Dispatcher, Layer, Sink } from '../core/dispatcher.js';
import type { SluiceEvent } from '../core/event.js';
import type { Clock } from '../env/env.js';
import { around } from './around.js';
import { type FairnessRule, fairnessRule } from './fairness.js';
import type { Invariant, Promised, Violation } from './invariant.js';
import { countListeners } from './listeners.js';
import { Marks } from './marks.js';
import { atMost, checkRest, checkStep, type Report, type WatchedStats } from './step-rules.js';
import { latestDueAt } from './window-bound.js';

/** Options of {@link watchBatcher}. */
export interface WatchOptions<T> extends Promised {
  /** The clock that the batcher goes by. */
  readonly clock: Pick<Clock, 'now'>;
  /** The place of an item in the order of offers: 0, 1, 2 … Each item its own. */
  readonly sequenceOf: (item: T) => number;
  /** The lane of an item. Default: all are in one. */
  readonly laneOf?: (item: T) => string;
}

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
  const { clock, sequenceOf, laneOf = oneLane } = options;
  const seen = nothingSeen(options);
  const { marks, fairness, report } = seen;
  return {
    violations: seen.violations,
    report,
    layer: (inner) => watchedDispatcher(seen, inner),
    sink: (inner) => watchedSink(seen, inner),
    calls: () => seen.calls,
    observe(event) {
      if (event.type === 'abandoned') seen.abandonedEver = true;
    },
    offered() {
      seen.offered++;
    },
    held(item) {
      if (marks.set(sequenceOf(item), 'held')) fairness.held(laneOf(item), clock.now());
    },
    told(item, ok, value) {
      const n = sequenceOf(item);
      if (!marks.set(n, 'told')) report('settledOnce', `item ${n} was told twice`);
      if (marks.has(n, 'held') && !marks.has(n, 'cut')) fairness.left(laneOf(item));
      if (!ok) return;
      const said = seen.values.get(n);
      if (!marks.has(n, 'taken')) report('settledOnce', `item ${n} is said to be written, and the sink never took it`);
      else if (said !== value) report('settledOnce', `item ${n} got ${String(value)}, the sink said ${String(said)}`);
    },
    step: (stats) => checkStep(stats, seen.offered, options, report),
    rest(stats, timers, callersWaiting) {
      // A call that the sink never answers holds its bytes and its signal for ever, and the tally says so.
      const excused = seen.abandonedEver && seen.calls > 0 ? ['heldBytes', 'listeners'] : [];
      checkRest(stats, { timers, listeners: seen.listeners, callersWaiting }, excused, report);
    },
  };
}

/** Enough to see what is wrong; a broken engine would fill the memory. */
const mostViolations = 100;

/** What has been seen of one lane. */
interface LaneSeen {
  unsettled: number;
  settledAt: number;
  /** When a batch of it last left. */
  cutAt: number;
  /** The last item that the sink saw for the first time. */
  lastSeen: number;
}

/** What has been seen so far. */
interface Seen<T> {
  readonly options: WatchOptions<T>;
  readonly violations: Violation[];
  readonly report: Report;
  readonly marks: Marks;
  readonly fairness: FairnessRule;
  /** What the sink answered, by item, where it answered anything. */
  readonly values: Map<number, unknown>;
  readonly lanes: Map<string, LaneSeen>;
  offered: number;
  calls: number;
  /** When the dispatcher last said that it is ready again. */
  freeAt: number;
  /** When a call last ended. */
  callEndedAt: number;
  abandonedEver: boolean;
  /** Left on the signals of calls that are over. */
  listeners: number;
}

function nothingSeen<T>(options: WatchOptions<T>): Seen<T> {
  const violations: Violation[] = [];
  const report: Report = (invariant, what) => {
    if (violations.length < mostViolations) violations.push({ invariant, atMs: options.clock.now(), what });
  };
  const { maxPassedOver = Number.POSITIVE_INFINITY, window } = options;
  return {
    options,
    violations,
    report,
    marks: new Marks(),
    fairness: fairnessRule(
      maxPassedOver,
      (heldAt) => latestDueAt(window, heldAt, heldAt),
      (what) => report('fairness', what),
    ),
    values: new Map(),
    lanes: new Map(),
    offered: 0,
    calls: 0,
    freeAt: 0,
    callEndedAt: 0,
    abandonedEver: false,
    listeners: 0,
  };
}

function oneLane(): string {
  return '';
}

function laneSeen(seen: Seen<never>, lane: string): LaneSeen {
  let own = seen.lanes.get(lane);
  if (own === undefined) {
    own = { unsettled: 0, settledAt: 0, cutAt: Number.NEGATIVE_INFINITY, lastSeen: -1 };
    seen.lanes.set(lane, own);
  }
  return own;
}

function watchedDispatcher<T, R>(seen: Seen<T>, inner: Dispatcher<T, R>): Dispatcher<T, R> {
  const { options, report } = seen;
  const { clock, plain = false } = options;
  let told = true;
  const free = () => {
    if (told) return;
    told = true;
    seen.freeAt = clock.now();
    // In the plain case a slot is free because a call has ended, and only then: that holds the limit to its word as well.
    if (plain && !seen.abandonedEver && seen.freeAt > seen.callEndedAt)
      report('delay', `a slot was free at ${seen.callEndedAt} ms, and nobody was told before ${seen.freeAt} ms`);
  };
  return {
    ready(lane) {
      const ready = inner.ready(lane);
      // Whoever asks in the very turn in which a slot is freed is not told by a promise.
      if (ready === true) {
        free();
        return true;
      }
      told = false;
      // Beside, and handed on as it is: who shares a promise knows that it waits for the same thing.
      ready.then(free, free);
      return ready;
    },
    async dispatch(batch, context) {
      const own = laneSeen(seen, batch.lane);
      checkCut(seen, batch.lane, batch.items, own);
      own.unsettled++;
      const listenersLeft = countListeners(context.signal);
      const outcomes = await inner.dispatch(batch, context);
      own.unsettled--;
      own.settledAt = clock.now();
      seen.listeners += listenersLeft();
      if (outcomes.length !== batch.items.length)
        report('settledOnce', `${outcomes.length} outcomes for ${batch.items.length} items`);
      return outcomes;
    },
  };
}

function checkCut<T>(seen: Seen<T>, lane: string, items: readonly Item<T>[], own: LaneSeen): void {
  const { options, report, marks, fairness } = seen;
  const { clock, sequenceOf, window, maxItems, maxInFlightPerLane = Number.POSITIVE_INFINITY } = options;
  if (items.length === 0) {
    report('bounds', 'an empty batch was cut');
    return;
  }
  for (const { value } of items) {
    if (!marks.set(sequenceOf(value), 'cut')) report('settledOnce', `item ${sequenceOf(value)} was cut twice`);
  }
  atMost('maxItems', maxItems, items.length, report);
  atMost('maxInFlightPerLane', maxInFlightPerLane, own.unsettled + 1, report);
  const now = clock.now();
  // Of several lanes that want the same permit one asks for all: the others are free to go when a call has ended.
  const askedAt = options.laneOf === undefined ? seen.freeAt : Math.max(seen.freeAt, seen.callEndedAt);
  const latest = Math.max(latestDueAt(window, items[0]!.acceptedAt, own.cutAt), askedAt, own.settledAt);
  // A billionth of a second: what adding up times leaves behind.
  if (now > latest + 1e-6) report('delay', `a batch left at ${now} ms, at the latest it was due at ${latest} ms`);
  own.cutAt = now;
  fairness.sent(lane, items.length, now, (other) => laneSeen(seen, other).unsettled < maxInFlightPerLane);
}

function watchedSink<T, R>(seen: Seen<T>, inner: Sink<T, R>): Sink<T, R> {
  const { options, report, marks } = seen;
  const { clock, sequenceOf, maxBytes } = options;
  return around(inner, async (items, context) => {
    // One item that is larger alone leaves alone.
    const bytes = context.entries.reduce((sum, entry) => sum + entry.bytes, 0);
    if (items.length > 1) atMost('maxBytes', maxBytes, bytes, report);
    begin(seen, items);
    try {
      const results = await inner.write(items, context);
      items.forEach((item, i) => {
        const result = results === undefined ? undefined : results[i];
        if (result instanceof Error) return;
        marks.set(sequenceOf(item), 'taken');
        if (result !== undefined) seen.values.set(sequenceOf(item), result);
      });
      return results;
    } finally {
      seen.callEndedAt = clock.now();
      seen.calls--;
    }
  });
}

function begin<T>(seen: Seen<T>, items: readonly T[]): void {
  const { options, report, marks } = seen;
  const { sequenceOf, laneOf = oneLane, maxInFlight, plain = false } = options;
  if (items.length === 0) report('bounds', 'the sink was called with nothing');
  seen.calls++;
  // Abandoned calls go on beside those that run: their bound is another one.
  if (!seen.abandonedEver) atMost('maxInFlight', maxInFlight, seen.calls, report);
  for (const item of items) {
    const n = sequenceOf(item);
    if (!marks.set(n, 'sent')) {
      if (plain) report('settledOnce', `item ${n} was sent twice, and nothing retries`);
      continue;
    }
    const own = laneSeen(seen, laneOf(item));
    if (n < own.lastSeen) report('order', `item ${n} was sent after item ${own.lastSeen}`);
    own.lastSeen = n;
  }
}
