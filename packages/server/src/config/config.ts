/** Configuration: one schema for TypeScript, JavaScript, YAML and JSON, and the defaults of everything. */

import { z } from 'zod';
import { controlSchema, gatewaySchema, keySchema, readsSchema, tenantSchema } from './gateway-schema.js';
import { milliseconds, name } from './numbers.js';
import { outboxSchema } from './outbox-schema.js';
import { pipelineSchema } from './pipeline-schema.js';
import { logSchema, streamSchema } from './stream-schema.js';

const names = <T extends z.ZodType>(value: T) => z.record(name, value);

/** The whole configuration. */
export const configSchema = z.strictObject({
  /** Where log and embedded database live, relative to the configuration. Default ./data. */
  dataDir: z.string().min(1).default('./data'),
  /** A PostgreSQL to use in place of the embedded one. Default: DATABASE_URL; without it the embedded one. */
  database: z
    .string()
    .regex(/^postgres(ql)?:\/\//i, 'expected an address such as postgres://user:password@host:5432/database')
    .optional(),
  /** How long a stop may take, in milliseconds. Default 30,000. */
  drainDeadlineMs: milliseconds(0).default(30_000),
  /** The data plane. */
  gateway: gatewaySchema.prefault({}),
  /** The control plane. */
  control: controlSchema.prefault({}),
  /** `GET /read`. */
  reads: readsSchema.prefault({}),
  /** The durable log. */
  log: logSchema.prefault({}),
  /** API keys. Default none: everyone who can connect may write and read. */
  keys: z.array(keySchema).max(100_000).default([]),
  /** What tenants may use, by name; `*` for all others. */
  tenants: z.record(z.union([name, z.literal('*')]), tenantSchema).default({}),
  /** How streams are kept. A stream that is not listed is made when its first event comes, with the defaults. */
  streams: names(streamSchema).default({}),
  /** Tables of PostgreSQL that your transactions write events to, relayed into the log. Default none. */
  outboxes: names(outboxSchema).default({}),
  /** Where streams go. Default: the stream events into the table events. */
  pipelines: names(pipelineSchema).default(() => ({ events: pipelineSchema.parse({ sink: { type: 'postgres' } }) })),
});

/** A configuration as it is written: everything has a default. */
export type ConfigInput = z.input<typeof configSchema>;

/** A configuration with its defaults filled in. */
export type Config = z.output<typeof configSchema>;

/** One pipeline of a {@link Config}. */
export type PipelineConfig = z.output<typeof pipelineSchema>;

/** Where a pipeline's events go. */
export type SinkConfig = PipelineConfig['sink'];
