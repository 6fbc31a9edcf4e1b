/** Soak: the built service under load and faults for minutes; at the end everything acknowledged must be where it belongs, once or more as promised. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Arrived } from './accounts.js';
import { deck, faultsAround, faultsWithin } from './faults.js';
import { within } from './service.js';
import { createWorld, type World } from './world.js';

/** How to soak. */
export interface SoakOptions {
  /** Of the repository; it must have been built. */
  readonly root: string;
  readonly seed: number;
  /** From the first event to the last; what is in the log then is delivered after it. */
  readonly seconds: number;
  /** Told in a line of what happens. */
  readonly tell: (line: string) => void;
}

/** What a soak found. */
export interface SoakReport {
  /** Empty when all is well. */
  readonly problems: readonly string[];
  readonly acknowledged: number;
  /** How often each fault took place. */
  readonly faults: ReadonlyMap<string, number>;
  /** Faults that this machine does not allow. */
  readonly leftOut: readonly string[];
  /** Answers to senders, by status and code. */
  readonly answers: ReadonlyMap<string, number>;
  readonly scrapes: number;
  /** The most anonymous memory that was seen, in bytes, and the last; 0 where it cannot be read. */
  readonly memory: { readonly most: number; readonly last: number };
  readonly lives: number;
}

/** How long the sinks may take to catch up after the last fault. */
const catchUpMs = 60_000;

/** Anonymous memory that a service may have, in bytes, whatever happens. */
const mostMemory = 250 * 2 ** 20;

/** Runs one. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { root, seed, seconds, tell } = options;
  const world = await createWorld(root, seed);
  const faults = new Map<string, number>();
  const watch = watchService(world);
  try {
    await injectFaults(world, performance.now() + seconds * 1_000, (name) => {
      faults.set(name, (faults.get(name) ?? 0) + 1);
      tell(name);
    });
    await world.senders.stop();
    tell('no more faults, no more events: the sinks catch up');
    await caughtUp(world);
    const dead = await world.control.letters();
    const { scrapes, memory } = await watch.stop();
    if (memory.most > mostMemory) world.report(`the service had ${memory.most} bytes of anonymous memory`);
    const { code, out, err } = await world.service.end('SIGTERM');
    if (code !== 0 || !/^ {2}lost +0\b/m.test(out) || !/^ {2}left in the log +0\b/m.test(out))
      world.report(`the last stop ended with ${code}:\n${out.slice(-800)}${err}`);
    for (const arrived of await arrivedIn(world, dead)) {
      const { pipeline, counts } = arrived;
      tell(
        `${pipeline}: ${counts.size} events, ${world.accounts.doubled(arrived)} of them more than once, ${arrived.dead.size} dead`,
      );
      for (const problem of world.accounts.compare(arrived)) world.report(problem);
    }
    return {
      ...{ problems: world.problems, faults, scrapes, memory },
      acknowledged: world.accounts.acknowledged,
      leftOut: world.disk === undefined ? ['the disk is nearly full: only root can mount a small one'] : [],
      answers: world.senders.answers,
      lives: world.service.life,
    };
  } finally {
    await watch.stop();
    await world.clear();
  }
}

/** One fault around the service and one within it at a time, begun apart by a random moment. */
async function injectFaults(world: World, until: number, onFault: (name: string) => void): Promise<void> {
  const { draw } = world;
  const around = deck(faultsAround(world), draw);
  const within_ = deck(faultsWithin(world), draw);
  while (performance.now() < until) {
    await Promise.all(
      [around(), within_()].map(async ({ name, run }) => {
        await sleep(draw.int(0, 1_000));
        onFault(name);
        await run();
      }),
    );
    await sleep(draw.int(100, 1_000));
  }
}

/** Scrapes the metrics twice a second and reads the memory. */
function watchService({ control, service, report }: World) {
  let running = true;
  let scrapes = 0;
  let most = 0;
  let last = 0;
  const watching = (async () => {
    while (running) {
      const unbalanced = await control.imbalances();
      if (unbalanced !== undefined) scrapes++;
      for (const one of unbalanced ?? []) report(`the tally of ${one} is not balanced`);
      last = service.memory() ?? last;
      most = Math.max(most, last);
      await sleep(500);
    }
  })();
  return {
    async stop() {
      running = false;
      await watching;
      return { scrapes, memory: { most, last } };
    },
  };
}

async function caughtUp({ control }: World): Promise<void> {
  let lag = 0;
  const empty = async () => {
    do {
      await sleep(100);
      lag = await control.lag();
    } while (lag > 0);
  };
  await within(catchUpMs, empty(), 'the pipelines did not catch up').catch(async (error: Error) => {
    throw new Error(`${error.message}; ${lag} events wait: ${JSON.stringify(await control.ask('GET', '/v1/pipelines'))}`);
  });
}

/** What each sink holds in the end. */
async function arrivedIn(
  { folder, database, receiver }: World,
  dead: ReadonlyMap<string, ReadonlySet<string>>,
): Promise<Arrived[]> {
  const rows = await database.query<{ id: string; n: number }>('SELECT id, count(*)::int AS n FROM orders GROUP BY id');
  const archive = join(folder, 'archive');
  const lines = readdirSync(archive).flatMap((file) => linesOf(join(archive, file)).map((line) => JSON.parse(line).id as string));
  const counted: [string, Arrived['stream'], ReadonlyMap<string, number>][] = [
    ['once', 'orders', new Map(rows.map(({ id, n }) => [id, n]))],
    ['archive', 'orders', countsOf(lines)],
    ['hook', 'calls', receiver.counts],
    ['local', 'notes', countsOf(linesOf(join(folder, 'notes.txt')))],
  ];
  return counted.map(([pipeline, stream, counts]) => ({
    ...{ pipeline, stream, counts },
    dead: dead.get(pipeline) ?? new Set(),
    refusesMarked: pipeline === 'once' || pipeline === 'local',
    mayDouble: pipeline !== 'once',
  }));
}

function linesOf(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

function countsOf(ids: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}
