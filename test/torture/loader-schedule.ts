/** A schedule of a loader: callers who ask for the same few keys, leave, time out; a batch function that does its worst. */

import { type BatchContext, createLoader, failure, type Loader, type LoaderOptions, type Window } from 'sluice';
import { type LoaderWatch, watchLoader } from 'sluice/simulate';
import { type Draw, drawFrom } from './draw.js';
import { drawReadLayers } from './layer-draw.js';
import { countedSignal, isLive, type Played, script, worldOf } from './world.js';

/** What the batch function answers for a key: the key, and in which call. */
interface Answer {
  readonly key: number;
  readonly call: number;
}

/** Where a test plants a bug: between what is promised and what is there. */
export interface PlantedLoader {
  /** The answer that a caller really gets. */
  answer?(answer: Answer): Answer;
  /** Callers are told twice. */
  settleTwice?: boolean;
  /** What the loader is really made with. */
  options?(options: LoaderOptions<number, Answer>): LoaderOptions<number, Answer>;
  /** The loader as its callers really see it. */
  loader?(loader: Loader<number, Answer>): Loader<number, Answer>;
}

/** Plays the schedule of a seed. */
export async function playLoader(
  seed: number,
  { planted = {}, traced = false }: { planted?: PlantedLoader; traced?: boolean } = {},
): Promise<Played> {
  const draw = drawFrom(seed);
  const trace: string[] = [];
  const note = (what: string) => {
    if (traced) trace.push(`${clock.now()} ${what}`);
  };
  const { clock, env } = worldOf(
    seed,
    () => watch.step(loader.stats()),
    (event) => {
      watch.observe(event);
      note(JSON.stringify(event));
    },
  );
  const drawn = drawReadLayers<number, Answer>(draw);
  const settings = drawSettings(draw);
  const partition = draw.chance(0.2) ? (key: unknown) => (key as number) % 2 : undefined;
  const watch = watchLoader<number, Answer>({
    ...settings,
    clock,
    cached: settings.cache !== undefined,
    refuses: drawn.refuses,
    originOf: (answer) => answer,
    ...(partition === undefined ? {} : { partitionOf: partition }),
  });
  note(JSON.stringify({ ...settings, layers: drawn.names, partition: partition !== undefined }));
  const made: LoaderOptions<number, Answer> = {
    ...settings,
    ...(partition === undefined ? {} : { partition }),
    layers: [watch.layer, ...drawn.layers],
    env,
  };
  let passing = 0;
  const pass = async (ms: number) => {
    passing++;
    await new Promise<void>((resolve) => void clock.after(ms, resolve));
    passing--;
  };
  const batchFn = hostileBatch(draw, watch, pass, settings, note);
  const real = createLoader<number, Answer>(batchFn, planted.options?.(made) ?? made) as Loader<number, Answer>;
  const loader = planted.loader?.(real) ?? real;

  const callers = callersOf(draw, loader, planted, watch, settings.cache !== undefined, note);
  let closed = false;
  let reports = 0;
  let promised = 0;
  const close = (deadlineMs: number) => {
    note(`close ${deadlineMs}`);
    closed = true;
    promised++;
    void loader.close({ deadlineMs }).then(() => reports++);
  };
  const act = () => {
    const what = draw.int(0, 99);
    if (what < 70) callers.ask();
    else if (what < 84) callers.leave();
    else if (what < 90) callers.change();
    else if (what < 98) {
      promised++;
      note('flush');
      void loader.flush().then(() => reports++);
    } else close(draw.pick([0, 10, 1e7]));
  };
  const acts = script(draw, draw.int(1, 60), act);
  // No further than the script, and then no further than to the end of the close: a timer that is left running must be seen, not fired.
  await clock.run(Number.POSITIVE_INFINITY, acts, acts.isOver);
  if (!closed) close(draw.pick([0, 20, 1e7]));
  await clock.run(Number.POSITIVE_INFINITY, undefined, () => reports === promised && watch.running() + passing === 0);
  watch.rest(loader.stats(), clock.timers);
  if (reports < promised) watch.report('rest', `${promised - reports} flushes or closes are not over`);
  if (callers.listeners() > 0) watch.report('rest', `${callers.listeners()} listeners are left on the signals of callers`);
  return { violations: watch.violations, trace };
}

function drawSettings(draw: Draw) {
  const maxHeldWaiters = draw.pick([3, 8, 1000]);
  return {
    window: draw.pick<Window>([
      'tick',
      'tick',
      'whileBusy',
      { maxDelayMs: 0 },
      { maxDelayMs: 10 },
      { throttleMs: 15 },
      { quietMs: 3, maxDelayMs: 12 },
    ]),
    maxItems: draw.pick([1, 2, 5, 1000]),
    maxInFlight: draw.pick([1, 2, 1000]),
    maxHeldWaiters,
    maxHeldKeys: draw.pick([2, 1000]),
    timeoutMs: draw.pick([Number.POSITIVE_INFINITY, 40]),
    ...(draw.chance(0.3)
      ? { cache: { maxItems: draw.pick([1, 3, 100]), ...(draw.chance(0.5) ? { ttlMs: 20, errorTtlMs: 5 } : {}) } }
      : {}),
  };
}

