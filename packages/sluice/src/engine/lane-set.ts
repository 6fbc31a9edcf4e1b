/** LaneSet: the lanes of an engine, and the loop that lets them send. Here: the one lane of an engine that has no more. */

import type { RaiseReason } from '../core/batch.js';
import type { Tally } from '../core/tally.js';
import type { Capacity } from './capacity.js';
import type { EngineCut } from './flight.js';
import { Lane, type LaneOptions } from './lane.js';
import type { Readiness } from './readiness.js';

/** What lanes need of their engine. */
export interface LaneSetOptions<I> {
  readonly lane: LaneOptions;
  /** What the whole engine may hold. */
  readonly capacity: Capacity;
  readonly ready: Readiness;
  /** Cuts a batch and begins its call in this same turn; answers what was cut. */
  send(lane: Lane<I>): Pick<EngineCut, 'held' | 'bytes'>;
}

/** The lanes of an engine. */
export interface LaneSet<I> {
  /** The one lane, where items are not divided. */
  readonly only: Lane<I> | undefined;
  readonly all: Iterable<Lane<I>>;
  /** The lane of an item; undefined when it would need a new one, and there are as many as there may be. */
  of(value: I): Lane<I> | undefined;
  /** A lane may want to send now, or must be watched. */
  look(lane: Lane<I>): void;
  /** Makes everything behind the barrier due at once, in the lanes that there are and in those that will be. */
  raise(barrier: number, reason: RaiseReason): void;
  /** Forgets a lane that has nothing left; what it counted stays in the tally. */
  retire(lane: Lane<I>): void;
  /** The balance of all lanes, and of those that are no more. */
  tally(): Tally;
  /** An item was refused before it had a lane. */
  refuse(): void;
}

/** One lane, named `''`, for ever: it sends as long as it wants to and the dispatcher is ready. */
export function oneLane<I>({ lane: options, capacity, ready, send }: LaneSetOptions<I>): LaneSet<I> {
  let state: 'idle' | 'sending' | 'waiting' = 'idle';
  const again = () => {
    state = 'idle';
    look();
  };
  // A sink that offers in its write comes back here: the loop, not the stack, takes it further.
  const look = () => {
    if (state !== 'idle') return;
    state = 'sending';
    try {
      while (lane.wantsToSend()) {
        const now = ready.of('');
        if (now !== true) {
          state = 'waiting';
          ready.wait(now, again);
          return;
        }
        send(lane);
      }
    } finally {
      if (state === 'sending') state = 'idle';
    }
    lane.watch();
  };
  const lane = new Lane<I>('', 1, capacity, options, look);

  return {
    only: lane,
    all: [lane],
    of: () => lane,
    look,
    raise(barrier, reason) {
      lane.raise(barrier, reason);
      look();
    },
    retire() {},
    tally: () => ({ ...lane.tally }),
    refuse() {},
  };
}
