/** A schedule of a batcher: callers who come, leave, flush and close at random; a sink that does its worst; the watch looks on. */

import { type Batcher, type BatcherOptions, createBatcher, type Sink, SluiceError, type Window } from 'sluice';
import { bisect, type Layer, retry } from 'sluice/layers';
import { watchBatcher } from 'sluice/simulate';
import { type Draw, drawFrom } from './draw.js';
import { hostileSink, type Manners } from './hostile-sink.js';
import { countedSignal, isLive, type Played, script, worldOf } from './world.js';

/** What callers of a schedule send. */
export interface Sent {
  readonly n: number;
  readonly bytes: number;
  readonly lane: string;
}

type Options = BatcherOptions<Sent, number>;

/** Where a test plants a bug: between what is promised and what is there. */
export interface Planted {
  /** What the batcher is really made with. */
  options?(options: Options): Options;
  /** The sink as the batcher really sees it. */
  sink?(sink: Sink<Sent, number>): Sink<Sent, number>;
  /** The batcher as its callers really see it. */
  batcher?(batcher: Batcher<Sent, number>): Batcher<Sent, number>;
}

/** Plays the schedule of a seed. */
export async function playBatcher(
  seed: number,
  { planted = {}, traced = false }: { planted?: Planted; traced?: boolean } = {},
): Promise<Played> {
  const draw = drawFrom(seed);
  const trace: string[] = [];
  const { clock, env } = worldOf(
    seed,
    () => watch.step(batcher.stats()),
    (event) => {
      watch.observe(event);
      if (traced) trace.push(`${clock.now()} ${JSON.stringify(event)}`);
    },
  );
  const note = (what: string) => {
    if (traced) trace.push(`${clock.now()} ${what}`);
  };
  const promised = drawSettings(draw);
  const { manners, layers, lanes, ...bounds } = promised;
  const plain = layers.length === 0 && bounds.timeoutMs === Number.POSITIVE_INFINITY;
  const watch = watchBatcher<Sent, number>({
    ...bounds,
    ...(lanes > 1 ? { maxInFlightPerLane: 1, maxPassedOver: lanes * (bounds.maxItems + 12) * 2 } : {}),
    plain,
    clock,
    sequenceOf: (item) => item.n,
    ...(lanes > 1 ? { laneOf: (item: Sent) => item.lane } : {}),
  });
  let again = () => {};
  const inner = watch.sink(hostileSink(draw, clock, manners, () => again()));
  const made: Options = {
    ...bounds,
    ...(lanes > 1 ? ({ laneBy: (item: Sent) => item.lane } as object) : {}),
    sink: planted.sink?.(inner) ?? inner,
    layers: [watch.layer, ...layers],
    bytesOf: (item) => item.bytes,
    env,
  };
  note(JSON.stringify({ ...bounds, layers: layers.length, lanes, manners }));
  const real = createBatcher<Sent, number>(planted.options?.(made) ?? made);
  const batcher = planted.batcher?.(real) ?? real;

  const callers = callersOf(draw, batcher, watch, lanes, note);
  again = callers.ask;
  let closed = false;
  let reports = 0;
  const closing: Promise<void>[] = [];
  const close = (deadlineMs: number) => {
    note(`close ${deadlineMs}`);
    closed = true;
    closing.push(batcher.close({ deadlineMs }).then(() => void reports++));
  };
  const act = () => {
    const what = draw.int(0, 99);
    if (what < 70) callers.ask();
    else if (what < 90) callers.leave();
    else if (what < 98) {
      note('flush');
      closing.push(batcher.flush().then(() => void reports++));
    } else close(draw.pick([0, 5, 100, 1e7]));
  };
  const acts = script(draw, draw.int(1, 60), act);
  // No further than the script, and then no further than to the end of the close: a timer that is left running must be seen, not fired.
  await clock.run(Number.POSITIVE_INFINITY, acts, acts.isOver);
  if (!closed) close(draw.pick([0, 20, 1e7, 1e7]));
  await clock.run(Number.POSITIVE_INFINITY, undefined, () => reports === closing.length && watch.calls() === 0);
  if (reports < closing.length) watch.report('rest', `${closing.length - reports} flushes or closes are not over`);
  watch.rest(batcher.stats(), clock.timers, callers.waiting() + callers.listeners());
  return { violations: watch.violations, trace };
}

