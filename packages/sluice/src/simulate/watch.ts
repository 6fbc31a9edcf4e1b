/** Watch: holds a batcher to its promises at every step, from outside: what goes in, what the sink sees, what callers are told. */

import type { Layer, Sink } from '../core/dispatcher.js';
import type { SluiceEvent } from '../core/event.js';
import type { Clock } from '../env/env.js';
import type { Invariant, Promised, Violation } from './invariant.js';
import { laneSeen, nothingSeen, oneLane, type Seen } from './seen.js';
import { checkRest, checkStep, laneRows, type WatchedStats } from './step-rules.js';
import { watchedDispatcher, watchedSink } from './watched.js';

/** Options of {@link watchBatcher}. */
export interface WatchOptions<T> extends Promised {
  /** The clock that the batcher goes by. */
  readonly clock: Pick<Clock, 'now'>;
  /** The place of an item in the order of offers: 0, 1, 2 … Each item its own. */
  readonly sequenceOf: (item: T) => number;
  /** The lane of an item. Default: all are in one. */
  readonly laneOf?: (item: T) => string;
  /** Items of the same key reach the sink in their order, retries included; `undefined`: this one has no order. Default: by lane. */
  readonly orderOf?: (item: T) => unknown;
  /** Items of the same key are the same: it is enough that the sink took one of them. Default: each is its own. */
  readonly sameAs?: (item: T) => unknown;
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
  /** The lane, or each of them, may send again after it halted. */
  resumed(lane?: string): void;
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
      if (event.type === 'breaker' && event.state === 'open') seen.refuses = options.refuses ?? true;
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
      if (ok) checkValue(seen, item, value);
    },
    resumed(lane) {
      for (const [name, own] of seen.lanes) {
        if (lane !== undefined && lane !== name) continue;
        own.halted = false;
        own.settledAt = clock.now();
      }
    },
    step(stats) {
      checkStep(stats, seen.offered, options, report);
      checkLanes(seen, stats);
    },
    rest(stats, timers, callersWaiting) {
      // A call that the sink never answers holds its bytes and its signal for ever, and the tally says so.
      const excused = seen.abandonedEver && seen.calls > 0 ? ['heldBytes', 'listeners'] : [];
      checkRest(stats, { timers, listeners: seen.listeners, callersWaiting }, excused, report);
    },
  };
}

/** Told `ok`: then the sink took this item, or one that is the same, and this is what it said. */
function checkValue<T>(seen: Seen<T>, item: T, value: unknown): void {
  const { marks, report, options, taken } = seen;
  const n = options.sequenceOf(item);
  if (options.sameAs !== undefined) {
    if (!taken.get(options.sameAs(item))?.has(value))
      report('settledOnce', `item ${n} got ${String(value)}, which the sink never said of any that is the same`);
    return;
  }
  const said = seen.values.get(n);
  if (!marks.has(n, 'taken')) report('settledOnce', `item ${n} is said to be written, and the sink never took it`);
  else if (said !== value) report('settledOnce', `item ${n} got ${String(value)}, the sink said ${String(said)}`);
}

function checkLanes<T>(seen: Seen<T>, stats: WatchedStats): void {
  const { maxInFlightPerLane = Number.POSITIVE_INFINITY } = seen.options;
  if (seen.refuses) return;
  const standings = laneRows(stats.lanes).map(({ lane = '', held, cancelled, dropped }) => {
    const { unsettled, halted, cutAt } = laneSeen(seen, lane);
    return { lane, held, cancelled, dropped, cutAt, stopped: halted || unsettled >= maxInFlightPerLane };
  });
  seen.conservation.step(stats, standings, seen.options.clock.now());
}
