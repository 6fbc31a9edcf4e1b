/** Settle: counts what became of the items of a flight, then tells each waiter, once. */

import { failure, type SluiceError } from '../core/errors.js';
import type { OutcomeCounts } from '../core/event.js';
import { isAllDone, type Outcome } from '../core/outcome.js';
import type { Run } from '../core/runs.js';
import type { Barrier } from './barrier.js';
import type { EngineCut, Flight } from './flight.js';
import { EngineItem } from './item.js';

/** Tells the waiters of one item. */
type Tell<R> = (item: EngineItem<unknown>, outcome: Outcome<R>, index: number) => void;

/** Counts every item of a flight as ended, in the tally of its lane and at its barrier; who left before is counted already. */
export function settleFlight<R>(flight: Flight, outcomes: readonly Outcome<R>[]): OutcomeCounts {
  const { held, runs } = flight;
  const counts = { ok: 0, failed: 0, dead: 0, cancelled: 0 };
  if (flight.dropped) return { ...counts, cancelled: held.length };
  const { tally } = flight.lane;
  const allOk = flight.bare && isAllDone(outcomes);
  let at = 0;
  for (const { barrier, length } of joined(runs)) {
    const before = { ...counts };
    if (allOk) counts.ok += length;
    else
      for (const end = at + length; at < end; at++) {
        const item = held[at];
        if (item instanceof EngineItem) {
          if (item.phase === 'settled') {
            counts.cancelled++;
            continue;
          }
          item.phase = 'settled';
        }
        counts[outcomes[at]!.kind]++;
      }
    for (const ending of ['ok', 'failed', 'dead'] as const) {
      const more = counts[ending] - before[ending];
      if (more === 0) continue;
      tally[ending] += more;
      tally.inFlight -= more;
      barrier.leaveAll(ending, more);
    }
  }
  return counts;
}

/** Tells the waiters of a flight that has been counted. */
export function tellFlight<R>(flight: Flight, outcomes: readonly Outcome<R>[], tell: Tell<R>): void {
  const { held } = flight;
  if (flight.bare) return;
  for (let i = 0; i < held.length; i++) {
    const item = held[i];
    // Whoever left before is gone; nobody can any more.
    if (item instanceof EngineItem && !item.gone) tell(item, outcomes[i]!, i);
  }
}

/** The drain deadline has passed: counts and tells what was never sent. The tally is the caller's. */
export function dropHeld<R>(cut: EngineCut, outcome: Outcome<R>, tell: Tell<R>): void {
  for (const { barrier, length } of cut.runs) barrier.leaveAll('dropped', length);
  cut.held.forEach((item, i) => {
    if (!(item instanceof EngineItem)) return;
    item.phase = 'settled';
    item.gone = true;
    tell(item, outcome, i);
  });
}

/** The drain deadline has passed: counts and tells what is under way. Returns how many items that are. */
export function dropFlight<R>(flight: Flight, outcome: Outcome<R>, tell: Tell<R>): number {
  const { held, runs, lane } = flight;
  // One that is settled, of which only an abandoned call is left, has nobody to tell.
  if (flight.isSettled) return 0;
  flight.drop();
  let at = 0;
  let dropped = 0;
  for (const { barrier, length } of runs) {
    let items = 0;
    for (const end = at + length; at < end; at++) {
      const item = held[at];
      if (item instanceof EngineItem) {
        if (item.phase !== 'inFlight') continue;
        item.phase = 'settled';
        item.gone = true;
        tell(item, outcome, at);
      }
      items++;
    }
    barrier.leaveAll('dropped', items);
    dropped += items;
  }
  lane.tally.inFlight -= dropped;
  lane.tally.dropped += dropped;
  return dropped;
}

/** Of an item that is unsettled when the drain deadline has passed. */
export function lateError(name: string, cls: 'rejected' | 'unknown', deadlineMs: number): SluiceError {
  const what = cls === 'rejected' ? 'not sent yet' : 'sent, but not answered,';
  return failure(`${name}: ${what} when the drain deadline of ${deadlineMs} ms had passed.`, {
    code: 'SHUTDOWN_TIMEOUT',
    class: cls,
  });
}

/** What was cut, divided: each part keeps the order, and the times and barriers of its items. */
export function partsOf(cut: EngineCut, groups: readonly (readonly EngineItem<unknown>[])[]): EngineCut[] {
  if (groups.length === 1) return [cut];
  return groups.map((items) => ({
    ...cut,
    held: [...items],
    runs: items.map(({ run }) => ({ acceptedAt: run!.acceptedAt, barrier: run!.barrier, length: 1 })),
    bytes: items.reduce((sum, item) => sum + item.bytes, 0),
  }));
}

/** Neighbouring runs behind the same barrier as one: mostly there is one barrier, and items that came at many times. */
function joined(runs: readonly Run<Barrier>[]): readonly Pick<Run<Barrier>, 'barrier' | 'length'>[] {
  if (runs.length === 1) return runs;
  const parts: { barrier: Barrier; length: number }[] = [];
  for (const { barrier, length } of runs) {
    const last = parts.at(-1);
    if (last !== undefined && last.barrier === barrier) last.length += length;
    else parts.push({ barrier, length });
  }
  return parts;
}
