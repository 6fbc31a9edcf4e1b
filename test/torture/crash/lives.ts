/** Lives: a program that works on one store, crashes at a random moment, and starts again; and again. */

import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Draw, drawFrom } from '../draw.js';
import { beginLife, type Life } from './life.js';
import { createWitness, type WitnessCounts } from './witness.js';

/** What is to crash, and how. */
export interface CrashOptions {
  /** A built `program.ts`. */
  readonly program: string;
  /** An empty folder; the store lies below it. Its owner removes it. */
  readonly folder: string;
  readonly seed: number;
  readonly crashes: number;
  /** A built `powercut.c`: then each crash is a power cut, and what was not synced is lost. Without it the processes are killed and no more. */
  readonly powercut?: string;
  /** Most reports of work before a crash. Default 300. */
  readonly mostReports?: number;
  /** Told after each start that was compared. */
  readonly onStart?: (crashes: number, counts: WitnessCounts) => void;
}

/** What became of it. */
export interface CrashReport {
  readonly crashes: number;
  /** Starts after which the store was compared with what it had promised. */
  readonly compared: number;
  readonly counts: WitnessCounts;
  /** Promises that were broken; empty when all is well. */
  readonly broken: readonly string[];
}

// Longer than any start or end takes on a machine that is busy with other things.
const patienceMs = 60_000;

/** Crashes and starts again, until so many crashes are done or a promise is broken. After the last one the program closes the store in order. */
export async function crashAgain(options: CrashOptions): Promise<CrashReport> {
  const { folder, seed, crashes } = options;
  const draw = drawFrom(seed);
  const witness = createWitness();
  const broken: string[] = [];
  /** Reports until the crash. */
  let left = 0;
  let crashNow = () => {};
  const hear: Parameters<typeof beginLife>[2] = (report) => {
    const problem = witness.hear(report);
    if (problem !== undefined) broken.push(problem);
    if (--left === 0) crashNow();
  };
  const prepare = (life: number) => beginLife(options.program, environment(life), hear);
  let compared = 0;
  let crashed = 0;
  // The next process loads its modules while this one works: half the time of a life would go there.
  let next: Life | undefined = prepare(0);
  try {
    while (broken.length === 0) {
      const life = next;
      next = crashed < crashes ? prepare(crashed + 1) : undefined;
      const crash = drawCrash(draw, options.mostReports ?? 300);
      const again = witness.begin(crashed);
      const cancelPatience = after(patienceMs, () => {
        broken.push(`nothing was heard for ${patienceMs} ms`);
        life.kill();
      });
      const found = life.open({ path: storeOf(crashed), life: crashed, seed, again });
      if (next !== undefined && crash.in === 'start') after(crash.ms, life.kill);
      const seen = await found;
      if (seen !== undefined) {
        compared++;
        broken.push(...witness.compare(seen));
        options.onStart?.(crashed, witness.counts);
        const end = () => void after(crash.ms, next === undefined ? life.close : life.kill);
        left = crash.reports;
        crashNow = end;
        life.work();
        if (left === 0) end();
      }
      const { code, signal, stderr } = await life.ended;
      cancelPatience();
      const expected = next === undefined ? code === 0 : signal === 'SIGKILL';
      if (!expected) broken.push(`the program ended by itself (${signal ?? `exit code ${code}`}): ${stderr.trim()}`);
      if (next === undefined) break;
      if (options.powercut !== undefined) cutPower(crashed);
      crashed++;
    }
  } finally {
    next?.kill();
    await next?.ended;
  }
  const where = `seed ${seed}, after ${crashed} crashes`;
  return { crashes: crashed, compared, counts: witness.counts, broken: broken.map((what) => `${where}: ${what}`) };

  function environment(life: number): NodeJS.ProcessEnv {
    const { powercut } = options;
    if (powercut === undefined) return process.env;
    mkdirSync(diskOf(life), { recursive: true });
    return {
      ...process.env,
      LD_PRELOAD: powercut,
      POWERCUT_STORE: storeOf(life),
      POWERCUT_DISK: diskOf(life),
      POWERCUT_SEED: String(seed * 10_007 + life),
    };
  }

  /** What was on the disk is what the next life finds. */
  function cutPower(life: number): void {
    const kept = diskOf(life);
    const data = join(kept, 'data.mdb');
    const [store, disk] = [storeOf(life + 1), diskOf(life + 1)];
    if (existsSync(data)) {
      mkdirSync(store, { recursive: true });
      cpSync(data, join(store, 'data.mdb'));
      cpSync(data, join(disk, 'data.mdb'));
      // Its content says nothing after a restart, and whether it is there is anyone's guess.
      const lock = join(storeOf(life), 'lock.mdb');
      if (draw.chance(0.5) && existsSync(lock)) cpSync(lock, join(store, 'lock.mdb'));
    }
    rmSync(storeOf(life), { recursive: true, force: true });
    rmSync(kept, { recursive: true, force: true });
  }

  function storeOf(life: number): string {
    return join(folder, options.powercut === undefined ? 'store' : `store-${life}`);
  }

  function diskOf(life: number): string {
    return join(folder, `disk-${life}`);
  }
}

/** When to crash: while the store is opened or read, or so many milliseconds after so many reports of work. */
interface Moment {
  readonly in: 'start' | 'work';
  readonly reports: number;
  readonly ms: number;
}

/** Counted in reports, so that a busy machine gets as far as an idle one. */
function drawCrash(draw: Draw, most: number): Moment {
  if (draw.chance(0.125)) return { in: 'start', reports: 0, ms: draw.int(0, 60) };
  return { in: 'work', reports: draw.chance(0.6) ? draw.int(0, 40) : draw.int(40, most), ms: draw.int(0, 20) };
}

function after(ms: number, fn: () => void): () => void {
  const timer = setTimeout(fn, ms);
  return () => clearTimeout(timer);
}
