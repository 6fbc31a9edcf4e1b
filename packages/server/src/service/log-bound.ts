/** Log bound: whether the log holds as many bytes as it may, looked at once a second. */

import type { Cancel, Clock } from 'sluice';
import type { Log } from 'sluice/log';

/** The bound of a log. */
export interface LogBound {
  /** It holds `maxBytes` or more: events are refused until pipelines or retention have removed some. */
  readonly isFull: boolean;
  stop(): void;
}

const everyMs = 1_000;

/** Watches a log. Without a bound it is never full, and nothing is looked at. */
export function watchLogBound(log: Log, maxBytes: () => number | undefined, clock: Clock): LogBound {
  let isFull = false;
  let stopped = false;
  let cancel: Cancel = () => {};
  const look = async () => {
    const most = maxBytes();
    if (most !== undefined) {
      // Its files do not shrink: what counts is what is stored in them.
      const bytes = (await log.streams().catch(() => [])).reduce((sum, stream) => sum + stream.bytes, 0);
      isFull = bytes >= most;
    } else isFull = false;
    if (!stopped) cancel = clock.after(everyMs, () => void look());
  };
  void look();
  return {
    get isFull() {
      return isFull;
    },
    stop() {
      stopped = true;
      cancel();
    },
  };
}
