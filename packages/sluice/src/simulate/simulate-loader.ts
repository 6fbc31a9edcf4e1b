/** simulateLoader: the production loader on a virtual clock, between callers and a backend that are models. */

import type { Sink } from '../core/dispatcher.js';
import { failure, SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Tally } from '../core/tally.js';
import type { DrainReport } from '../engine/engine.js';
import type { Env, Random } from '../env/env.js';
import { seededRandom, streamSeed } from '../env/seeded-random.js';
import { VirtualClock } from '../env/virtual.js';
import type { BatchContext } from '../loader/batch-call.js';
import type { CacheStats } from '../loader/cache.js';
import { createLoader, type Loader } from '../loader/loader.js';
import type { LoaderOptions } from '../loader/loader-options.js';
import type { Arrivals } from './arrivals.js';
import { Histogram, type Spread } from './histogram.js';
import type { Violation } from './invariant.js';
import type { SimulatedItem } from './item.js';
import { type KeyDraw, uniformKeys } from './keys.js';
import { type SinkModel, sinkOf } from './sink-model.js';
import { type LoaderWatch, type ValueOrigin, watchLoader } from './watch-loader.js';

/** Callers of a simulated loader. */
export interface SimulatedCallers {
  /** Share of the calls, 0 to 1, that leave before they are told. Default 0. */
  readonly leave?: number;
  /** After how long those leave on average, in milliseconds; exponential. Default 10. */
  readonly leaveAfterMs?: number;
  /** `timeoutMs` of each call, in milliseconds. Default: none. */
  readonly timeoutMs?: number;
}

/** Options of {@link simulateLoader}. */
export interface LoaderSimulationOptions {
  /** Fixes everything that is drawn. Default 1. */
  readonly seed?: number;
  /** When calls come. */
  readonly arrivals: Arrivals;
  /** Which keys they ask for. Default: 1,000 keys, each as often as any other. */
  readonly keys?: KeyDraw;
  /** How callers behave. Default: they wait as long as it takes. */
  readonly callers?: SimulatedCallers;
  /** How the backend behaves: what a call of the batch function costs, by keys; `badItems` are keys that always fail. */
  readonly backend: SinkModel;
  /** Share of the keys, 0 to 1, that do not exist. Default 0. */
  readonly missing?: number;
  /** The loader, as in production: window, bounds, cache, layers. Default: its defaults. */
  readonly loader?: Omit<LoaderOptions<number, ValueOrigin>, 'env' | 'keyBy' | 'cycles'>;
  /** Calls end here, in milliseconds; then the loader is closed. */
  readonly untilMs: number;
  /** How long the close may take, in milliseconds. Default 30,000. */
  readonly closeDeadlineMs?: number;
}

/** What the simulation of a loader has seen. Times are virtual milliseconds from its start. */
export interface LoaderSimulationReport {
  readonly seed: number;
  /** When everybody had been told. */
  readonly endedMs: number;
  /** The final balance, in calls of `load`. */
  readonly loads: Tally;
  /** The final balance in keys: one for each time that a key was taken into a batch. */
  readonly keys: Tally;
  readonly drain: DrainReport;
  /** Calls of the batch function; `keys` is how many keys one had on average. */
  readonly calls: { readonly count: number; readonly perSecond: number; readonly keys: number; readonly mostAtOnce: number };
  /** From `load` to its answer, of those that got a value. */
  readonly latencies: Spread;
  /** How the others ended, by error code. */
  readonly failures: Readonly<Record<string, number>>;
  readonly cache?: CacheStats;
  /** Promises that the loader broke; none, always. */
  readonly violations: readonly Violation[];
}

const optionNames = 'seed arrivals keys callers backend missing loader untilMs closeDeadlineMs'.split(' ');

/**
 * Simulates a loader: how many calls it would make, how long callers would wait, what duplicates and a cache would save. The loader is
 * the one of production; only time, callers and the backend are models. One seed reproduces everything, and at every step it is checked
 * that each caller is told once, gets no value that was read before it asked, and that nothing is left at the end.
 *
 * @example
 * const { calls, latencies } = await simulateLoader({
 *   arrivals: poisson({ perSecond: 5_000 }),
 *   keys: zipfKeys(10_000),
 *   backend: { fixedMs: 5, perItemMs: 0.01 },
 *   loader: { window: { maxDelayMs: 2 } },
 *   untilMs: 10_000,
 * });
 *
 * @throws SluiceError `INVALID_OPTION`; `FAILED` when the loader never comes to rest.
 */
export async function simulateLoader(options: LoaderSimulationOptions): Promise<LoaderSimulationReport> {
  checkNames('simulateLoader', options, optionNames);
  const untilMs = numberOption('simulateLoader.untilMs', options.untilMs ?? Number.NaN, 0, { least: 0 });
  const seed = numberOption('simulateLoader.seed', options.seed, 1, { least: 0, whole: true });
  const clock: VirtualClock = new VirtualClock({ afterStep: () => watch.step(loader.stats()) });
  const env: Env = {
    clock,
    random: seededRandom(streamSeed(seed, 0)),
    neutral: (fn) => fn(),
    observe: (event) => watch.observe(event),
  };
  const settings = options.loader ?? {};
  const watch = watchOf(settings, clock);
  const backend = backendOf(options, watch, env, seed);
  const loader = createLoader<number, ValueOrigin>(backend.batch, {
    ...settings,
    layers: [watch.layer, ...(settings.layers ?? [])],
    env,
  });
  const callers = callersOf(options, loader, watch, clock, seed);
  await clock.run(untilMs, callers.happenings(untilMs));

  let drain: DrainReport | undefined;
  void loader.close({ deadlineMs: options.closeDeadlineMs ?? 30_000 }).then((report) => {
    drain = report;
  });
  // No further: a timer that is left when all is over must be seen, not fired.
  await clock.run(Number.POSITIVE_INFINITY, undefined, () => drain !== undefined && watch.running() === 0);
  if (drain === undefined)
    throw failure('the simulation came to rest, and the loader is not closed: give closeDeadlineMs a bound.', { code: 'FAILED' });
  callers.end();
  watch.rest(loader.stats(), clock.timers);
  const { keys, cache, ...loads } = loader.stats();
  return {
    seed,
    endedMs: clock.now(),
    loads,
    keys,
    drain,
    calls: backend.report(clock.now()),
    ...callers.report(),
    ...(cache === undefined ? {} : { cache }),
    violations: watch.violations,
  };
}

