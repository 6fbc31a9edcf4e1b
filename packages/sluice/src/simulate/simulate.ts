/** simulate: the production engine on a virtual clock, between arrivals and a sink that are models. */

import { type Batcher, type BatcherOptions, createBatcher } from '../batcher/batcher.js';
import type { Sink } from '../core/dispatcher.js';
import { failure, invalidOption, shorten } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Tally } from '../core/tally.js';
import type { DrainReport } from '../engine/engine.js';
import type { Env } from '../env/env.js';
import { seededRandom, streamSeed } from '../env/seeded-random.js';
import { type Happenings, VirtualClock } from '../env/virtual.js';
import { type Arrival, type ArrivalStream, type Arrivals, merged } from './arrivals.js';
import type { SimulatedItem } from './item.js';
import { type Recorded, Recorder } from './recorder.js';
import type { SimulationReport } from './report.js';
import { type SinkModel, sinkOf } from './sink-model.js';
import { type Watch, watchBatcher } from './watch.js';

/** Options of the simulated batcher: those of `createBatcher`, without what the simulation provides. */
export type SimulatedBatcher = Omit<BatcherOptions<SimulatedItem>, 'sink' | 'env' | 'bytesOf'>;

/** Options of {@link simulate}. */
export interface SimulationOptions {
  /** Fixes everything that is drawn. Default 1. */
  readonly seed?: number;
  /** When items come: one process, or several streams with names and sizes. */
  readonly arrivals: Arrivals | readonly ArrivalStream[];
  /** How the sink behaves: a model, or a sink of your own that takes its time from `env.clock`. */
  readonly sink: SinkModel | ((env: Env) => Sink<SimulatedItem>);
  /** The batcher, as in production: window, bounds, layers. Default: its defaults. */
  readonly batcher?: SimulatedBatcher;
  /** How items are handed in. `'push'` (default) and `'add'` wait for room, `'offer'` never does. Callers never wait for each other. */
  readonly by?: 'push' | 'add' | 'offer';
  /** Arrivals end here, in milliseconds; then the batcher is closed. */
  readonly untilMs: number;
  /** How long the close may take, in milliseconds. Default 30,000. */
  readonly closeDeadlineMs?: number;
  /** The tally is noted this often, in milliseconds. Default: not at all. */
  readonly sampleEveryMs?: number;
  /** What the report holds beside the figures. Default `'batches'`. */
  readonly record?: Recorded;
  /** Checks the engine's promises: `'steps'` (default), at every step; `'off'`, which is faster. */
  readonly checks?: 'steps' | 'off';
}

const optionNames = 'seed arrivals sink batcher by untilMs closeDeadlineMs sampleEveryMs record checks'.split(' ');

/**
 * Simulates a batcher: what it would send, how long items would wait, what it would hold, in a fraction of the time. The batcher is
 * the one of production; only time, arrivals and the sink are models. One seed reproduces everything.
 *
 * @example
 * const { calls, waits } = await simulate({
 *   arrivals: poisson({ perSecond: 5_000 }),
 *   sink: { fixedMs: 5, perItemMs: 0.05 },
 *   batcher: { window: { maxDelayMs: 80 }, maxItems: 500 },
 *   untilMs: 60_000,
 * });
 *
 * @throws SluiceError `INVALID_OPTION`; `FAILED` when the batcher never comes to rest.
 */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  const { seed = 1, record = 'batches', by = 'push', batcher: settings = {} } = checked(options);
  let step = () => {};
  const clock = new VirtualClock({ afterStep: () => step() });
  const recorded = new Recorder(clock, record);
  const watch = options.checks === 'off' ? undefined : watchOf(settings, clock);
  const env: Env = {
    clock,
    random: seededRandom(streamSeed(seed, 0)),
    neutral: (fn) => fn(),
    observe(event) {
      recorded.observe(event);
      watch?.observe(event);
    },
  };
  const model = typeof options.sink === 'function' ? options.sink(env) : sinkOf(options.sink, env, streamSeed(seed, 1));
  const sink = recorded.sink(model);
  const batcher = createBatcher<SimulatedItem>({
    ...settings,
    sink: watch === undefined ? sink : watch.sink(sink),
    layers: [...(watch === undefined ? [] : [watch.layer]), (inner) => recorded.dispatcher(inner), ...(settings.layers ?? [])],
    bytesOf: (item) => item.bytes,
    env,
  });
  if (watch !== undefined) step = () => watch.step(batcher.stats());

  const callers = callersOf(by, batcher, watch);
  // What an item that is only added to an open batch does not do. Everything else counts as a stir, the promise of `add` too.
  const stirred = by === 'add' ? () => Number.NaN : () => clock.started + recorded.stirs;
  const { arrivals } = options;
  const streams = 'start' in arrivals ? [{ arrivals }] : arrivals;
  const next = merged(streams, (stream) => seededRandom(streamSeed(seed, 2 + stream)));
  const happenings = withSamples(arriving(next, callers.ask, stirred), options.sampleEveryMs, () =>
    recorded.sample(batcher.stats()),
  );
  await clock.run(options.untilMs, happenings);
  return recorded.report({
    seed,
    ...(await drained(options, batcher, clock, watch, callers, recorded)),
    violations: watch?.violations ?? [],
  });
}

