/** Open sink: from the configuration of a sink to the sink. */

import { resolve } from 'node:path';
import { type Env, SluiceError } from 'sluice';
import { httpSink } from 'sluice/http';
import type { Log } from 'sluice/log';
import type { SinkConfig } from '../config/config.js';
import type { Handler } from '../config/pipeline-schema.js';
import type { Outgoing } from './outgoing.js';
import type { PipelineSink } from './pipeline-sink.js';
import { fileSink } from './sinks/file-sink.js';
import { moduleSink } from './sinks/module-sink.js';
import { postgresTable } from './sinks/postgres-table.js';
import { streamSink } from './sinks/stream-sink.js';

/** What sinks are opened with. */
export interface SinkParts {
  readonly log: Log;
  /** The server of a PostgreSQL sink that names none. */
  readonly databaseUrl: string | undefined;
  /** Paths of the configuration are relative to this folder. */
  readonly folder: string;
  /** Names the sink: its pipeline, and its branch if it is one. */
  readonly name: string;
  /** Where its configuration stands, as in `pipelines.orders.sink`. */
  readonly path: string;
  readonly maxInFlight: number;
  /** Of its pipeline: strict order stops in front of a bad event. */
  readonly halts: boolean;
  /** Of its pipeline: names the cursor. */
  readonly group: string;
  /** Of a module sink. */
  readonly handler: Handler | undefined;
  readonly env: Env;
}

/**
 * Opens a sink.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export async function openSink(config: SinkConfig, parts: SinkParts): Promise<PipelineSink> {
  const { log, databaseUrl, folder, name, env } = parts;
  switch (config.type) {
    case 'postgres':
      return postgresTable(config, config.url ?? databaseUrl ?? noDatabase(), parts);
    case 'http': {
      const { url, method, headers, gzip, idempotent, format } = config;
      const cloudEvents = format === 'cloudevents';
      const sink = httpSink<Outgoing>({
        ...{ url, method, headers, gzip, idempotent, env },
        format: format === 'ndjson' ? 'ndjson' : 'json',
        encode: cloudEvents ? cloudEventText : (event) => event.json,
        ...(cloudEvents ? { contentType: 'application/cloudevents-batch+json' } : {}),
      });
      return { ...sink, prepare: async () => {}, close: async () => {} };
    }
    case 'file': {
      const { dir, maxBytes, maxAgeMs, gzip } = config;
      return fileSink({ dir: resolve(folder, dir), name, maxBytes, maxAgeMs, gzip, env });
    }
    case 'stream':
      return streamSink(log, config.stream);
    case 'module':
      return moduleSink(parts.handler!, config.idempotent);
  }
}

function noDatabase(): never {
  throw new SluiceError(
    'no pipeline needed PostgreSQL when the service started, so that it has none: restart it, or give the sink a url',
    {
      code: 'INVALID_OPTION',
      class: 'rejected',
    },
  );
}

/** CloudEvents 1.0, section 2 (attributes) of the specification and its JSON format: the data stays as it is. */
function cloudEventText(event: Outgoing): string {
  const attributes = {
    specversion: '1.0',
    id: event.id,
    source: `/streams/${event.stream}`,
    type: `sluice.${event.stream}`,
    ...(event.time === null ? {} : { time: event.time }),
    datacontenttype: 'application/json',
  };
  return `${JSON.stringify(attributes).slice(0, -1)},"data":${event.json}}`;
}
