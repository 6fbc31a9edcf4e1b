/** A history of the durable log: appends, consumers that share groups, bad records, redrives, seeks; and processes that die at any step. */

import { failure, type Sink, type SinkContext } from 'sluice';
import {
  type Consumer,
  createConsumer,
  type Log,
  type LogRecord,
  memoryStore,
  type RedriveJob,
  redriveLetters,
} from 'sluice/log';
import { VirtualClock } from 'sluice/simulate';
import { type Draw, drawFrom } from './draw.js';
import { type Life, startLife } from './log-life.js';
import { type Broken, type LogModel, logModel, type ModelCall } from './log-model.js';
import { script } from './world.js';

/** What one history came to. */
export interface PlayedLog {
  readonly violations: readonly Broken[];
  readonly trace: readonly string[];
}

/** Where a test plants a bug: between the log and those who use it. */
export type PlantedLog = (log: Log, store: ReturnType<typeof memoryStore>) => Log;

const stream = 's';
const groups = ['g', 'h'];

/** Plays the history of a seed. */
export async function playLog(
  seed: number,
  { planted = (log) => log, traced = false }: { planted?: PlantedLog; traced?: boolean } = {},
): Promise<PlayedLog> {
  const draw = drawFrom(seed);
  const trace: string[] = [];
  const clock = new VirtualClock();
  const note = (what: string) => {
    if (traced) trace.push(`${clock.now()} ${what}`);
  };
  const store = memoryStore();
  const model = logModel(store, stream, () => clock.now());
  const settings = {
    partitions: draw.pick([1, 1, 2, 3]),
    risk: draw.pick([0, 0.002, 0.01, 0.03]),
    maxLetters: draw.pick([2, 1_000, 1_000]),
    badness: draw.pick([0, 0.1, 0.3]),
    strict: draw.pick([undefined, undefined, 'deadLetter', 'halt'] as const),
    atomic: draw.chance(0.5),
    hangs: draw.chance(0.3),
  };
  note(JSON.stringify(settings));
  const world: World = { draw, clock, store, model, note, settings, planted, traced, next: 0, isMended: false };
  for (let lives = draw.int(1, 5); lives > 0; lives--) await live(world, settings.risk, seed * 10 + lives);
  await liveInPeace(world, seed * 10);
  return { violations: model.broken, trace };
}

interface World {
  readonly draw: Draw;
  readonly clock: VirtualClock;
  readonly store: ReturnType<typeof memoryStore>;
  readonly model: LogModel;
  readonly note: (what: string) => void;
  readonly settings: {
    readonly partitions: number;
    readonly maxLetters: number;
    readonly badness: number;
    readonly strict: 'deadLetter' | 'halt' | undefined;
    readonly atomic: boolean;
    readonly hangs: boolean;
  };
  readonly planted: PlantedLog;
  readonly traced: boolean;
  /** Number of the next event. */
  next: number;
  /** Nothing fails any more. */
  isMended: boolean;
}

async function begin(world: World, risk: number, seed: number): Promise<{ readonly life: Life; readonly log: Log }> {
  const { clock, store, draw, note, settings, traced, planted } = world;
  const life = startLife({
    seed,
    clock,
    store,
    draw,
    risk,
    maxLetters: world.isMended ? 1_000_000 : settings.maxLetters,
    observe(event) {
      if (traced) note(JSON.stringify(event).slice(0, 300));
    },
    sought(group, partition, offset) {
      note(`${group} is at ${partition}/${offset}`);
      world.model.sought(group, partition, offset);
    },
    note,
  });
  note('a life begins');
  const log = planted(life.log, store);
  // Whoever reads the trace of a history wants to see every record: nothing is removed while this group has settled nothing.
  void log.defineStream(stream, { partitions: settings.partitions }).then(() => log.createGroup('keeper', stream));
  await clock.run(clock.now());
  return { life, log };
}