async function drained(
  options: SimulationOptions,
  batcher: Batcher<SimulatedItem>,
  clock: VirtualClock,
  watch: Watch<SimulatedItem, void> | undefined,
  callers: Callers,
  recorded: Recorder,
): Promise<{ drain: DrainReport; tally: Tally }> {
  let drain: DrainReport | undefined;
  const closing = batcher.close({ deadlineMs: options.closeDeadlineMs ?? 30_000 }).then((report) => {
    drain = report;
  });
  // No further: a timer that is left when all is over must be seen, not fired.
  await clock.run(Number.POSITIVE_INFINITY, undefined, () => drain !== undefined && recorded.running === 0);
  if (drain === undefined) {
    throw failure('the simulation came to rest, and the batcher is not closed: give closeDeadlineMs a bound.', {
      code: 'FAILED',
    });
  }
  await closing;
  const { heldBytes: _, ...tally } = batcher.stats();
  watch?.rest(batcher.stats(), clock.timers, callers.waiting());
  return { drain, tally };
}

function checked(options: SimulationOptions): SimulationOptions {
  checkNames('simulate', options, optionNames);
  numberOption('simulate.untilMs', options.untilMs ?? Number.NaN, 0, { least: 0 });
  numberOption('simulate.seed', options.seed, 1, { least: 0, whole: true });
  numberOption('simulate.sampleEveryMs', options.sampleEveryMs, 1, { least: 0.001 });
  oneOf('by', options.by, ['push', 'add', 'offer']);
  oneOf('record', options.record, ['figures', 'batches', 'items']);
  oneOf('checks', options.checks, ['steps', 'off']);
  return options;
}

function oneOf(name: string, value: string | undefined, known: readonly string[]): void {
  if (value !== undefined && !known.includes(value))
    throw invalidOption(`simulate.${name} must be ${known.join(', ')}; got ${shorten(value)}`);
}

function watchOf(settings: SimulatedBatcher, clock: VirtualClock): Watch<SimulatedItem, void> {
  // The defaults of createBatcher, so that they are held to as well.
  const { window = { maxDelayMs: 100 }, maxItems = 500, maxBytes = 4 << 20, maxInFlight = 4 } = settings;
  const { maxHeldItems = 100_000, maxHeldBytes = 64 << 20, maxWaiting = 10_000 } = settings;
  const bounds = { window, maxItems, maxBytes, maxInFlight, maxHeldItems, maxHeldBytes, maxWaiting };
  return watchBatcher<SimulatedItem, void>({ ...bounds, ...lanesOf(settings), clock, sequenceOf: (item) => item.n });
}

/** What the settings say of lanes, if they do: order is then kept within a lane only. */
function lanesOf(settings: SimulatedBatcher): { laneOf?: (item: SimulatedItem) => string; maxInFlightPerLane?: number } {
  const { laneBy, maxInFlightPerLane = 1 } = settings as {
    laneBy?: (item: SimulatedItem) => string;
    maxInFlightPerLane?: number;
  };
  return laneBy === undefined ? {} : { laneOf: laneBy, maxInFlightPerLane };
}

interface Callers {
  ask(item: SimulatedItem): void;
  /** Callers that have no answer. */
  waiting(): number;
}

function callersOf(
  by: 'push' | 'add' | 'offer',
  batcher: Batcher<SimulatedItem>,
  watch: Watch<SimulatedItem, void> | undefined,
): Callers {
  let waiting = 0;
  const ask = (item: SimulatedItem) => {
    watch?.offered(item);
    if (by === 'offer') {
      batcher.offer(item);
      return;
    }
    const asked = by === 'push' ? batcher.push(item) : batcher.add(item);
    if (watch === undefined) return;
    waiting++;
    const told = (ok: boolean) => {
      waiting--;
      watch.told(item, ok && by === 'push');
    };
    asked.then(
      () => told(true),
      () => told(false),
    );
  };
  return { ask, waiting: () => waiting };
}

/** All that arrives at the same time arrives in one turn. */
function arriving(next: () => Arrival | undefined, ask: (item: SimulatedItem) => void, stirred: () => number): Happenings {
  let arrival = next();
  let n = 0;
  return {
    nextAt: () => arrival?.atMs ?? Number.POSITIVE_INFINITY,
    happen() {
      const atMs = arrival!.atMs;
      const before = stirred();
      while (arrival !== undefined && arrival.atMs === atMs) {
        ask({ n: n++, stream: arrival.stream, bytes: arrival.bytes, atMs });
        arrival = next();
      }
      return stirred() === before ? 'quiet' : 'stir';
    },
  };
}

function withSamples(happenings: Happenings, everyMs: number | undefined, sample: () => void): Happenings {
  if (everyMs === undefined) return happenings;
  let samples = 0;
  return {
    nextAt: () => Math.min(happenings.nextAt(), samples * everyMs),
    happen() {
      // What arrives at the time of a sample is in the next one.
      if (samples * everyMs > happenings.nextAt()) return happenings.happen();
      samples++;
      sample();
      return 'quiet';
    },
  };
}
