/** Settle: counts what became of items, then tells each waiter, once. */

import type { OutcomeCounts } from '../core/event.js';
import { isAllDone, type Outcome } from '../core/outcome.js';
import type { Run } from '../core/runs.js';
import type { Counts } from '../core/tally.js';
import { type Barrier, type Ending, noEndings } from './barrier.js';
import type { EngineCut, Flight } from './flight.js';
import { EngineItem } from './item.js';

/** Tells the waiters of one item. */
export type Tell<R> = (item: EngineItem<unknown>, outcome: Outcome<R>, index: number) => void;

/** Items that were cut together. */
type Members = Readonly<Pick<EngineCut, 'runs' | 'bare'>> & { readonly held: readonly unknown[] };

/** Counts every item of a flight as ended, in the tally of its lane and at its barrier; who left before is counted already. */
export function settleFlight<R>(flight: Flight, outcomes: readonly Outcome<R>[]): OutcomeCounts {
  if (flight.dropped) return { ok: 0, failed: 0, dead: 0, cancelled: flight.held.length };
  const same = isAllDone(outcomes) ? 'ok' : undefined;
  const { ok, failed, dead, cancelled } = end(flight, flight.lane.tally, 'inFlight', same, (index) => outcomes[index]!.kind);
  return { ok, failed, dead, cancelled };
}

/** Tells the waiters of a flight that has been counted. */
export function tellFlight<R>({ held, bare }: Flight, outcomes: readonly Outcome<R>[], tell: Tell<R>): void {
  if (bare) return;
  for (let i = 0; i < held.length; i++) {
    const item = held[i];
    // Whoever left before is gone; nobody can any more.
    if (item instanceof EngineItem && !item.gone) tell(item, outcomes[i]!, i);
  }
}

/** The drain deadline has passed: counts items as dropped, then tells who waits for them. Returns how many they are. */
export function dropMembers<R>(
  members: Members,
  tally: Counts,
  from: 'held' | 'inFlight',
  outcome: Outcome<R>,
  tell: Tell<R>,
): number {
  const waiting = members.held.map((item) => (item instanceof EngineItem && item.phase !== 'settled' ? item : undefined));
  const { dropped } = end(members, tally, from, 'dropped', () => 'dropped');
  for (const [i, item] of waiting.entries()) {
    if (item === undefined) continue;
    item.gone = true;
    tell(item, outcome, i);
  }
  return dropped;
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

const endings = ['ok', 'failed', 'dead', 'dropped'] as const;

/** @param same how every one of them has ended that has not left, where that is known. */
function end(
  { held, runs, bare }: Members,
  tally: Counts,
  from: 'held' | 'inFlight',
  same: Ending | undefined,
  endingAt: (index: number) => Ending,
): Record<Ending, number> {
  const counts = noEndings();
  let at = 0;
  for (const { barrier, length } of joined(runs)) {
    const before = { ...counts };
    const next = at + length;
    if (bare && same !== undefined) counts[same] += length;
    else for (; at < next; at++) counts[leave(held[at]) ? 'cancelled' : (same ?? endingAt(at))]++;
    at = next;
    for (const ending of endings) {
      const more = counts[ending] - before[ending];
      if (more === 0) continue;
      tally[ending] += more;
      tally[from] -= more;
      barrier.leaveAll(ending, more);
    }
  }
  return counts;
}

/** Settles an item; true when it had left before. */
function leave(item: unknown): boolean {
  if (!(item instanceof EngineItem)) return false;
  const left = item.phase === 'settled';
  item.phase = 'settled';
  return left;
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
