/** The part of a configuration that says where the planes listen and what a request may hold. */

import { z } from 'zod';
import { bytes, mebibytes, milliseconds, name, whole } from './numbers.js';

const port = whole(0, 65_535);

/** The data plane. */
export const gatewaySchema = z.strictObject({
  /** Address to listen on. Default 127.0.0.1: this machine alone. */
  host: z.string().min(1).default('127.0.0.1'),
  /** Port; 0 takes a free one. Default 8080. */
  port: port.default(8_080),
  /** Accept events from other machines though there are no keys. Default false: such a configuration is refused. */
  publicWithoutKeys: z.boolean().default(false),
  /** Longest URL in bytes; above it 414. Default 8,000. */
  maxUrlBytes: bytes(100).default(8_000),
  /** Largest body in bytes, before and after inflation; above it 413. Default 10 MiB. */
  maxBodyBytes: bytes(1).default(mebibytes(10)),
  /** Most items in one request; above it 413. Default 10,000. */
  maxItems: whole(1, 1_000_000).default(10_000),
  /** Largest item in bytes; above it that item is refused. Default 1 MiB. */
  maxItemBytes: bytes(1).default(mebibytes(1)),
  /** Deepest nesting in an item; above it the item is refused. Default 1,000. */
  maxDepth: whole(1, 10_000).default(1_000),
  /** Most bytes of bodies under way in all requests together; above it 503. Default 256 MiB. */
  maxHeldBodyBytes: bytes(1).default(mebibytes(256)),
  /** Open connections; one more is refused. Default 10,000. */
  maxConnections: whole(1).default(10_000),
  /** How long a request may take to arrive, and its answer to be read, in milliseconds; above it 408. Default 60,000. */
  requestTimeoutMs: milliseconds(1).default(60_000),
  /** How long `ack=committed` waits for the pipeline, in milliseconds. Default 10,000. */
  ackTimeoutMs: milliseconds(1).default(10_000),
});

/** The control plane. */
export const controlSchema = z.strictObject({
  /** Address to listen on. Default 127.0.0.1: this machine alone. */
  host: z.string().min(1).default('127.0.0.1'),
  /** Port; 0 takes a free one. Default 8081. */
  port: port.default(8_081),
});

/** `GET /read`. */
export const readsSchema = z.strictObject({
  /** The key-value backends: of several, each key is asked of one, chosen by the key. Default: the built-in reference backend. */
  upstreams: z
    .array(z.url({ protocol: /^https?$/ }))
    .min(1)
    .max(100)
    .optional(),
  /** How long keys are collected into one call, in milliseconds. Default 100. */
  windowMs: milliseconds(0, 60_000).default(100),
  /** Longest time of one call, in milliseconds; above it 504. Default 10,000. */
  timeoutMs: milliseconds(1).default(10_000),
  /** Keys that may wait for an answer at once; above it 503. Default 100,000. */
  maxHeldItems: whole(1).default(100_000),
});

/** An API key: who it stands for and what it may do. The key itself is not kept. */
export const keySchema = z.strictObject({
  /** Names it in logs and reports. */
  id: name,
  /** SHA-256 of the key in hexadecimal, after `sha256:`; `sluice key` makes a key and prints this line. */
  hash: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256: and 64 hexadecimal digits, as `sluice key` prints them'),
  /** The tenant whose events it sends and whose keys it reads. */
  tenant: name,
  /** What it may do. Default: write and read. */
  scopes: z
    .array(z.enum(['write', 'read', 'admin']))
    .min(1)
    .default(['write', 'read']),
});

/** What a tenant may use. Under the name `*`: each tenant that has no entry of its own. */
export const tenantSchema = z.strictObject({
  /** Items a second. Default: no bound of its own. */
  itemsPerSecond: z.number().positive().optional(),
  /** Items that may come at once after a pause. Default: one second's worth. */
  burst: whole(1).optional(),
  /** Its share when the service is busy, against the others'. Default 1. */
  share: z.number().min(0.01).max(100).default(1),
  /** Requests under way at most; above it 429. Default 1,000. */
  maxRequests: whole(1).default(1_000),
  /** Items under way at most: received and not in the log yet; above it 429. Default 100,000. */
  maxHeldItems: whole(1).default(100_000),
});
