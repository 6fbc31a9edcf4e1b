/** outbox-sinks: where a relay's events go: into a log, or through a batcher. */

import type { Sink } from '../core/dispatcher.js';
import { asFailure } from '../core/errors.js';
import type { Log } from '../log/log.js';
import type { NewEvent } from '../log/record.js';
import type { OutboxRecord } from './relay-pages.js';

/**
 * A sink that appends events to the streams that they name, durably. The log's window of ids knows a second delivery for what it
 * is, so that each event is in the log once. The key goes with it, and decides its partition.
 *
 * All of a call for one stream is appended together, in order.
 */
export function logSink(log: Pick<Log, 'append'>): Sink<OutboxRecord> {
  return {
    idempotent: true,
    // A call that fails between two streams is sent again, whole: nothing of a stream overtakes anything of it.
    atomic: true,
    async write(records) {
      for (const [stream, events] of byStream(records)) await log.append(stream, events);
    },
  };
}

/**
 * A sink that pushes each event through a batcher, and is done with it once the batcher's sink is. To keep the order of keys, give the batcher
 * `orderBy: (event) => event.key ?? event.id`.
 *
 * @param idempotent whether a second push of an event does no harm. Default false: an event of unknown fate becomes a dead letter.
 */
export function batcherSink<T = OutboxRecord>(
  batcher: { push(item: T): Promise<unknown> },
  options: { readonly idempotent?: boolean; readonly item?: (event: OutboxRecord) => T } = {},
): Sink<OutboxRecord> {
  const { idempotent = false, item = (event: OutboxRecord) => event as T } = options;
  return {
    idempotent,
    async write(records) {
      const results = await Promise.allSettled(records.map((record) => batcher.push(item(record))));
      return results.map((result) => (result.status === 'rejected' ? asFailure(result.reason, 'permanent') : undefined)) as (
        | Error
        | undefined
      )[] as readonly (void | Error)[];
    },
  };
}

function byStream(records: readonly OutboxRecord[]): Map<string, NewEvent[]> {
  const streams = new Map<string, NewEvent[]>();
  for (const { stream, id, tenant, key, time, createdAt, payload } of records) {
    const events = streams.get(stream) ?? [];
    streams.set(stream, events);
    events.push({ id, tenant, key: key ?? null, time: time ?? null, receivedAt: createdAt, payload });
  }
  return streams;
}
