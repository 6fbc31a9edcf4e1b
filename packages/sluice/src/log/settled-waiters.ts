/** Settled waiters: those who wait until records of a stream are settled by a group, whichever consumer reads them. */

import { type Settler as Deferred, promiseSettledBy } from '../core/deferred.js';
import { onAbort } from '../engine/signals.js';
import type { Cancel } from '../env/env.js';
import type { Position } from './record.js';

/** How a record ended: taken by the sink, or parked as a dead letter. */
export type SettledHow = 'ok' | 'dead';

/**
 * When a wait is given up: at the abort of a signal, or by what this function is given. Where thousands wait, a signal for each would be most of
 * what a wait costs.
 */
export type GivenUp = AbortSignal | ((giveUp: () => void) => void);

/** One who waits, for all of some records. */
export interface SettledWait {
  /** How each of them ended, in their order; `undefined` for what was not settled when the wait was given up. Rejects with what it fails with. */
  readonly told: Promise<readonly (SettledHow | undefined)[]>;
  /** Tells it of the record at an index from elsewhere; what it knows already stays. */
  tell(index: number, how: SettledHow): void;
  /** Ends it: it stands in no line any more. */
  fail(reason: unknown): void;
}

/** Who waits for which records. */
export interface SettledWaiters {
  /** Waits for records: so many times as there is somebody who waits for one. */
  readonly count: number;
  /** Stands in line until each of the records is settled, or the wait is given up. */
  wait(positions: readonly Position[], givenUp: GivenUp): SettledWait;
  tell(partition: number, offset: number, how: SettledHow): void;
  /** The offsets of a partition that somebody waits for. */
  offsets(partition: number): readonly number[];
}

/** Nobody waits at first. */
export function createSettledWaiters(): SettledWaiters {
  const lines = new Map<number, Line>();
  let count = 0;

  function lineOf(partition: number): Line {
    const known = lines.get(partition) ?? new Map<number, Place>();
    lines.set(partition, known);
    return known;
  }

  function stand(line: Line, offset: number, wait: Wait, index: number): void {
    const before = line.get(offset);
    const place: Place = { line, offset, wait, index, next: before, previous: undefined };
    if (before !== undefined) before.previous = place;
    line.set(offset, place);
    wait.places[index] = place;
    count++;
  }

  function leave(place: Place): void {
    const { line, offset, previous, next } = place;
    place.wait.places[place.index] = undefined;
    count--;
    if (next !== undefined) next.previous = previous;
    if (previous !== undefined) previous.next = next;
    else if (next !== undefined) line.set(offset, next);
    else line.delete(offset);
  }

  function tellPlace(place: Place, how: SettledHow): void {
    const { wait, index } = place;
    leave(place);
    wait.hows[index] = how;
    if (--wait.left > 0) return;
    wait.stopListening();
    wait.resolve!(wait.hows);
  }

  /** Whether there was anything to give up. */
  function giveUp(wait: Wait): boolean {
    if (wait.left === 0) return false;
    wait.left = 0;
    wait.stopListening();
    for (const place of wait.places) if (place !== undefined) leave(place);
    return true;
  }

  return {
    get count() {
      return count;
    },
    wait(positions, givenUp) {
      const wait = new Wait(positions.length);
      const told = promiseSettledBy<Hows>(wait);
      for (let index = 0; index < positions.length; index++) {
        const { partition, offset } = positions[index]!;
        stand(lineOf(partition), offset, wait, index);
      }
      const onGivenUp = () => {
        if (giveUp(wait)) wait.resolve!(wait.hows);
      };
      if (wait.left === 0) wait.resolve!(wait.hows);
      else if (typeof givenUp === 'function') givenUp(onGivenUp);
      else if (givenUp.aborted) onGivenUp();
      else wait.stopListening = onAbort(givenUp, onGivenUp);
      return {
        told,
        tell(index, how) {
          const place = wait.places[index];
          if (place !== undefined) tellPlace(place, how);
        },
        fail(reason) {
          if (giveUp(wait)) wait.reject!(reason);
        },
      };
    },
    tell(partition, offset, how) {
      let place = lines.get(partition)?.get(offset);
      while (place !== undefined) {
        const { next } = place;
        tellPlace(place, how);
        place = next;
      }
    },
    offsets: (partition) => [...(lines.get(partition)?.keys() ?? [])],
  };
}

type Hows = readonly (SettledHow | undefined)[];

/** The first of those who wait for each offset of a partition. */
type Line = Map<number, Place>;

/** One wait for one record, among the others for it: linked, so that who leaves need not look for itself. */
interface Place {
  readonly line: Line;
  readonly offset: number;
  readonly wait: Wait;
  readonly index: number;
  previous: Place | undefined;
  next: Place | undefined;
}

/** A class for its speed: there is one for each request that waits. */
class Wait implements Deferred<Hows> {
  resolve: Deferred<Hows>['resolve'] = undefined;
  reject: Deferred<Hows>['reject'] = undefined;
  left: number;
  readonly hows: (SettledHow | undefined)[];
  readonly places: (Place | undefined)[];
  stopListening: Cancel = () => {};

  constructor(records: number) {
    this.left = records;
    this.hows = new Array<SettledHow | undefined>(records).fill(undefined);
    this.places = new Array<Place | undefined>(records).fill(undefined);
  }
}
