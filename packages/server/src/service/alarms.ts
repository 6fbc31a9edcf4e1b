/** Alarms: what an operator must see at once, in the service's own log: never a payload, at most one line of a kind in ten seconds. */

import type { Clock, SluiceEvent } from 'sluice';
import { plainMessage } from '../pipelines/plain-message.js';

/** Where alarms go; a pino logger is one. */
export interface AlarmLogger {
  warn(details: object, message: string): void;
}

const everyMs = 10_000;

/** An observer that warns while a sink does not take events, and when a pipeline holds until somebody does something. */
export function createAlarms(logger: AlarmLogger, clock: () => Clock): (pipeline: string, event: SluiceEvent) => void {
  const quietUntil = new Map<string, number>();
  const isNews = (kind: string): boolean => {
    const now = clock().now();
    if (now < (quietUntil.get(kind) ?? Number.NEGATIVE_INFINITY)) return false;
    quietUntil.set(kind, now + everyMs);
    return true;
  };
  return (pipeline, event) => {
    if (event.type === 'retry' && isNews(`retry ${pipeline}`)) {
      const { code, failureClass, items, delayMs, batchId } = event;
      logger.warn(
        { pipeline, code, class: failureClass, items, batchId, retryInMs: Math.round(delayMs) },
        `the sink of the pipeline ${pipeline} does not take events: ${plainMessage(event).replace(/\.$/, '')}. They are kept in the log and tried again.`,
      );
    }
    if (event.type === 'alarm' && isNews(`${event.code} ${pipeline}`)) {
      const { code, failureClass, partition } = event;
      logger.warn(
        { pipeline, code, class: failureClass, partition },
        `the pipeline ${pipeline} holds its events until something is done: ${plainMessage(event)}`,
      );
    }
    if (event.type === 'breaker' && isNews(`breaker ${event.state} ${pipeline}`)) {
      logger.warn({ pipeline, code: event.code }, `the breaker of the pipeline ${pipeline} is ${event.state}`);
    }
  };
}