function watchOf(
  settings: NonNullable<LoaderSimulationOptions['loader']>,
  clock: VirtualClock,
): LoaderWatch<number, ValueOrigin> {
  // The defaults of createLoader, so that they are held to as well.
  const { window = 'tick', maxItems = 1000, maxInFlight = 1000, maxHeldWaiters = 100_000, partition, cache } = settings;
  const { maxHeldKeys = maxHeldWaiters } = settings;
  return watchLoader({
    ...{ window, maxItems, maxInFlight, maxHeldWaiters, maxHeldKeys, clock },
    cached: cache !== undefined,
    originOf: (value) => value,
    ...(partition === undefined ? {} : { partitionOf: (key: unknown) => partition(key as number) }),
  });
}

function backendOf(options: LoaderSimulationOptions, watch: LoaderWatch<number, ValueOrigin>, env: Env, seed: number) {
  const { missing = 0, backend } = options;
  const sink: Sink<SimulatedItem> = sinkOf(backend, env, streamSeed(seed, 1));
  const salt = streamSeed(seed, 3);
  const isMissing = (key: number) => streamSeed(salt, key) < missing * 2 ** 32;
  const counts = { count: 0, keys: 0, mostAtOnce: 0 };
  return {
    async batch(keys: readonly number[], context: BatchContext<number>) {
      const { call, end } = watch.begun(keys);
      counts.count++;
      counts.keys += keys.length;
      counts.mostAtOnce = Math.max(counts.mostAtOnce, watch.running());
      try {
        const items = keys.map((n) => ({ n, stream: '', bytes: 0, atMs: env.clock.now() }));
        const answers = await sink.write(items, { ...context, lane: '', idempotent: true, entries: [] });
        return keys.map((key, i) => {
          const answer = answers === undefined ? undefined : answers[i];
          return answer instanceof Error ? answer : isMissing(key) ? undefined : { key, call };
        });
      } finally {
        end();
      }
    },
    report: (endedMs: number): LoaderSimulationReport['calls'] => ({
      count: counts.count,
      perSecond: endedMs === 0 ? 0 : (counts.count * 1000) / endedMs,
      keys: counts.count === 0 ? 0 : counts.keys / counts.count,
      mostAtOnce: counts.mostAtOnce,
    }),
  };
}

function callersOf(
  options: LoaderSimulationOptions,
  loader: Loader<number, ValueOrigin>,
  watch: LoaderWatch<number, ValueOrigin>,
  clock: VirtualClock,
  seed: number,
) {
  const { arrivals, keys = uniformKeys(1000), callers = {} } = options;
  checkNames('simulateLoader.callers', callers, ['leave', 'leaveAfterMs', 'timeoutMs']);
  const leave = numberOption('simulateLoader.callers.leave', callers.leave, 0, { least: 0 });
  const random = seededRandom(streamSeed(seed, 4));
  const latencies = new Histogram();
  const failures: Record<string, number> = {};
  const leaving = new Set<() => void>();

  const ask = () => {
    const askedAt = clock.now();
    const key = keys(random);
    const told = watch.asked(key);
    const { signal, stay } = random.next() < leave ? leaver(random, callers.leaveAfterMs ?? 10) : stayer;
    const { timeoutMs } = callers;
    const callOptions = { ...(signal === undefined ? {} : { signal }), ...(timeoutMs === undefined ? {} : { timeoutMs }) };
    loader.load(key, callOptions).then(
      (value) => {
        stay();
        latencies.add(clock.now() - askedAt);
        told({ kind: 'value', value });
      },
      (error: unknown) => {
        stay();
        const code = error instanceof SluiceError ? error.code : 'OTHER';
        failures[code] = (failures[code] ?? 0) + 1;
        told({ kind: 'failed' });
      },
    );
  };

  const leaver = (draws: Random, meanMs: number) => {
    const controller = new AbortController();
    const stay = clock.after(-Math.log(1 - draws.next()) * meanMs, () => controller.abort(failure('the caller left.')));
    leaving.add(stay);
    return {
      signal: controller.signal,
      stay: () => {
        leaving.delete(stay);
        stay();
      },
    };
  };

  return {
    happenings(untilMs: number) {
      const next = arrivals.start(seededRandom(streamSeed(seed, 2)));
      let atMs = next();
      return {
        nextAt: () => (atMs <= untilMs ? atMs : Number.POSITIVE_INFINITY),
        happen() {
          const now = atMs;
          for (; atMs === now; atMs = next()) ask();
          return 'stir' as const;
        },
      };
    },
    end() {
      for (const stay of leaving) stay();
    },
    report: () => ({ latencies: latencies.spread(), failures }),
  };
}

const stayer = { signal: undefined, stay: () => {} };
