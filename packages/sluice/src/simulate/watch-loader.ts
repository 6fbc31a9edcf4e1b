/** Watch of a loader: holds it to its promises at every step, from outside: what is asked, what the batch function sees, who is told what. */

import type { Layer } from '../core/dispatcher.js';
import type { SluiceEvent } from '../core/event.js';
import { type Tally, tallyImbalance } from '../core/tally.js';
import type { Window } from '../core/window.js';
import type { Clock } from '../env/env.js';
import { type ConservationRule, conservationRule } from './conservation.js';
import type { Violation } from './invariant.js';
import { atMost, type Report } from './step-rules.js';
import { latestDueAt } from './window-bound.js';

/** Where a value came from. */
export interface ValueOrigin {
  readonly key: unknown;
  /** The number that {@link LoaderWatch.begun} gave to the call. */
  readonly call: number;
}

/** Options of {@link watchLoader}: the loader's, as they were given; bounds that are left out are not checked. */
export interface LoaderWatchOptions<V> {
  /** The clock that the loader goes by. */
  readonly clock: Pick<Clock, 'now'>;
  /** Where a value came from. */
  readonly originOf: (value: V) => ValueOrigin;
  /** When a batch is due. */
  readonly window: Window;
  /** Keys a batch. Default: not checked. */
  readonly maxItems?: number;
  /** Calls of the batch function that run at once. Default: not checked. */
  readonly maxInFlight?: number;
  /** Callers that wait. Default: not checked. */
  readonly maxHeldWaiters?: number;
  /** Keys held. Default: not checked. */
  readonly maxHeldKeys?: number;
  /** Keys of different partitions share no batch. Default: not checked. */
  readonly partitionOf?: (key: unknown) => unknown;
  /** It has a cache: callers may get what was read before they asked, if it was not cleared since. Default false. */
  readonly cached?: boolean;
  /** A layer may come to refuse at once what it made wait before, as a breaker with `open: 'reject'` does. Default: once one opens. */
  readonly refuses?: boolean;
}

/** What a caller was told. `missing`: `find` found that there is no such key. */
export type ToldCaller<V> =
  | { readonly kind: 'value'; readonly value: V }
  | { readonly kind: 'missing' }
  | { readonly kind: 'failed' };

/** The counts of a loader: in calls, and in keys. */
export type WatchedLoaderStats = Tally & { readonly keys: Tally };

/** Watches one loader. */
export interface LoaderWatch<K, V> {
  /** What has been found so far; at most 100. */
  readonly violations: readonly Violation[];
  /** Place it outermost among the loader's layers. */
  readonly layer: Layer<K, V>;
  /** To be told of the loader's events. */
  observe(event: SluiceEvent): void;
  /** A call of the batch function begins; answers its number, and what to call when it ends. */
  begun(keys: readonly K[]): { readonly call: number; end(): void };
  /** Somebody asks for a key; answers what to call when that caller is told. */
  asked(key: K): (told: ToldCaller<V>) => void;
  /** A key was taken out of the cache, or primed: nobody who asks from now on may get an older value. Answers a number like that of a call. */
  cleared(key?: K): number;
  /** Checks what must hold between any two turns. */
  step(stats: WatchedLoaderStats): void;
  /** Checks what must hold when all is over. */
  rest(stats: WatchedLoaderStats, timers: number): void;
  /** Calls of the batch function that run now, abandoned ones too. */
  running(): number;
  /** Callers that have not been told. */
  waiting(): number;
  /** Notes a violation that somebody else has found. */
  report: Report;
}

