/** Outbox lag: how far behind an outbox is, measured every few seconds, so that a scrape waits for no database. */

import type { Cancel, Env } from 'sluice';
import type { OutboxLag } from 'sluice/postgres';

/** A lag that is measured again and again. */
export interface WatchedLag {
  /** As it was measured last; `undefined` until that has succeeded. */
  readonly latest: OutboxLag | undefined;
  stop(): void;
}

/** From the end of one measurement to the next. */
const periodMs = 5_000;

/** Begins to measure. A measurement that fails leaves what was known: that the database is away is told elsewhere. */
export function watchLag(measure: () => Promise<OutboxLag>, { clock }: Env): WatchedLag {
  let latest: OutboxLag | undefined;
  let isStopped = false;
  let cancel: Cancel = () => {};
  const look = async () => {
    latest = await measure().catch(() => latest);
    if (!isStopped) cancel = clock.after(periodMs, () => void look());
  };
  void look();
  return {
    get latest() {
      return latest;
    },
    stop() {
      isStopped = true;
      cancel();
    },
  };
}
