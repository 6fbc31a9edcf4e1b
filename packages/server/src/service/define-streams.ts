/** Define streams: makes the streams of a configuration, or changes how they are kept. */

import type { Log } from 'sluice/log';
import type { Config } from '../config/config.js';

/** Makes the streams of the configuration as it says; the others are made when their first event comes. */
export async function defineStreams(log: Log, streams: Config['streams']): Promise<void> {
  for (const [stream, { partitions, retention, ids }] of Object.entries(streams)) {
    const { maxAgeMs = Number.POSITIVE_INFINITY, maxBytes = Number.POSITIVE_INFINITY, policy } = retention;
    await log.defineStream(stream, { partitions, retention: { maxAgeMs, maxBytes, policy }, ids });
  }
}
