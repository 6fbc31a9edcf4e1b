/** A schedule of a batcher: callers who come, leave, flush and close at random; a sink that does its worst; the watch looks on. */

import { type Batcher, type BatcherOptions, createBatcher, type Env, type Sink, SluiceError } from 'sluice';
import { type Watch, watchBatcher } from 'sluice/simulate';
import { drawSettings, type Sent, type Settings } from './batcher-settings.js';
import { combinedSink } from './combined-sink.js';
import { type Draw, drawFrom } from './draw.js';
import { hostileSink } from './hostile-sink.js';
import { keyOf } from './layer-draw.js';
import { countedSignal, isLive, type Played, script, stillClock, worldOf } from './world.js';

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

/** How a schedule is played. */
export interface Playing {
  readonly planted?: Planted;
  /** Whether events are noted. Default false. */
  readonly traced?: boolean;
  /**
   * Arrivals come by the hundred in one run of code, for which time stands still, as the system's clock lets it: most of them bare values,
   * which are let in by bursts. Default false: each arrival asks the clock.
   */
  readonly still?: boolean;
}

/** Plays the schedule of a seed, with time that stands still for whole bursts of arrivals. */
export function playStill(seed: number, playing: Playing = {}): Promise<Played> {
  return playBatcher(seed, { ...playing, still: true });
}

/** Plays the schedule of a seed. */
export async function playBatcher(seed: number, { planted = {}, traced = false, still = false }: Playing = {}): Promise<Played> {
  const draw = drawFrom(seed);
  const trace: string[] = [];
  const { clock, env } = worldOf(
    seed,
    () => stand.step(),
    (event) => {
      stand.watch.observe(event);
      if (traced) trace.push(`${clock.now()} ${JSON.stringify(event)}`);
    },
  );
  const note = (what: string) => {
    if (traced) trace.push(`${clock.now()} ${what}`);
  };
  const stand = standOf(draw, still ? { ...env, clock: stillClock(clock) } : env, planted, note, still);
  const { batcher, watch, callers, settings } = stand;

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
    if (still && what < 40) callers.storm();
    else if (what < 65) callers.ask();
    else if (what < 85) callers.leave();
    else if (what < 93) {
      note('flush');
      closing.push(batcher.flush().then(() => void reports++));
    } else if (what < 97) stand.resume();
    else if (what === 97 && settings.shape === 'keys') {
      note('reshard');
      batcher.reshard(draw.int(1, 4));
    } else close(draw.pick([0, 5, 100, 1e7]));
  };
  const acts = script(draw, draw.int(1, 60), act);
  // No further than the script, and then no further than to the end of the close: a timer that is left running must be seen, not fired.
  await clock.run(Number.POSITIVE_INFINITY, acts, acts.isOver);
  if (draw.chance(0.7)) stand.resume();
  if (!closed) close(draw.pick([0, 20, 1e7, 1e7]));
  await clock.run(Number.POSITIVE_INFINITY, undefined, () => reports === closing.length && watch.calls() === 0);
  if (reports < closing.length) watch.report('rest', `${closing.length - reports} flushes or closes are not over`);
  if (settings.drawn.lingers) await clock.run(clock.now() + 20_000, undefined, () => clock.timers === 0);
  stand.rest(clock.timers);
  return { violations: watch.violations, trace };
}

/** A batcher that is watched, with a hostile sink, and its callers. */
export interface Stand {
  readonly batcher: Batcher<Sent, number>;
  readonly watch: Watch<Sent, number>;
  readonly callers: Callers;
  readonly settings: Settings;
  /** Lets halted lanes go on. */
  resume(): void;
  /** Checks what must hold between any two turns. */
  step(): void;
  /** Checks what must hold when all is over. */
  rest(timers: number): void;
}

/** Makes a batcher of drawn settings. */
export function standOf(draw: Draw, env: Env, planted: Planted, note: (what: string) => void, still = false): Stand {
  const { clock } = env;
  const settings = drawSettings(draw, env, still);
  const { options, drawn, manners, plain, promised } = settings;
  const watch = watchBatcher<Sent, number>({ ...promised, plain, clock, sequenceOf: (item) => item.n });
  let again = () => {};
  let dropsTold = 0;
  const hostile = hostileSink<Sent>(draw, clock, manners, () => again());
  const inner = options.combine === undefined ? watch.sink(hostile) : combinedSink(hostile, watch.sink);
  const made: Options = {
    ...options,
    sink: planted.sink?.(inner) ?? inner,
    layers: [watch.layer, ...drawn.layers],
    // What is measured is no bare value.
    ...(settings.bare ? {} : { bytesOf: (item: Sent) => item.bytes }),
    onDrop: () => void dropsTold++,
    env,
  };
  note(JSON.stringify({ ...options, layers: drawn.names, shape: settings.shape, manners }));
  const real = createBatcher<Sent, number>(planted.options?.(made) ?? made);
  const batcher = planted.batcher?.(real) ?? real;
  const callers = callersOf(draw, batcher, watch, settings, note);
  again = () => callers.ask();
  return {
    batcher,
    watch,
    callers,
    settings,
    resume() {
      note('resume');
      watch.resumed();
      batcher.resume();
    },
    step: () => watch.step(batcher.stats()),
    rest(timers) {
      const stats = batcher.stats();
      watch.rest(stats, timers, callers.waiting() + callers.listeners());
      const { dropOldest, dropNewest } = stats.drops;
      if (dropsTold !== dropOldest + dropNewest)
        watch.report('tally', `${dropOldest + dropNewest} items were dropped for want of room, and ${dropsTold} handed over`);
      checkLetters(settings, batcher, callers.deadLetterIds, watch);
    },
  };
}