/** Windows and options that this version of the library knows: the schedules are to grow with it. */
const windows = (
  [
    { maxDelayMs: 0 },
    { maxDelayMs: 7 },
    { maxDelayMs: 50 },
    { everyMs: 30 },
    { throttleMs: 0 },
    { throttleMs: 25 },
    { quietMs: 5, maxDelayMs: 20 },
    'tick',
    'whileBusy',
  ] as unknown as Window[]
).filter((window) => isKnown({ window }));
const overflows = (['wait', 'reject', 'dropOldest', 'dropNewest'] as NonNullable<Options['overflow']>[]).filter((overflow) =>
  isKnown({ overflow }),
);
const knowsLanes = isKnown({ laneBy: () => '' } as object);

function isKnown(options: Partial<Options>): boolean {
  try {
    createBatcher<Sent, number>({ sink: { atomic: true, write: async (items) => items.map(({ n }) => n) }, ...options });
    return true;
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'INVALID_OPTION') return false;
    throw error;
  }
}

function drawSettings(draw: Draw) {
  const layers = draw.pick<readonly Layer<Sent, number>[]>([
    [],
    [],
    [retry({ maxAttempts: 3, baseMs: 10 })],
    [bisect({ maxExtraCalls: 8 })],
    [retry({ maxAttempts: 3, baseMs: 10 }), bisect({ maxExtraCalls: 8 })],
  ]);
  const timeoutMs = draw.pick([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 15, 40]);
  const lanes = knowsLanes ? draw.pick([1, 2, 5]) : 1;
  const atomic = lanes > 1 || draw.chance(0.3);
  const manners: Manners = {
    atomic,
    idempotent: draw.chance(0.5),
    fails: draw.chance(0.6),
    // Without a time-out a call that is never answered holds everything until the close.
    hangs: timeoutMs !== Number.POSITIVE_INFINITY && draw.chance(0.5),
    heedsAbort: draw.chance(0.5),
    slow: draw.chance(0.7),
  };
  return {
    window: draw.pick(windows),
    maxItems: draw.int(1, 6),
    maxBytes: draw.int(1, 40),
    maxInFlight: draw.int(1, 3),
    maxHeldItems: draw.int(1, 15),
    maxHeldBytes: draw.int(1, 100),
    maxWaiting: draw.int(0, 4),
    overflow: draw.pick(overflows),
    timeoutMs,
    layers,
    lanes,
    manners,
  };
}

function callersOf(
  draw: Draw,
  batcher: Batcher<Sent, number>,
  watch: ReturnType<typeof watchBatcher<Sent, number>>,
  lanes: number,
  note: (what: string) => void,
) {
  const signals: ReturnType<typeof countedSignal>[] = [];
  let next = 0;
  let waiting = 0;
  let echoes = 5;

  const told = (item: Sent, ok: boolean, value?: unknown) => {
    waiting--;
    note(`told ${item.n} ${ok ? 'ok' : 'failed'}`);
    watch.told(item, ok, value);
    // Whoever is told may ask again at once.
    if (echoes > 0 && draw.chance(0.1)) {
      echoes--;
      ask();
    }
  };

  const ask = () => {
    const item: Sent = { n: next++, bytes: draw.int(0, 12), lane: `lane ${draw.int(1, lanes)}` };
    const how = draw.pick(['offer', 'add', 'push', 'push'] as const);
    note(`${how} ${item.n} ${item.bytes} ${item.lane}`);
    watch.offered(item);
    if (how === 'offer') {
      if (batcher.offer(item) === 'accepted') watch.held(item);
      return;
    }
    const counted = draw.chance(0.5) ? draw.pick([countedSignal(), ...signals.filter(isLive).slice(-2)]) : undefined;
    if (counted !== undefined && !signals.includes(counted)) signals.push(counted);
    waiting++;
    const options = counted === undefined ? {} : { signal: counted.controller.signal };
    if (how === 'add')
      batcher.add(item, options).then(
        () => told(item, false),
        () => told(item, false),
      );
    else
      batcher.push(item, options).then(
        (value) => told(item, true, value),
        () => told(item, false),
      );
  };

  const leave = () => {
    const counted = signals[draw.int(0, Math.max(0, signals.length - 1))];
    if (counted === undefined) return;
    note('abort');
    counted.controller.abort();
  };

  return { ask, leave, waiting: () => waiting, listeners: () => signals.reduce((sum, counted) => sum + counted.listeners(), 0) };
}
