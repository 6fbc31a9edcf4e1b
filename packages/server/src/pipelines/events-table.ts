/** The table of the default pipeline, and the sink that writes the log's records into it. */

import type { LogRecord } from 'sluice/log';
import { type PostgresSink, postgresSink } from 'sluice/postgres';

/** The table `events`, created when it is absent. */
export const eventsTable = `create table events (
  tenant text not null default '_',
  id text not null,
  time timestamptz,
  received_at timestamptz not null,
  payload jsonb not null,
  primary key (tenant, id)
)`;

/** A sink from log records to the table `events`: a record whose (tenant, id) is there already is skipped. */
export function eventsSink(connectionString: string, maxConnections: number): PostgresSink<LogRecord> {
  return postgresSink<LogRecord>({
    connectionString,
    maxConnections,
    table: 'events',
    createTable: eventsTable,
    conflict: { columns: ['tenant', 'id'], action: 'ignore' },
    columns: {
      tenant: { type: 'text', value: (record) => record.tenant },
      id: { type: 'text', value: (record) => record.id },
      time: { type: 'timestamptz', value: (record) => record.time },
      received_at: { type: 'timestamptz', value: (record) => new Date(record.receivedAt) },
      payload: { type: 'jsonb', value: (record) => decode(record.payload) },
    },
  });
}

function decode(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
}
