/**
 * Log bound: whether the log takes events: by the bytes that it holds, and those that its disk has left. Looked at once a second, and the
 * more often the nearer the log is to its bound.
 */

import type { Cancel, Clock } from 'sluice';
import type { Log } from 'sluice/log';
import type { AlarmLogger } from './alarms.js';
import { roomAgain } from './room-again.js';

/** The bound of a log. */
export interface LogBound {
  /** It holds `maxBytes` or more: events are refused until pipelines or retention have removed some. */
  readonly isFull: boolean;
  /** How long it is likely to stay so, in milliseconds, 1,000 to 30,000; `undefined` while it is not. */
  readonly fullForMs: number | undefined;
  /** Why events are refused, by `maxBytes` or by the disk, with its code; `undefined` while they are taken. */
  readonly problem: string | undefined;
  stop(): void;
}

/** What a log is watched with. */
export interface LogBoundParts {
  readonly log: Pick<Log, 'streams' | 'facets'>;
  /** As the configuration has them now. */
  readonly bounds: () => { readonly maxBytes?: number | undefined; readonly reserveBytes: number };
  /** Told when events begin to be refused, and when they are taken again. */
  readonly logger: AlarmLogger;
  readonly clock: Clock;
}

const everyMs = 1_000;
/** A look reads the rows of all partitions. */
const leastMs = 100;
/** No log grows faster: with large events it is the disk that ends it. */
const mostBytesPerMs = 256 * 1024;

/** Watches a log. */
export function watchLogBound({ log, bounds, logger, clock }: LogBoundParts): LogBound {
  let isFull = false;
  const room = roomAgain();
  let problem: string | undefined;
  let stopped = false;
  let cancel: Cancel = () => {};
  const look = async () => {
    const { maxBytes, reserveBytes } = bounds();
    const leftBytes = maxBytes === undefined ? Number.POSITIVE_INFINITY : maxBytes - (await storedBytes(log));
    isFull = leftBytes <= 0;
    // At its bound it is full: one byte less is wanted.
    room.look(clock.now(), 1 - leftBytes);
    // As the log looks before it takes something.
    const isDiskLow = (log.facets.disk?.freeBytes() ?? Number.POSITIVE_INFINITY) <= reserveBytes;
    if (stopped) return;
    note(isFull ? `the log holds log.maxBytes (${maxBytes})` : isDiskLow ? diskLow(reserveBytes) : undefined);
    // Once it is full it grows no more.
    const soonMs = isFull ? everyMs : Math.min(everyMs, Math.max(leastMs, leftBytes / mostBytesPerMs));
    cancel = clock.after(soonMs, () => void look());
  };
  function note(why: string | undefined): void {
    const before = problem;
    problem = why === undefined ? undefined : `LOG_FULL: ${why}; events are refused`;
    if (problem !== undefined && before === undefined)
      logger.warn({ code: 'LOG_FULL' }, `${why}: events are refused until there is room.`);
    if (problem === undefined && before !== undefined) logger.warn({}, 'the log has room again: events are taken.');
  }
  void look();
  return {
    get isFull() {
      return isFull;
    },
    get fullForMs() {
      return isFull ? room.afterMs(clock.now()) : undefined;
    },
    get problem() {
      return problem;
    },
    stop() {
      stopped = true;
      cancel();
    },
  };
}

/** Its files do not shrink: what counts is what is stored in them. */
async function storedBytes(log: Pick<Log, 'streams'>): Promise<number> {
  return (await log.streams().catch(() => [])).reduce((sum, { bytes }) => sum + bytes, 0);
}

function diskLow(reserveBytes: number): string {
  return `less than ${reserveBytes} bytes (log.reserveBytes) are free on the disk of the log`;
}
