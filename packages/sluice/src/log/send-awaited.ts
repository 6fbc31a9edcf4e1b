/** Send awaited: while somebody waits until records are settled, what is held leaves before its window ends. */

import type { Layer } from '../core/dispatcher.js';
import type { Window } from '../core/window.js';
import type { HastenedLanes } from '../engine/hastened-lanes.js';
import type { LogRecord, Position } from './record.js';
import type { SettledWaiters } from './settled-waiters.js';

/** Sends what somebody waits for. */
export interface AwaitedSender {
  /** Somebody waits for these records. */
  awaited(records: readonly Position[]): void;
  /** A partition is read, anew or for the first time: from its cursor, wherever that is. */
  opened(partition: number): void;
  /** The records of a partition before this offset have been offered. */
  taken(partition: number, next: number): void;
  /** To stand beneath retry: what left early holds up what follows until its first call has ended, not while it waits for another try. */
  readonly layer: Layer<LogRecord, unknown>;
}

/** So many records take as long to make ready as a sink takes for a small call: fewer go with those that come. */
const enoughBeside = 500;

/**
 * Makes what sends early. It sends what is held, once the calls of all that was sent so before have ended: whoever waits gets its answer after one
 * call or two, and a call has all that came during the one before (as Nagle's algorithm, RFC 896, fills its segments). Beside a large call a
 * second one may go, as large as that. `maxDelayMs` is the longest that a record waits, so it may wait less; the other windows promise the sink a
 * rhythm, and are kept.
 *
 * Only who waits for a record that was not held yet when something was last sent so is a reason to do it again: what was held then is due. So nobody
 * who waits for a record that is stuck, in retries or behind a halt, makes others leave early again and again. It is known by offsets, a few
 * numbers a partition, not by record.
 */
export function sendAwaited(
  hastened: Pick<HastenedLanes<LogRecord>, 'hasten'>,
  waiters: Pick<SettledWaiters, 'count' | 'offsets'>,
  held: () => number,
  window: Window,
): AwaitedSender {
  const maySendEarly = typeof window === 'object' && 'maxDelayMs' in window;
  const partitions = new Map<number, Ends>();
  let calls = 0;
  /** Records in those calls. */
  let underWay = 0;
  let isWanted = false;

  function endsOf(partition: number): Ends {
    const known = partitions.get(partition);
    if (known !== undefined) return known;
    const ends = { awaited: -1, sent: 0, read: 0 };
    partitions.set(partition, ends);
    return ends;
  }

  function send(): void {
    if (!isWanted || waiters.count === 0 || !mayLeave()) return;
    isWanted = false;
    for (const ends of partitions.values()) ends.sent = ends.read;
    hastened.hasten('awaited');
  }

  /** A second call may go beside one that lasts, with as much as that one carries: the sink works on while this thread makes the next ready. */
  function mayLeave(): boolean {
    return calls === 0 || (calls === 1 && held() >= Math.max(underWay, enoughBeside));
  }

  function callEnded(items: number): void {
    calls--;
    underWay -= items;
    send();
  }

  return {
    awaited(records) {
      if (!maySendEarly) return;
      for (let i = 0; i < records.length; i++) {
        const { partition, offset } = records[i]!;
        const ends = endsOf(partition);
        if (offset > ends.awaited) ends.awaited = offset;
        if (offset >= ends.sent && ends.sent < ends.read) isWanted = true;
      }
      send();
    },
    opened(partition) {
      let awaited = -1;
      for (const offset of waiters.offsets(partition)) awaited = Math.max(awaited, offset);
      partitions.set(partition, { awaited, sent: 0, read: 0 });
    },
    taken(partition, next) {
      if (!maySendEarly) return;
      const ends = endsOf(partition);
      ends.read = next;
      if (ends.awaited < ends.sent || waiters.count === 0) return;
      isWanted = true;
      send();
    },
    layer: (inner) => ({
      ready: (lane) => inner.ready(lane),
      dispatch(batch, context) {
        if (batch.reason !== 'awaited' || context.attempt > 1) return inner.dispatch(batch, context);
        const items = batch.items.length;
        calls++;
        underWay += items;
        return inner.dispatch(batch, context).finally(() => callEnded(items));
      },
    }),
  };
}

/** Of one partition: the last offset that somebody has waited for, and the ends of what was held when something was last sent early, and of what was read. */
interface Ends {
  awaited: number;
  sent: number;
  read: number;
}