/** One process: it does this and that, until it dies, or the script is over and it stops or is killed. */
async function live(world: World, risk: number, seed: number): Promise<void> {
  const { draw, clock, note } = world;
  const { life, log } = await begin(world, risk, seed);
  if (!life.isAlive) return;
  const consumers: Consumer[] = [];
  const jobs: RedriveJob[] = [];
  const act = () => {
    if (!life.isAlive) return;
    const what = draw.int(0, 99);
    if (what < 45) append(world, log);
    else if (what < 60) void start(world, life, log, consumers);
    else if (what < 70) jobs.push(startRedrive(world, life, log));
    else if (what < 74) jobs[draw.int(0, jobs.length)]?.cancel();
    else if (what < 92) change(world, consumers, log);
    else if (what < 96) void log.letters.purge({ state: 'redriven' }, 3);
    else if (what < 98 && risk > 0) {
      note('killed');
      life.kill();
    }
  };
  const acts = script(draw, draw.int(5, 40), act);
  await clock.run(Number.POSITIVE_INFINITY, acts, () => acts.isOver() || !life.isAlive);
  const untilMs = clock.now() + draw.pick([0, 5, 40, 500]);
  await clock.run(untilMs, undefined, () => !life.isAlive);
  if (life.isAlive && draw.chance(0.6)) {
    note('stops');
    const drains = consumers.map((consumer) => consumer.drain({ deadlineMs: draw.pick([0, 10, 1_000]) }));
    await runUntil(world, life, Promise.all(drains), 60_000);
  }
  life.kill();
}

/** The last process: nothing fails any more and nobody dies. What has been promised must be kept by its end. */
async function liveInPeace(world: World, seed: number): Promise<void> {
  const { model, clock } = world;
  world.isMended = true;
  const { life, log } = await begin(world, 0, seed);
  const started = Promise.all(groups.map((group) => open(world, life, log, group)));
  const consumers = await runUntil(world, life, started, 1_000);
  if (consumers === undefined) return void model.report('rest', 'the consumers do not start');
  const isDone = async () => (await Promise.all(consumers.map((consumer) => consumer.lag()))).every((lag) => lag.items === 0);
  for (let tries = 0; tries < 200; tries++) {
    await clock.run(clock.now() + 100);
    // A record at which processes have died halts its partition for good: somebody must say that it may be passed.
    for (const consumer of consumers) {
      if (consumer.status().partitions.some(({ state }) => state === 'halted')) void consumer.resume({ parkHalted: true });
    }
    if (await runUntil(world, life, isDone(), 1_000)) break;
  }
  const drained = await runUntil(world, life, Promise.all(consumers.map((one) => one.drain({ deadlineMs: 5_000 }))), 60_000);
  if (drained === undefined) model.report('rest', 'the consumers do not drain');
  for (const report of drained ?? []) {
    if (report.leftInLog !== 0) model.report('lag', `the drain left ${report.leftInLog} in the log`);
  }
  for (const consumer of consumers) {
    const { broken, tally } = consumer.status();
    if (broken !== undefined) model.report('rest', `broken: ${broken.message}`);
    if (tally.held + tally.inFlight !== 0)
      model.report('rest', `held ${tally.held}, in flight ${tally.inFlight} after the drain`);
  }
  if (clock.timers > 0) model.report('rest', `${clock.timers} timers run after the drain`);
  model.rest(groups);
  life.kill();
}

/** Runs the clock until something has come, or for so long. */
async function runUntil<T>(world: World, life: Life, work: Promise<T>, mostMs: number): Promise<T | undefined> {
  let done: { readonly value: T } | undefined;
  work.then((value) => {
    done = { value };
  });
  await world.clock.run(world.clock.now() + mostMs, undefined, () => done !== undefined || !life.isAlive);
  return done?.value;
}

function append(world: World, log: Log): void {
  const { draw, model, note } = world;
  const events = Array.from({ length: draw.int(1, 5) }, () => {
    // Now and then one that was offered before: its producer did not hear of it.
    const n = world.next > 0 && draw.chance(0.1) ? draw.int(0, world.next - 1) : world.next++;
    const text = `payload of ${n}`;
    model.offered(`e${n}`, text);
    const key = n % 4 === 3 ? null : `k${n % 3}`;
    return { id: `e${n}`, key, tenant: '_', time: null, receivedAt: 0, payload: new TextEncoder().encode(text) };
  });
  note(`append ${events.map(({ id }) => id).join(' ')}`);
  void log.append(stream, events);
}

