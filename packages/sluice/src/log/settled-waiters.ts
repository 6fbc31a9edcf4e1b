/** Settled waiters: those who wait until records of a stream are settled by a group, whichever consumer reads them. */

import { type Settler as Deferred, promiseSettledBy } from '../core/deferred.js';
import { onAbort } from '../engine/signals.js';
import type { Cancel } from '../env/env.js';
import { createLine, type Line } from './offset-line.js';
import type { OffsetRange } from './position.js';
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
  /** The same for all that are waited for in a range. */
  tellRange(partition: number, range: OffsetRange, how: SettledHow): void;
  /** The offsets of a partition that somebody waits for. */
  offsets(partition: number): readonly number[];
}

/** Nobody waits at first. */
export function createSettledWaiters(): SettledWaiters {
  const lines = new Map<number, Line<Run>>();
  let count = 0;

  function lineOf(partition: number): Line<Run> {
    const known = lines.get(partition) ?? createLine<Run>();
    lines.set(partition, known);
    return known;
  }

  /** Records side by side, as those of one request mostly are, share a run. */
  function stand(wait: Wait, positions: readonly Position[]): void {
    let run: Run | undefined;
    let line: Line<Run> | undefined;
    for (let index = 0; index < positions.length; index++) {
      const { partition, offset } = positions[index]!;
      if (run === undefined || run.partition !== partition || offset - run.first !== index - run.index) {
        if (run?.partition !== partition) line = lineOf(partition);
        run = { wait, partition, first: offset, index };
        wait.runs.push(run);
      }
      line!.add(offset, run);
    }
    count += positions.length;
  }

  function told(run: Run, offset: number, how: SettledHow): void {
    const { wait } = run;
    count--;
    wait.hows[run.index + offset - run.first] = how;
    if (--wait.left > 0) return;
    wait.stopListening();
    wait.resolve!(wait.hows);
  }

  const toldOk = (run: Run, offset: number) => told(run, offset, 'ok');
  const toldDead = (run: Run, offset: number) => told(run, offset, 'dead');

  /** Whether there was anything to give up. */
  function giveUp(wait: Wait): boolean {
    if (wait.left === 0) return false;
    wait.left = 0;
    wait.stopListening();
    for (let at = 0; at < wait.runs.length; at++) {
      const run = wait.runs[at]!;
      const end = wait.runs[at + 1]?.index ?? wait.hows.length;
      for (let index = run.index; index < end; index++) {
        if (wait.hows[index] !== undefined) continue;
        lines.get(run.partition)!.remove(run.first + index - run.index, run);
        count--;
      }
    }
    return true;
  }

  function tellOne(wait: Wait, index: number, how: SettledHow): void {
    if (wait.left === 0 || wait.hows[index] !== undefined) return;
    const run = runAt(wait.runs, index);
    const offset = run.first + index - run.index;
    lines.get(run.partition)!.remove(offset, run);
    told(run, offset, how);
  }

  return {
    get count() {
      return count;
    },
    wait(positions, givenUp) {
      const wait = new Wait(positions.length);
      const hows = promiseSettledBy<Hows>(wait);
      stand(wait, positions);
      const onGivenUp = () => {
        if (giveUp(wait)) wait.resolve!(wait.hows);
      };
      if (wait.left === 0) wait.resolve!(wait.hows);
      else if (typeof givenUp === 'function') givenUp(onGivenUp);
      else if (givenUp.aborted) onGivenUp();
      else wait.stopListening = onAbort(givenUp, onGivenUp);
      return {
        told: hows,
        tell: (index, how) => tellOne(wait, index, how),
        fail(reason) {
          if (giveUp(wait)) wait.reject!(reason);
        },
      };
    },
    tell(partition, offset, how) {
      lines.get(partition)?.take(offset, offset, how === 'ok' ? toldOk : toldDead);
    },
    tellRange(partition, { first, last }, how) {
      lines.get(partition)?.take(first, last, how === 'ok' ? toldOk : toldDead);
    },
    offsets: (partition) => lines.get(partition)?.offsets() ?? [],
  };
}

type Hows = readonly (SettledHow | undefined)[];

/** Records side by side that one waits for: up to the next run of its wait. */
interface Run {
  readonly wait: Wait;
  readonly partition: number;
  readonly first: number;
  /** Of its first record, among those of the wait. */
  readonly index: number;
}

function runAt(runs: readonly Run[], index: number): Run {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (runs[middle]!.index <= index) low = middle;
    else high = middle - 1;
  }
  return runs[low]!;
}

/** A class for its speed: there is one for each request that waits. */
class Wait implements Deferred<Hows> {
  resolve: Deferred<Hows>['resolve'] = undefined;
  reject: Deferred<Hows>['reject'] = undefined;
  left: number;
  readonly hows: (SettledHow | undefined)[];
  readonly runs: Run[] = [];
  stopListening: Cancel = () => {};

  constructor(records: number) {
    this.left = records;
    this.hows = new Array<SettledHow | undefined>(records).fill(undefined);
  }
}