/** A batch function that answers in every way that it may, late, in part, wrongly, or not at all. */
function hostileBatch(
  draw: Draw,
  watch: LoaderWatch<number, Answer>,
  pass: (ms: number) => Promise<void>,
  { timeoutMs }: { readonly timeoutMs: number },
  note: (what: string) => void,
) {
  return async (keys: readonly number[], { resolve, reject }: BatchContext<number>) => {
    const { call, end } = watch.begun(keys);
    note(`call ${call}: ${keys.join()}`);
    const how = draw.int(0, 13);
    const one = (key: number) =>
      how === 2 && key === 0 ? undefined : how === 3 && key === 1 ? failure('this key') : { key, call };
    try {
      // Told before the call has ended, in one way or in two.
      if (draw.chance(0.15)) resolve(keys[0]!, { key: keys[0]!, call });
      if (draw.chance(0.05)) reject(keys.at(-1)!, failure('early'));
      const ms = timeoutMs === 40 && draw.chance(0.2) ? draw.pick([60, 300]) : draw.pick([0, 0, 3, 25]);
      if (ms > 0) await pass(ms);
    } finally {
      end();
    }
    if (how === 0) throw failure('the whole call', { class: draw.pick(['transient', 'permanent', 'blocked']) });
    if (how === 1) return keys.slice(1).map((key) => ({ key, call }));
    if (how === 13) return eachLater(keys, one, pass, draw);
    if (how < 7) return new Map(keys.map((key) => [key, one(key)]));
    return keys.map(one);
  };
}

async function* eachLater<V>(keys: readonly number[], one: (key: number) => V, pass: (ms: number) => Promise<void>, draw: Draw) {
  for (const key of keys) {
    if (draw.chance(0.3)) await pass(2);
    if (draw.chance(0.1)) throw failure('halfway', { class: 'transient' });
    yield [key, one(key)] as const;
  }
}

function callersOf(
  draw: Draw,
  loader: Loader<number, Answer>,
  planted: PlantedLoader,
  watch: LoaderWatch<number, Answer>,
  cached: boolean,
  note: (what: string) => void,
) {
  const signals: ReturnType<typeof countedSignal>[] = [];
  let echoes = 5;

  const drawOptions = () => {
    const counted = draw.chance(0.4) ? draw.pick([countedSignal(), ...signals.filter(isLive).slice(-2)]) : undefined;
    if (counted !== undefined && !signals.includes(counted)) signals.push(counted);
    const timeoutMs = draw.chance(0.2) ? draw.pick([0, 5, 30]) : undefined;
    return {
      ...(counted === undefined ? {} : { signal: counted.controller.signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
  };

  const follow = (asked: ReturnType<typeof watch.asked>, finds: boolean, answered: Promise<Answer | undefined>) => {
    const told = (answer: Answer | undefined) => {
      if (answer === undefined && !finds) watch.report('settledOnce', 'load got undefined');
      asked(answer === undefined ? { kind: 'missing' } : { kind: 'value', value: planted.answer?.(answer) ?? answer });
      if (echoes > 0 && draw.chance(0.1)) {
        echoes--;
        ask();
      }
    };
    const one = () => answered.then(told, () => asked({ kind: 'failed' }));
    void one();
    if (planted.settleTwice === true) void one();
  };

  const ask = () => {
    if (draw.chance(0.1)) return askMany();
    const key = draw.int(0, 4);
    const finds = draw.chance(0.3);
    note(`${finds ? 'find' : 'load'} ${key}`);
    const asked = watch.asked(key);
    follow(asked, finds, finds ? loader.find(key, drawOptions()) : loader.load(key, drawOptions()));
  };

  const askMany = () => {
    const keys = Array.from({ length: draw.int(0, 4) }, () => draw.int(0, 4));
    note(`loadSettled ${keys.join()}`);
    const asked = keys.map((key) => watch.asked(key));
    loader.loadSettled(keys, drawOptions()).then((ends) =>
      ends.forEach((end, i) => {
        asked[i]!(
          end.status === 'fulfilled' ? { kind: 'value', value: planted.answer?.(end.value) ?? end.value } : { kind: 'failed' },
        );
      }),
    );
  };

  /** Somebody knows better: a key is cleared, primed, or all are cleared. */
  const change = () => {
    const key = draw.int(0, 4);
    const how = draw.pick(['clear', 'prime', 'clearAll'] as const);
    note(`${how} ${key}`);
    if (how === 'clearAll') {
      watch.cleared();
      loader.clearAll();
    } else if (how === 'clear') {
      watch.cleared(key);
      loader.clear(key);
    } else {
      const call = watch.cleared(key);
      loader.prime(key, { key, call: cached ? call : 0 });
    }
  };

  const leave = () => {
    note('abort');
    signals[draw.int(0, Math.max(0, signals.length - 1))]?.controller.abort();
  };
  return { ask, change, leave, listeners: () => signals.reduce((sum, counted) => sum + counted.listeners(), 0) };
}
