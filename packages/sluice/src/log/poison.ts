/** Poison: what is done about records at which the process dies, and about a process that dies again and again. */

import { failure, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Suspect } from './position.js';

/** Options of the protection against records at which the process dies. */
export interface PoisonOptions {
  /**
   * Crashes that a record may be in flight at, 1 or more, before it runs alone: nothing else is on its way then. A record at which the
   * process dies once more is parked with `POISON`, without another call. Default 3.
   */
  readonly maxCrashes?: number;
  /** So many starts that ended in a crash within `withinMs` are reported (`CRASH_LOOP`), and the next ones back off. Default 5. */
  readonly maxStarts?: number;
  /** How far back starts are counted, in milliseconds of the wall clock. Default 300,000 (five minutes). */
  readonly withinMs?: number;
  /** Longest back-off before a partition is read again, in milliseconds; the first is 1,000, and each further start doubles it. Default 60,000. */
  readonly maxBackOffMs?: number;
}

/** The options with every default filled in. */
export type Poison = Required<PoisonOptions>;

/** @throws SluiceError `INVALID_OPTION` */
export function poisonOptions(where: string, options: PoisonOptions = {}): Poison {
  checkNames(where, options, ['maxCrashes', 'maxStarts', 'withinMs', 'maxBackOffMs']);
  const count = { least: 1, whole: true };
  return {
    maxCrashes: numberOption(`${where}.maxCrashes`, options.maxCrashes, 3, { ...count, infinite: true }),
    maxStarts: numberOption(`${where}.maxStarts`, options.maxStarts, 5, { ...count, infinite: true }),
    withinMs: numberOption(`${where}.withinMs`, options.withinMs, 300_000, { least: 1 }),
    maxBackOffMs: numberOption(`${where}.maxBackOffMs`, options.maxBackOffMs, 60_000, { least: 0 }),
  };
}

/** In how many crashes an offset was in flight, by the ascending, disjoint ranges of a claim. */
export function crashesOf(suspects: readonly Suspect[], offset: number): number {
  if (suspects.length === 0 || offset > suspects.at(-1)!.last) return 0;
  let low = 0;
  let high = suspects.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (suspects[middle]!.last < offset) low = middle + 1;
    else high = middle;
  }
  const near = suspects[low]!;
  return near.first <= offset ? near.crashes : 0;
}

/** How long to rest before a partition is read again, in milliseconds; 0 where its starts give no reason to. */
export function restMs({ maxStarts, withinMs, maxBackOffMs }: Poison, uncleanStarts: readonly number[], now: number): number {
  const recent = uncleanStarts.filter((at) => at > now - withinMs).length;
  return recent < maxStarts ? 0 : Math.min(maxBackOffMs, 1_000 * 2 ** (recent - maxStarts));
}

/** Why a record is parked without another call. */
export function poisonFailure(crashes: number): SluiceError {
  return failure(`the process died ${crashes} times while it was in flight, the last time alone; it is not tried again.`, {
    code: 'POISON',
    class: 'permanent',
  });
}
