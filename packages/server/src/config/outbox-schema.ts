/** The part of a configuration that says which outboxes are relayed into the log. */

import { z } from 'zod';
import { bytes, mebibytes, milliseconds, name, whole } from './numbers.js';

/** An outbox: a table that your transactions write events to. */
export const outboxSchema = z.strictObject({
  /** The server itself, or a pooler in session mode. Default: `database`, which is the embedded one without DATABASE_URL. */
  url: z.string().min(1).optional(),
  /** Its table, `outbox` or `schema.outbox`; others are named after it. Default outbox. */
  table: z
    .string()
    .regex(
      /^([a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,39}$/,
      'expected table or schema.table in lower-case letters, digits and _, 40 characters at most',
    )
    .default('outbox'),
  /** Makes the tables where they are absent. Default true; false where your own migrations do. */
  createTable: z.boolean().default(true),
  /** The stream that all its events go to. Default: the one that each event names. */
  stream: name.optional(),
  /** How many services can share the work, fixed when the tables are made. Default 16. */
  shards: whole(1, 1_024).default(16),
  /** Length of a partition of the table, in milliseconds. Default an hour. */
  partitionMs: milliseconds(1_000).default(3_600_000),
  /** How long delivered events stay after the time of their partition, in milliseconds. Default 0. */
  keepMs: milliseconds(0, 366 * 86_400_000).default(0),
  /** Events that are read and appended at once. Default 2,000. */
  maxItems: whole(1, 100_000).default(2_000),
  /** Payload bytes that are read at once; one event at least is read. Default 4 MiB. */
  maxBytes: bytes().default(mebibytes(4)),
  /** How often it looks without having been notified, in milliseconds. Default 1,000. */
  pollMs: milliseconds(1).default(1_000),
});
