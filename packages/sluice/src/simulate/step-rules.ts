/** The rules of a step: the tally balances and the bounds are kept, as the batcher's own counts tell it. */

import { type Tally, tallyImbalance } from '../core/tally.js';
import type { Invariant, Promised } from './invariant.js';

/** The counts that a step is checked against. */
export type WatchedStats = Tally & { readonly heldBytes?: number; readonly lanes?: unknown };

/** Told of a broken promise. */
export type Report = (invariant: Invariant, what: string) => void;

/** Checks the counts between two turns; `offered` is how many items there were. */
export function checkStep(stats: WatchedStats, offered: number, promised: Promised, report: Report): void {
  checkTally(stats, offered, report);
  atMost('maxHeldItems', promised.maxHeldItems, stats.held + stats.inFlight, report);
  atMost('maxHeldBytes', promised.maxHeldBytes, stats.heldBytes ?? 0, report);
  atMost('maxWaiting', promised.maxWaiting, stats.waiting, report);
  const { maxHeldItemsPerLane, maxHeldBytesPerLane } = promised;
  if (maxHeldItemsPerLane === undefined && maxHeldBytesPerLane === undefined) return;
  for (const lane of laneRows(stats.lanes)) {
    atMost('maxHeldItemsPerLane', maxHeldItemsPerLane, lane.held + lane.inFlight, report);
    atMost('maxHeldBytesPerLane', maxHeldBytesPerLane, lane.heldBytes ?? 0, report);
  }
}

/** Checks that nothing is left when all is over. `counts`: what else must be 0. */
export function checkRest(
  stats: WatchedStats,
  counts: Readonly<Record<string, number>>,
  excused: readonly string[],
  report: Report,
): void {
  const { held, inFlight, waiting, heldBytes = 0 } = stats;
  const left = Object.entries({ ...counts, held, inFlight, waiting, heldBytes }).filter(
    ([name, count]) => count !== 0 && !excused.includes(name),
  );
  if (left.length > 0) report('rest', `left behind: ${left.map(([name, count]) => `${name} ${count}`).join(', ')}`);
}

/** Reports what is above its bound; a bound that was not promised is none. */
export function atMost(name: string, bound: number | undefined, count: number, report: Report): void {
  if (bound !== undefined && count > bound) report('bounds', `${count}, where ${name} is ${bound}`);
}

function checkTally(stats: WatchedStats, offered: number, report: Report): void {
  if (tallyImbalance(stats) !== 0) report('tally', `it does not balance: ${JSON.stringify(stats)}`);
  if (stats.offered !== offered) report('tally', `it counts ${stats.offered} offered, of ${offered}`);
  for (const lane of laneRows(stats.lanes)) {
    if (tallyImbalance(lane) !== 0) report('tally', `that of a lane does not balance: ${JSON.stringify(lane)}`);
  }
  const { ok, failed, dead, cancelled, dropped, held, inFlight, waiting, rejected, accepted } = stats;
  if (Math.min(ok, failed, dead, cancelled, dropped, held, inFlight, waiting, rejected, accepted) < 0)
    report('tally', `a count is negative: ${JSON.stringify(stats)}`);
}

/** A row of the stats for one lane. */
export type LaneRow = Tally & { readonly lane?: string; readonly heldBytes?: number; readonly halted?: boolean };

/** The rows of the lanes, in whatever collection they come. */
export function laneRows(lanes: unknown): LaneRow[] {
  if (typeof lanes !== 'object' || lanes === null) return [];
  const rows: unknown[] =
    lanes instanceof Map
      ? [...lanes.values()]
      : Symbol.iterator in lanes
        ? [...(lanes as Iterable<unknown>)]
        : Object.values(lanes);
  return rows.filter((row): row is LaneRow => typeof row === 'object' && row !== null && 'offered' in row && 'accepted' in row);
}