/** Who was told that its item is a dead letter finds it; and no letter is there for nothing. */
function checkLetters(
  { drawn }: Settings,
  batcher: Batcher<Sent, number>,
  told: ReadonlyMap<number, string>,
  watch: Watch<Sent, number>,
): void {
  if (drawn.letters === undefined) return;
  for (const [n, id] of told) {
    const letter = drawn.letters.get(id);
    const same = letter?.value.n === n || (drawn.sharesKeys && letter !== undefined && keyOf(letter.value.n) === keyOf(n));
    if (!same)
      watch.report('settledOnce', `item ${n} is said to be dead letter ${id}, which is ${JSON.stringify(letter?.value)}`);
  }
  const { dead, cancelled, dropped } = batcher.stats();
  const letters = drawn.letters.stats().parked;
  // Who leaves, or is dropped at a deadline, while its letter is parked, is counted as that; as is what a layer beneath others parked.
  const most = drawn.inOrder ? dead + cancelled + dropped : Number.POSITIVE_INFINITY;
  if (!drawn.sharesKeys && (letters < dead || letters > most))
    watch.report('tally', `${letters} letters were parked, ${dead} items are counted as dead`);
}

/** Those who send. */
export interface Callers {
  /** One more item, for whoever sends it himself. */
  make(): Sent;
  /** One more item, offered, added or pushed. */
  ask(): void;
  /** Very many are offered, and something else comes between them now and then. */
  storm(): void;
  /** One of them leaves. */
  leave(): void;
  waiting(): number;
  listeners(): number;
  /** Of the items that were pushed: which became which dead letter. */
  readonly deadLetterIds: ReadonlyMap<number, string>;
}

function callersOf(
  draw: Draw,
  batcher: Batcher<Sent, number>,
  watch: Watch<Sent, number>,
  { groups, bare }: Settings,
  note: (what: string) => void,
): Callers {
  const signals: ReturnType<typeof countedSignal>[] = [];
  const deadLetterIds = new Map<number, string>();
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

  const failed = (item: Sent, error: unknown) => {
    if (!(error instanceof SluiceError))
      watch.report('settledOnce', `item ${item.n} got what is no SluiceError: ${String(error)}`);
    else if (error.deadLetterId !== undefined) deadLetterIds.set(item.n, error.deadLetterId);
    told(item, false);
  };

  const make = (): Sent => ({ n: next++, bytes: bare ? 0 : draw.int(0, 12), group: `group ${draw.int(1, groups)}` });

  const ask = (how = draw.pick(['offer', 'add', 'push', 'push', 'ack'] as const)) => {
    const item = make();
    note(`${how} ${item.n} ${item.bytes} ${item.group}`);
    watch.offered(item);
    if (how === 'offer') {
      if (batcher.offer(item) === 'accepted') watch.held(item);
      return;
    }
    const counted = draw.chance(0.5) ? draw.pick([countedSignal(), ...signals.filter(isLive).slice(-2)]) : undefined;
    if (counted !== undefined && !signals.includes(counted)) signals.push(counted);
    waiting++;
    const options = counted === undefined ? {} : { signal: counted.controller.signal };
    const fails = (error: unknown) => failed(item, error);
    if (how === 'add') batcher.add(item, options).then(() => told(item, false), fails);
    else if (how === 'push') batcher.push(item, options).then((value) => told(item, true, value), fails);
    else batcher.ack(item, options).then(({ value }) => told(item, true, value), fails);
  };

  const storm = () => {
    for (let left = draw.pick([1, 20, 60, 200]); left > 0; left--) {
      const what = draw.int(0, 199);
      if (what > 3) ask('offer');
      else if (what === 3) ask();
      else if (what === 2) leave();
      else if (what === 1) void batcher.flush();
      else watch.step(batcher.stats());
    }
  };

  const leave = () => {
    const counted = signals[draw.int(0, Math.max(0, signals.length - 1))];
    if (counted === undefined) return;
    note('abort');
    counted.controller.abort();
  };

  return {
    make,
    ask,
    storm,
    leave,
    waiting: () => waiting,
    listeners: () => signals.reduce((sum, counted) => sum + counted.listeners(), 0),
    deadLetterIds,
  };
}
