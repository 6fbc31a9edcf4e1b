/** Drain: what a close reports, and what the deadline does to what is left. */

import { failed, type Outcome } from '../core/outcome.js';
import type { SettledCounts } from './barrier.js';
import type { Flight } from './flight.js';
import type { EngineItem } from './item.js';
import type { Lane } from './lane.js';
import { dropFlight, dropHeld, lateError } from './settle.js';

/** What a close reports: how many of the items that it waited for ended in each way. `dropped` were unsettled at the deadline. */
export interface DrainReport extends SettledCounts {
  /** Of the dropped: never dispatched. */
  readonly droppedHeld: number;
  /** Of the dropped: dispatched, with an unknown end. */
  readonly droppedInFlight: number;
  /** From the call of close to the last settlement, or to the deadline. */
  readonly durationMs: number;
}

/** Settles all that is held and under way as dropped, and aborts the calls. `release` is told what is held no more. */
export function dropAll<I, R>(
  name: string,
  deadlineMs: number,
  lanes: Iterable<Lane<I>>,
  flights: Iterable<Flight>,
  tell: (item: EngineItem<unknown>, outcome: Outcome<R>, index: number) => void,
  release: (lane: Lane<I>, items: number, bytes: number) => void,
): Pick<DrainReport, 'droppedHeld' | 'droppedInFlight'> {
  let droppedHeld = 0;
  let droppedInFlight = 0;
  const neverSent = failed(lateError(name, 'rejected', deadlineMs));
  const unanswered = lateError(name, 'unknown', deadlineMs);
  for (const lane of lanes) {
    for (const cut of lane.takeAll()) {
      release(lane, cut.held.length, cut.bytes);
      lane.tally.held -= cut.held.length;
      lane.tally.dropped += cut.held.length;
      droppedHeld += cut.held.length;
      dropHeld(cut, neverSent, tell);
    }
  }
  const under = [...flights];
  for (const flight of under) droppedInFlight += dropFlight(flight, failed(unanswered), tell);
  for (const flight of under) flight.abort(unanswered);
  return { droppedHeld, droppedInFlight };
}
