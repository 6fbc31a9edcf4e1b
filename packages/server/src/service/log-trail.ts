/**
 * Log trail: at LOG_LEVEL=debug, a line for each event where it comes in and where it is settled, with the same id: its place in the log,
 * `stream/partition/offset`. Not the id that its sender gave it: what strangers write is kept out of the service's own log.
 */

import type { Log } from 'sluice/log';

/** Where the lines go; a pino logger is one. */
export interface TrailLogger {
  isLevelEnabled(level: 'debug'): boolean;
  debug(details: object, message: string): void;
}

/** The log with a trail, or the log itself when nobody would see it. */
export function withTrail(log: Log, logger: TrailLogger): Log {
  if (!logger.isLevelEnabled('debug')) return log;
  const settle: Log['settle'] = async (owner, moves) => {
    await log.settle(owner, moves);
    const { group, stream, partition } = owner;
    const place = (offset: number) => `${stream}/${partition}/${offset}`;
    for (const { first, last } of moves.delivered ?? []) {
      for (let offset = first; offset <= last; offset++) logger.debug({ event: place(offset), group }, 'delivered');
    }
    for (const { record, code } of moves.dead ?? []) logger.debug({ event: place(record.offset), group, code }, 'parked');
  };
  const append: Log['append'] = async (stream, events) => {
    const receipt = await log.append(stream, events);
    receipt.appended.forEach(({ partition, offset, duplicate }, at) => {
      const trace = events[at]!.trace ?? undefined;
      logger.debug({ event: `${stream}/${partition}/${offset}`, trace }, duplicate ? 'a duplicate' : 'taken in');
    });
    return receipt;
  };
  const offer: Log['offer'] = (stream, events) => {
    const answer = log.offer(stream, events);
    // It has no place yet.
    logger.debug({ stream, items: events.length }, `offered: ${answer}`);
    return answer;
  };
  return Object.assign(Object.create(log), { settle, append, offer }) as Log;
}
