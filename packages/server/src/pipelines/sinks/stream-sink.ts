/** Stream sink: appends events to another stream of the same log. An event keeps its id, so that a second delivery is a duplicate there. */

import type { Log } from 'sluice/log';
import type { PipelineSink } from '../pipeline-sink.js';

/** A sink that appends to a stream. */
export function streamSink(log: Log, stream: string): PipelineSink {
  return {
    idempotent: true,
    // One append is one transaction.
    atomic: true,
    async write(events) {
      await log.append(
        stream,
        events.map((event) => ({
          id: event.id,
          tenant: event.tenant,
          key: event.record.key,
          trace: event.record.trace,
          time: event.time,
          receivedAt: event.receivedAt,
          payload: Buffer.from(event.json),
        })),
      );
    },
    prepare: async () => {},
    close: async () => {},
  };
}
