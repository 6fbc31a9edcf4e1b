/** Alarms: what an operator must see at once, in the service's own log: never a payload, at most one line in ten seconds. */

import type { Clock, SluiceEvent } from 'sluice';

/** Where alarms go; a pino logger is one. */
export interface AlarmLogger {
  warn(details: object, message: string): void;
}

const everyMs = 10_000;

/** An observer that warns while the database does not take events. */
export function createAlarms(logger: AlarmLogger, clock: () => Clock): (event: SluiceEvent) => void {
  let quietUntil = Number.NEGATIVE_INFINITY;
  return (event) => {
    if (event.type !== 'retry' || clock().now() < quietUntil) return;
    quietUntil = clock().now() + everyMs;
    const { code, failureClass, items, delayMs, batchId } = event;
    logger.warn(
      { code, class: failureClass, items, batchId, retryInMs: Math.round(delayMs) },
      `PostgreSQL does not take events: ${event.message}. They are kept in the log and tried again.`,
    );
  };
}