/** Watches a loader: put its `layer` outermost, and tell it what is asked, called and told. */
export function watchLoader<K, V>(options: LoaderWatchOptions<V>): LoaderWatch<K, V> {
  const { clock, originOf, cached = false } = options;
  const seen = nothingSeen(options);
  const { violations, report, conservation, floors } = seen;
  // Counts whatever happens, so that it can be said what came first.
  let steps = 0;

  const checkValue = (key: K, value: V, notBefore: number) => {
    const origin = originOf(value);
    if (!Object.is(origin.key, key))
      report('settledOnce', `a caller of key ${String(key)} got the value of ${String(origin.key)}`);
    if (origin.call < notBefore)
      report(
        'boundary',
        `key ${String(key)}, asked for at step ${notBefore}, got a value of a call begun at step ${origin.call}`,
      );
  };

  return {
    violations,
    report,
    running: () => seen.running,
    waiting: () => seen.waiting,
    observe(event) {
      if (event.type === 'abandoned') seen.abandonedEver = true;
      if (event.type === 'breaker' && event.state === 'open') seen.refuses = options.refuses ?? true;
    },
    layer: (inner) => {
      seen.isReady = () => inner.ready('') === true;
      return {
        ready: (lane) => inner.ready(lane),
        dispatch(batch, context) {
          checkKeys(batch.values(), options, report);
          conservation.sent('', clock.now());
          seen.cutAt = clock.now();
          return inner.dispatch(batch, context);
        },
      };
    },
    begun(keys) {
      const call = ++steps;
      checkKeys(keys, options, report);
      seen.running++;
      if (!seen.abandonedEver) atMost('maxInFlight', options.maxInFlight, seen.running, report);
      return { call, end: () => void seen.running-- };
    },
    asked(key) {
      const at = ++steps;
      const notBefore = cached ? Math.max(floors.get(key) ?? 0, floors.get(everyKey) ?? 0) : at;
      let told = false;
      seen.asked++;
      seen.waiting++;
      return (answer) => {
        if (told) {
          report('settledOnce', `a caller of key ${String(key)} was told twice`);
          return;
        }
        told = true;
        seen.waiting--;
        if (answer.kind === 'value') checkValue(key, answer.value, notBefore);
      };
    },
    cleared(key) {
      floors.set(key ?? everyKey, ++steps);
      return steps;
    },
    step(stats) {
      checkTallies(stats, seen.asked, options, report);
      if (seen.refuses) return;
      const { held, cancelled, dropped } = stats.keys;
      conservation.step(stats.keys, [{ lane: '', held, cancelled, dropped, cutAt: seen.cutAt, stopped: false }], clock.now());
    },
    rest({ keys, ...calls }, timers) {
      const { held, inFlight, waiting } = calls;
      const left = { timers, held, inFlight, waiting, keysHeld: keys.held, keysInFlight: keys.inFlight, callers: seen.waiting };
      if (Object.values(left).some((count) => count !== 0)) report('rest', `left behind: ${JSON.stringify(left)}`);
    },
  };
}

/** What has been seen so far. */
interface SeenOfLoader {
  readonly violations: Violation[];
  readonly report: Report;
  readonly conservation: ConservationRule;
  /** From which step on a value must be, by key. */
  readonly floors: Map<unknown, number>;
  isReady: () => boolean;
  /** When a batch last left. */
  cutAt: number;
  asked: number;
  waiting: number;
  running: number;
  abandonedEver: boolean;
  /** Who waits may be refused. */
  refuses: boolean;
}

function nothingSeen({ clock, window, refuses = false }: LoaderWatchOptions<never>): SeenOfLoader {
  const violations: Violation[] = [];
  const report: Report = (invariant, what) => {
    if (violations.length < 100) violations.push({ invariant, atMs: clock.now(), what });
  };
  const seen: SeenOfLoader = {
    violations,
    report,
    conservation: conservationRule(
      (heldAt, cutAt) => latestDueAt(window, heldAt, cutAt),
      () => seen.isReady(),
      (what) => report('delay', what),
    ),
    floors: new Map(),
    isReady: () => false,
    cutAt: Number.NEGATIVE_INFINITY,
    asked: 0,
    waiting: 0,
    running: 0,
    abandonedEver: false,
    refuses,
  };
  return seen;
}

/** Stands for all keys among the floors. */
const everyKey = Symbol('every key');

function checkKeys(keys: readonly unknown[], { maxItems, partitionOf }: LoaderWatchOptions<never>, report: Report): void {
  if (keys.length === 0) report('bounds', 'a call for nothing');
  atMost('maxItems', maxItems, keys.length, report);
  if (new Set(keys).size < keys.length)
    report('settledOnce', `a key is asked for twice in one call: ${keys.slice(0, 20).join()}`);
  if (partitionOf !== undefined && new Set(keys.map(partitionOf)).size > 1)
    report('bounds', `keys of several partitions share a call: ${keys.slice(0, 20).join()}`);
}

function checkTallies(
  { keys, ...calls }: WatchedLoaderStats,
  asked: number,
  bounds: LoaderWatchOptions<never>,
  report: Report,
): void {
  if (tallyImbalance(calls) !== 0 || tallyImbalance(keys) !== 0)
    report('tally', `it does not balance: ${JSON.stringify({ calls, keys })}`);
  if (calls.offered !== asked) report('tally', `it counts ${calls.offered} calls, of ${asked}`);
  for (const tally of [calls, keys]) {
    const { ok, failed, dead, cancelled, dropped, held, inFlight, waiting, rejected, accepted } = tally;
    if (Math.min(ok, failed, dead, cancelled, dropped, held, inFlight, waiting, rejected, accepted) < 0)
      report('tally', `a count is negative: ${JSON.stringify(tally)}`);
  }
  atMost('maxHeldWaiters', bounds.maxHeldWaiters, calls.held + calls.inFlight, report);
  atMost('maxHeldKeys', bounds.maxHeldKeys, keys.held + keys.inFlight, report);
}