async function open(world: World, life: Life, log: Log, group: string): Promise<Consumer> {
  const { draw, settings } = world;
  return createConsumer({
    log,
    stream,
    group,
    sink: sinkOf(world, life, group),
    env: life.env,
    window: draw.pick([{ maxDelayMs: 5 }, 'whileBusy'] as const),
    maxItems: draw.int(1, 6),
    maxInFlight: draw.int(1, 3),
    maxAhead: draw.pick([3, 10, 1_000]),
    maxAheadBytes: draw.pick([1, 1_500, 1e6]),
    shards: draw.int(1, 3),
    timeoutMs: 40,
    handOverMs: draw.pick([0, 20, 1_000]),
    retry: { baseMs: 2, maxDelayMs: 20 },
    poison: { maxStarts: draw.pick([3, Number.POSITIVE_INFINITY]), maxBackOffMs: 50 },
    ...(settings.strict === undefined ? {} : { strict: settings.strict }),
  });
}

async function start(world: World, life: Life, log: Log, consumers: Consumer[]): Promise<void> {
  const group = world.draw.pick(groups);
  world.note(`start a consumer of ${group}`);
  consumers.push(await open(world, life, log, group));
}

function startRedrive({ draw, note }: World, life: Life, log: Log): RedriveJob {
  note('redrive');
  return redriveLetters(log, {
    env: life.env,
    perSecond: draw.pick([50, 1_000, Number.POSITIVE_INFINITY]),
    batchItems: draw.int(1, 4),
    ...(draw.chance(0.2) ? { limit: draw.int(1, 3) } : {}),
    ...(draw.chance(0.2) ? { filter: { state: 'redriven' } } : {}),
  });
}

function change({ draw, model, note, settings }: World, consumers: Consumer[], log: Log): void {
  const consumer = consumers[draw.int(0, Math.max(0, consumers.length - 1))];
  if (consumer === undefined) return;
  const what = draw.int(0, 9);
  note(`change ${consumer.group} ${what}`);
  if (what < 2) void consumer.pause();
  else if (what < 6) void consumer.resume({ parkHalted: draw.chance(0.3) });
  else if (what < 8) void consumer.drain({ deadlineMs: draw.pick([0, 20, 1_000]) });
  else {
    const partition = draw.int(0, settings.partitions - 1);
    const to = draw.pick(['start', { offset: draw.int(0, 20) }] as const);
    const { group } = consumer;
    // By a consumer of the group, which drains first; or behind its back, which fences it.
    const sought = what === 8 ? consumer.seek(to, partition) : log.seek(group, stream, partition, to);
    sought.catch((error) => model.report('rest', `seek failed: ${error.message}`));
  }
}

/** A sink that fails in every way, and notes what it has taken. */
function sinkOf(world: World, life: Life, group: string): Sink<LogRecord, undefined> {
  const { draw, clock, model, settings, note } = world;
  const isBad = ({ id }: LogRecord) => !world.isMended && (Number(id.slice(1)) * 7919) % 100 < settings.badness * 100;
  const bad = () => failure('bad row', { code: 'BAD_ITEM' });
  const write = async (call: ModelCall, records: readonly LogRecord[], context: SinkContext) => {
    await new Promise<void>((resolve) => void life.env.clock.after(draw.pick([0, 1, 5, 15]), resolve));
    if (!life.isAlive) return undefined;
    const luck = world.isMended ? 1 : draw.int(0, 99) / 100;
    if (luck < 0.1) throw failure('down', { class: 'transient', code: 'DOWN' });
    if (luck < 0.13) throw failure('no permission', { class: 'blocked', code: 'BLOCKED' });
    if (luck < 0.16 && settings.hangs) return hangUntilAborted(context.signal);
    if (settings.strict === 'halt' || settings.atomic) {
      if (!records.some(isBad)) {
        for (const record of records) model.ends(call, record, 'taken');
        return undefined;
      }
      if (records.length === 1) model.ends(call, records[0]!, 'refused');
      throw bad();
    }
    return records.map((record) => {
      const fails = isBad(record);
      if (!fails && luck < 0.3 && draw.chance(0.5)) return failure('not this one now', { class: 'transient', code: 'DOWN' });
      model.ends(call, record, fails ? 'refused' : 'taken');
      return fails ? bad() : undefined;
    });
  };
  return {
    idempotent: true,
    atomic: settings.atomic,
    // The signal is made when it is read, and costs as much as the rest of a call.
    async write(records, context) {
      note(`${group} call ${records.map((record) => `${record.partition}/${record.offset}`).join(' ')} at ${clock.now()}`);
      const call = model.begins(group, records);
      return life.step('sink', () => write(call, records, context));
    },
  };
}

function hangUntilAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise<undefined>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
}
