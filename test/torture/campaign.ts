/** Campaign: schedules by the thousand, until the first that breaks a promise. */

import { playBatcher, playStill } from './batcher-schedule.js';
import { playLoader } from './loader-schedule.js';
import { playLog } from './log-schedule.js';
import { playTwoSpeed } from './two-speed-schedule.js';

/** What one schedule came to. */
interface Played {
  readonly violations: readonly { readonly invariant: string; readonly atMs: number; readonly what: string }[];
  readonly trace: readonly string[];
}

/** What can be tortured. */
export const players: { readonly [name: string]: (seed: number, options?: { traced?: boolean }) => Promise<Played> } = {
  batcher: playBatcher,
  still: playStill,
  'two-speed': playTwoSpeed,
  loader: playLoader,
  log: playLog,
};

/** A schedule that broke a promise. */
export interface Found {
  readonly seed: number;
  /** What was broken, what happened before it, and how to see it again. */
  readonly message: string;
}

/** Plays the schedules of `count` seeds from `from` on; stops at the first that breaks a promise, and tells the last `lines` of its events. */
export async function campaign(name: string, from: number, count: number, lines = 80): Promise<Found | undefined> {
  const play = players[name]!;
  for (let seed = from; seed < from + count; seed++) {
    let problem: string | undefined;
    try {
      const { violations } = await play(seed);
      if (violations.length > 0)
        problem = violations.map(({ invariant, atMs, what }) => `  ${invariant} at ${atMs} ms: ${what}`).join('\n');
    } catch (error) {
      problem = `  ${error instanceof Error ? error.stack : String(error)}`;
    }
    if (problem !== undefined) return { seed, message: await explained(name, seed, problem, lines) };
  }
  return undefined;
}

async function explained(name: string, seed: number, problem: string, lines: number): Promise<string> {
  // The same seed again, this time with notes: they cost too much to take them each time.
  const { trace } = await players[name]!(seed, { traced: true }).catch(() => ({ trace: [] }));
  return [
    `${name}, seed ${seed}:`,
    problem,
    '',
    ...trace.slice(0, 1).map((line) => `  ${line}`),
    ...trace
      .slice(1)
      .slice(-lines)
      .map((line) => `  ${line}`),
    '',
    `once more: npm run torture -- ${name} --seed ${seed}`,
  ].join('\n');
}
