/** Plan: what a load sends, how often and as whom, with every bound of it. */

import { randomBytes } from 'node:crypto';
import type { AckLevel } from '../../gateway/receipt.js';
import { UsageError } from '../command-io.js';
import { type GatewayFlags, prefixOf } from '../service-flags.js';
import { readSenders, type Sender } from './senders.js';

/** The flags of `sluice load`. */
export interface LoadFlags extends GatewayFlags {
  /** Events a second. With `reads`, requests of events make room for reads. */
  readonly rate: number;
  /** Seconds. */
  readonly duration: number;
  /** Seconds before that, sent and not measured. */
  readonly warmup: number;
  /** Items a request. */
  readonly batch: number;
  /** Bytes an item. */
  readonly bytes: number;
  /** Default: `json` for single events, `ndjson` for batches. */
  readonly format?: BodyFormat;
  readonly ack: AckLevel;
  readonly connections: number;
  /** Seconds. */
  readonly timeout: number;
  /** A file of API keys. Default: the one key, or none. */
  readonly keys?: string;
  /** So many of them. Default: all. */
  readonly tenants?: number;
  /** Share of the requests that are reads, from 0 to 1. */
  readonly reads: number;
  readonly readKeys: number;
}

/** How items stand in a body. */
export type BodyFormat = 'json' | 'ndjson';

/** What is sent. */
export interface Plan extends Omit<LoadFlags, 'format' | 'keys'> {
  readonly stream: string;
  readonly format: BodyFormat;
  readonly origin: string;
  readonly path: string;
  readonly readPaths: readonly string[];
  readonly healthPath: string;
  /** Milliseconds from one request to the next. */
  readonly intervalMs: number;
  /** Requests in all, those of the warm-up included. */
  readonly requests: number;
  /** The first of them, which are not measured. */
  readonly warmupRequests: number;
  /** Requests without an answer at most: beyond, none is sent, and that is counted. */
  readonly maxOutstanding: number;
  /** First part of each id: another load has others. */
  readonly run: string;
  readonly senders: readonly Sender[];
}

/** Bodies under way, in bytes, and requests, at most. */
const maxBodyBytes = 256 * 1024 * 1024;
const maxRequests = 50_000;

/**
 * Makes a plan.
 *
 * @throws UsageError for a stream without a name, flags that contradict each other, or a file of keys that cannot be used.
 */
export async function planLoad({ format, keys, ...flags }: LoadFlags, stream: string): Promise<Plan> {
  if (!/^[A-Za-z0-9_.-]{1,128}$/.test(stream))
    throw new UsageError('expected a stream name of 1 to 128 letters, digits, dots, hyphens and underscores');
  if (flags.tenants !== undefined && keys === undefined)
    throw new UsageError('--tenants needs their API keys: a tenant is known by its key; give a file of them with --keys');
  if (keys !== undefined && flags.key !== undefined && flags.key !== '')
    throw new UsageError('--keys cannot be used with --key; leave one of them away');
  const url = new URL(flags.url);
  const prefix = prefixOf(url);
  const intervalMs = (1_000 * flags.batch) / flags.rate;
  const requestsIn = (seconds: number): number => Math.round((seconds * 1_000) / intervalMs);
  const warmupRequests = requestsIn(flags.warmup);
  return {
    ...flags,
    stream,
    format: format ?? (flags.batch === 1 ? 'json' : 'ndjson'),
    origin: url.origin,
    path: `${prefix}/v1/streams/${stream}/events?ack=${flags.ack}`,
    readPaths: Array.from({ length: flags.readKeys }, (_, i) => `${prefix}/read?keys=k${i}`),
    healthPath: `${prefix}/healthz`,
    intervalMs,
    requests: warmupRequests + Math.max(1, requestsIn(flags.duration)),
    warmupRequests,
    maxOutstanding: Math.max(1, Math.min(maxRequests, Math.floor(maxBodyBytes / (flags.batch * flags.bytes)))),
    run: randomBytes(4).toString('hex'),
    senders: await readSenders(keys, flags.key, flags.tenants),
  };
}
