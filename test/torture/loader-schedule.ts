/** A schedule of a loader: callers who ask for the same few keys, leave, time out; a batch function that does its worst. */

import { createLoader, failure, tallyImbalance, type Window } from 'sluice';
import { retry } from 'sluice/layers';
import type { Invariant, Violation } from 'sluice/simulate';
import { type Draw, drawFrom } from './draw.js';
import { countedSignal, isLive, type Played, script, worldOf } from './world.js';

/** What the batch function answers for a key: the key, and when its call began, in steps. */
interface Answer {
  readonly key: number;
  readonly begun: number;
}

/** Where a test plants a bug. */
export interface PlantedLoader {
  /** The answer that a caller really gets. */
  answer?(answer: Answer): Answer;
  /** The call as the caller really makes it. */
  settleTwice?: boolean;
}

/** Plays the schedule of a seed. */
export async function playLoader(
  seed: number,
  { planted = {}, traced = false }: { planted?: PlantedLoader; traced?: boolean } = {},
): Promise<Played> {
  const draw = drawFrom(seed);
  const trace: string[] = [];
  const violations: Violation[] = [];
  const note = (what: string) => {
    if (traced) trace.push(`${clock.now()} ${what}`);
  };
  const report = (invariant: Invariant, what: string) => violations.push({ invariant, atMs: clock.now(), what });
  let asked = 0;
  const { clock, env } = worldOf(
    seed,
    () => {
      const { keys, ...calls } = loader.stats();
      if (tallyImbalance(calls) !== 0 || tallyImbalance(keys) !== 0) report('tally', JSON.stringify({ calls, keys }));
      if (calls.offered !== asked) report('tally', `it counts ${calls.offered} calls, of ${asked}`);
      if ([calls, keys].some((tally) => Object.values(tally).some((count) => typeof count === 'number' && count < 0)))
        report('tally', `negative: ${JSON.stringify({ calls, keys })}`);
      if (calls.held + calls.inFlight > settings.maxHeldWaiters) report('bounds', `${calls.held + calls.inFlight} calls wait`);
      if (keys.held + keys.inFlight > settings.maxHeldWaiters) report('bounds', `${keys.held + keys.inFlight} keys are held`);
    },
    (event) => note(JSON.stringify(event)),
  );
  const settings = {
    window: draw.pick<Window>(['tick', 'tick', 'whileBusy', { maxDelayMs: 0 }, { maxDelayMs: 10 }]),
    maxItems: draw.pick([1, 2, 5, 1000]),
    maxInFlight: draw.pick([1, 2, 1000]),
    maxHeldWaiters: draw.pick([3, 8, 1000]),
    timeoutMs: draw.pick([Number.POSITIVE_INFINITY, 40]),
  };
  note(JSON.stringify(settings));
  let steps = 0;
  let running = 0;
  let abandoned = false;

  const batchFn = async (keys: readonly number[], { signal }: { readonly signal: AbortSignal }) => {
    const begun = ++steps;
    note(`call ${keys.join()}`);
    if (keys.length === 0) report('bounds', 'a call for nothing');
    if (keys.length > settings.maxItems) report('bounds', `${keys.length} keys; maxItems is ${settings.maxItems}`);
    if (new Set(keys).size < keys.length) report('bounds', `a key is asked for twice in one call: ${keys.join()}`);
    running++;
    if (running > settings.maxInFlight && !abandoned) report('bounds', `${running} calls at once`);
    signal.addEventListener('abort', () => {
      abandoned = true;
    });
    try {
      const ms = settings.timeoutMs === 40 && draw.chance(0.2) ? draw.pick([60, 300]) : draw.pick([0, 0, 3, 25]);
      if (ms > 0) await new Promise<void>((resolve) => clock.after(ms, resolve));
    } finally {
      running--;
    }
    const how = draw.int(0, 11);
    if (how === 0) throw failure('the whole call', { class: draw.pick(['transient', 'permanent']) });
    if (how === 1) return keys.slice(1).map((key) => ({ key, begun }));
    const one = (key: number) =>
      how === 2 && key === 0 ? undefined : how === 3 && key === 1 ? failure('this key') : { key, begun };
    if (how < 7) return new Map(keys.map((key) => [key, one(key)]));
    return keys.map(one);
  };
  const loader = createLoader(batchFn, { ...settings, layers: draw.chance(0.4) ? [retry({ baseMs: 10 })] : [], env });

  const callers = callersOf(draw, loader, planted, { step: () => ++steps, report, note, asked: () => void asked++ });
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
    if (what < 75) callers.ask();
    else if (what < 90) callers.leave();
    else if (what < 98) {
      promised++;
      void loader.flush().then(() => reports++);
    } else close(draw.pick([0, 10, 1e7]));
  };
  const acts = script(draw, draw.int(1, 60), act);
  // No further than the script, and then no further than to the end of the close: a timer that is left running must be seen, not fired.
  await clock.run(Number.POSITIVE_INFINITY, acts, acts.isOver);
  if (!closed) close(draw.pick([0, 20, 1e7]));
  await clock.run(Number.POSITIVE_INFINITY, undefined, () => reports === promised && running === 0);
  const { keys, ...calls } = loader.stats();
  const left = {
    timers: clock.timers,
    waiting: callers.waiting(),
    listeners: callers.listeners(),
    held: calls.held,
    inFlight: calls.inFlight,
    keysHeld: keys.held,
    keysInFlight: keys.inFlight,
    reports: promised - reports,
  };
  if (Object.values(left).some((count) => count !== 0)) report('rest', `left behind: ${JSON.stringify(left)}`);
  return { violations, trace };
}

