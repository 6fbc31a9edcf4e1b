/** PostgreSQL table: which column of a pipeline's table gets what of an event. */

import type { Env } from 'sluice';
import type { Log } from 'sluice/log';
import type { PostgresColumn, PostgresSinkOptions, PostgresValue } from 'sluice/postgres';
import { ledgerSink, postgresSink } from 'sluice/postgres';
import type { SinkConfig } from '../../config/config.js';
import type { Outgoing } from '../outgoing.js';
import type { PipelineSink } from '../pipeline-sink.js';
import { withOptionNames } from './option-names.js';

/** What the sink knows of its pipeline. */
export interface TableParts {
  readonly log: Log;
  readonly group: string;
  /** Where its configuration stands, as in `pipelines.orders.sink`. */
  readonly path: string;
  readonly maxInFlight: number;
  /** Nothing behind a bad row is written: strict order halts in front of it. */
  readonly halts: boolean;
  readonly env: Env;
}

type TableConfig = Extract<SinkConfig, { type: 'postgres' }>;

const defaultColumns: Readonly<Record<string, { readonly from: string; readonly type: string }>> = {
  tenant: { from: 'tenant', type: 'text' },
  id: { from: 'id', type: 'text' },
  time: { from: 'time', type: 'timestamptz' },
  received_at: { from: 'receivedAt', type: 'timestamptz' },
  payload: { from: 'payload', type: 'jsonb' },
};

const defaultKey = { columns: ['tenant', 'id'], action: 'ignore' } as const;

/** The statement that creates a table with the default columns. */
export function createTableText(table: string): string {
  const quoted = table
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');
  return `create table ${quoted} (
  tenant text not null default '_',
  id text not null,
  time timestamptz,
  received_at timestamptz not null,
  payload jsonb not null,
  primary key (tenant, id)
)`;
}

/**
 * A sink that writes events into a table; with `effectivelyOnce`, by a ledger of offsets in the transaction of the rows. Its failures name the options
 * of the configuration.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function postgresTable(config: TableConfig, connectionString: string, parts: TableParts): PipelineSink {
  return withOptionNames(
    (message) =>
      message
        .replace('give postgresSink.createTable', tableHint(config, `${parts.path}.createTable`))
        .replaceAll('postgresSink.', `${parts.path}.`),
    () => openTable(config, connectionString, parts),
  );
}

/** How a table that does not exist may be made. */
function tableHint({ columns, createTable }: TableConfig, option: string): string {
  if (typeof createTable === 'string') return `mend the statement in ${option}, which does not`;
  return columns === undefined ? `set ${option} to true` : `give ${option} the statement that does`;
}

function openTable(
  config: TableConfig,
  connectionString: string,
  { log, group, maxInFlight, halts, env }: TableParts,
): PipelineSink {
  const { table, createTable = config.columns === undefined, effectivelyOnce } = config;
  const byKey = config.columns === undefined && !effectivelyOnce ? defaultKey : undefined;
  const conflict = config.conflict ?? byKey;
  const options: PostgresSinkOptions<Outgoing> = {
    ...{ connectionString, maxConnections: maxInFlight, table, env },
    ...(halts ? { badRows: 'halt' as const } : {}),
    columns: Object.fromEntries(
      Object.entries(config.columns ?? defaultColumns).map(([name, column]) => [name, columnOf(column)]),
    ),
    ...(createTable === false ? {} : { createTable: createTable === true ? createTableText(table) : createTable }),
    ...(conflict === undefined ? {} : { conflict: conflict as PostgresSinkOptions<Outgoing>['conflict'] & object }),
  };
  if (!effectivelyOnce) return postgresSink<Outgoing>(options);
  return ledgerSink<Outgoing>({ ...options, ledger: { log, group } });
}

function columnOf(column: string | { readonly from: string; readonly type?: string | undefined }): PostgresColumn<Outgoing> {
  const { from, type } = typeof column === 'string' ? { from: column, type: undefined } : column;
  // The catalogue knows the types: one in the configuration is only held against it.
  return { value: readerOf(from, type), ...(type === undefined ? {} : { type }) };
}

function readerOf(from: string, type: string | undefined): (event: Outgoing) => PostgresValue {
  if (from === 'payload') return (event) => event.json;
  if (from === 'receivedAt') return dateOf();
  if (from === 'id' || from === 'tenant' || from === 'time' || from === 'offset' || from === 'stream')
    return (event) => event[from];
  const path = from.replace(/^payload\./, '').split('.');
  const text = /^jsonb?$/i.test(type ?? '') ? jsonText : scalar;
  return (event) => text(path.reduce<unknown>(member, event.data));
}

/** Events come many in a millisecond: those share a date. */
function dateOf(): (event: Outgoing) => Date {
  let date = new Date(0);
  return ({ receivedAt }) => {
    if (date.getTime() !== receivedAt) date = new Date(receivedAt);
    return date;
  };
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function jsonText(value: unknown): PostgresValue {
  return value === undefined || value === null ? null : JSON.stringify(value);
}

/** Objects and lists go as JSON text; a text goes as it is, which is JSON only where the configuration says that it is to be. */
function scalar(value: unknown): PostgresValue {
  if (value === undefined || value === null) return null;
  return typeof value === 'object' ? JSON.stringify(value) : (value as PostgresValue);
}
