/** Drain: what a close reports, and what the deadline does to what is left. */

import { failure, type SluiceError } from '../core/errors.js';
import { failed } from '../core/outcome.js';
import type { SettledCounts } from './barrier.js';
import type { Flight } from './flight.js';
import type { Lane } from './lane.js';
import { dropMembers, type Tell } from './settle.js';

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
  tell: Tell<R>,
  release: (lane: Lane<I>, items: number, bytes: number) => void,
): Pick<DrainReport, 'droppedHeld' | 'droppedInFlight'> {
  let droppedHeld = 0;
  let droppedInFlight = 0;
  const neverSent = lateError(name, 'rejected', deadlineMs);
  const unanswered = lateError(name, 'unknown', deadlineMs);
  for (const lane of lanes) {
    for (const cut of lane.takeAll()) {
      release(lane, cut.held.length, cut.bytes);
      droppedHeld += dropMembers(cut, lane.tally, 'held', failed(neverSent), tell);
    }
  }
  const under = [...flights];
  for (const flight of under) {
    // One that is settled, of which only an abandoned call is left, has nobody to tell.
    if (flight.isSettled) continue;
    flight.drop();
    droppedInFlight += dropMembers(flight, flight.lane.tally, 'inFlight', failed(unanswered), tell);
  }
  for (const flight of under) flight.abort(unanswered);
  return { droppedHeld, droppedInFlight };
}

function lateError(name: string, cls: 'rejected' | 'unknown', deadlineMs: number): SluiceError {
  const what = cls === 'rejected' ? 'not sent yet' : 'sent, but not answered,';
  return failure(`${name}: ${what} when the drain deadline of ${deadlineMs} ms had passed.`, {
    code: 'SHUTDOWN_TIMEOUT',
    class: cls,
  });
}