function callersOf(
  draw: Draw,
  loader: Pick<ReturnType<typeof createLoader<number, Answer>>, 'load' | 'find'>,
  planted: PlantedLoader,
  to: { step(): number; report(invariant: Invariant, what: string): void; note(what: string): void; asked(): void },
) {
  const signals: ReturnType<typeof countedSignal>[] = [];
  let waiting = 0;
  let echoes = 5;
  const ask = () => {
    const key = draw.int(0, 4);
    const finds = draw.chance(0.3);
    const at = to.step();
    const counted = draw.chance(0.4) ? draw.pick([countedSignal(), ...signals.filter(isLive).slice(-2)]) : undefined;
    if (counted !== undefined && !signals.includes(counted)) signals.push(counted);
    const timeoutMs = draw.chance(0.2) ? draw.pick([0, 5, 30]) : undefined;
    to.note(`${finds ? 'find' : 'load'} ${key}`);
    to.asked();
    waiting++;
    let times = 0;
    const told = (answer: Answer | undefined | 'failed') => {
      if (++times > 1) to.report('settledOnce', `a call for key ${key} was told twice`);
      else waiting--;
      if (answer === undefined && !finds) to.report('settledOnce', `load(${key}) got undefined`);
      if (typeof answer !== 'object') return;
      const given = planted.answer?.(answer) ?? answer;
      if (given.key !== key) to.report('settledOnce', `a call for key ${key} got key ${given.key}`);
      if (given.begun < at)
        to.report('boundary', `key ${key}, asked for at step ${at}, got a value of a call begun at step ${given.begun}`);
      if (echoes > 0 && draw.chance(0.1)) {
        echoes--;
        ask();
      }
    };
    const options = {
      ...(counted === undefined ? {} : { signal: counted.controller.signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    const answered = finds ? loader.find(key, options) : loader.load(key, options);
    const one = () => answered.then(told, () => told('failed'));
    void one();
    if (planted.settleTwice === true) void one();
  };
  const leave = () => signals[draw.int(0, Math.max(0, signals.length - 1))]?.controller.abort();
  return { ask, leave, waiting: () => waiting, listeners: () => signals.reduce((sum, counted) => sum + counted.listeners(), 0) };
}
