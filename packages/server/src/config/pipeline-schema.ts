/** The part of a configuration that says where a stream goes: sink, windows, order, and what is done about failures. */

import { z } from 'zod';
import { bytes, mebibytes, milliseconds, name, whole } from './numbers.js';

/** A function of the user's, or where it is: `./module.js#name`, relative to the configuration. */
function userFunction<F extends (...args: never[]) => unknown>() {
  return z.union([
    z.string().regex(/^[^#]+(#[A-Za-z_$][\w$]*)?$/, 'expected a function, or its module as in ./transform.js#name'),
    z.custom<F>((value) => typeof value === 'function', 'expected a function, or its module as in ./transform.js#name'),
  ]);
}

/** An event as a function of the user's sees it. */
export interface PipelineEvent {
  readonly stream: string;
  readonly partition: number;
  readonly offset: number;
  readonly id: string;
  readonly tenant: string;
  readonly time: string | null;
  readonly receivedAt: number;
  /** The payload, parsed. */
  readonly data: unknown;
}

/** What a handler says of one event. */
export type Verdict = 'ack' | 'retry' | 'dead' | { readonly verdict: 'retry' | 'dead'; readonly reason: string };

/** Takes a batch; returns nothing when all are done, or one verdict for each event, in order. */
export type Handler = (
  events: readonly PipelineEvent[],
  context: { readonly signal: AbortSignal; readonly batchId: string; readonly attempt: number },
) => Promise<readonly Verdict[] | void> | readonly Verdict[] | void;

const headers = z.record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'expected the name of an HTTP header'), z.string());

const column = z.union([
  z.string().min(1),
  z.strictObject({
    /** Where the value is: `id`, `tenant`, `time`, `receivedAt`, `offset`, `payload`, or a path in the payload as in `payload.user.id`. */
    from: z.string().min(1),
    /** Its type in PostgreSQL. Default: that of the column. With `jsonb` a text becomes a JSON string; else it must be JSON already. */
    type: z.string().min(1).optional(),
  }),
]);

const postgresSink = z.strictObject({
  type: z.literal('postgres'),
  /** The server. Default: `database`, which is the embedded one without DATABASE_URL. */
  url: z.string().min(1).optional(),
  /** The table; it may be `schema.table`. Default `events`. */
  table: z.string().min(1).default('events'),
  /** From column to where its value is. Default: tenant, id, time, received_at, payload. */
  columns: z.record(z.string().min(1), column).optional(),
  /** What to do about a row whose key is there already: columns of the key, and `ignore` or `update`. Default: the primary key of the default table, ignore. */
  conflict: z
    .strictObject({ columns: z.array(z.string().min(1)).min(1), action: z.enum(['ignore', 'update']).default('ignore') })
    .optional(),
  /** Creates the table when it is absent: true for the default columns, or the statement. Default true for the default columns, else false. */
  createTable: z.union([z.boolean(), z.string().min(1)]).optional(),
  /** Rows and progress in one transaction, so that a crash doubles nothing even without a conflict clause. Default false. */
  effectivelyOnce: z.boolean().default(false),
});

const httpSink = z.strictObject({
  type: z.literal('http'),
  /** Where batches are sent, each with an `Idempotency-Key`. */
  url: z.url({ protocol: /^https?$/ }),
  /** Default POST. */
  method: z.enum(['POST', 'PUT', 'PATCH']).default('POST'),
  /** Headers of each request, such as `authorization`. Default none. */
  headers: headers.default({}),
  /** `json`: an array of payloads. `ndjson`: a line each. `cloudevents`: a CloudEvents batch. Default json. */
  format: z.enum(['json', 'ndjson', 'cloudevents']).default('json'),
  /** Sends bodies gzipped. Default false. */
  gzip: z.boolean().default(false),
  /** The receiver takes the same batch twice without harm (each request has an `Idempotency-Key`): a lost reply is tried again. Default false. */
  idempotent: z.boolean().default(false),
});

const fileSink = z.strictObject({
  type: z.literal('file'),
  /** Folder of the files. They are written under a temporary name and renamed when complete. */
  dir: z.string().min(1),
  /** A file is closed at this size. Default 64 MiB. */
  maxBytes: bytes(1).default(mebibytes(64)),
  /** A file is closed after this time, in milliseconds. Default 60,000. */
  maxAgeMs: milliseconds(100).default(60_000),
  /** Gzips a file when it is complete. Default false. */
  gzip: z.boolean().default(false),
});

const streamSink = z.strictObject({
  type: z.literal('stream'),
  /** The stream to append to. */
  stream: name,
});

const moduleSink = z.strictObject({
  type: z.literal('module'),
  /** Run for each batch. */
  handler: userFunction<Handler>(),
  /** Running it twice with the same events does no harm. Default false. */
  idempotent: z.boolean().default(false),
});

/** Where events go. */
export const sinkSchema = z.discriminatedUnion('type', [postgresSink, httpSink, fileSink, streamSink, moduleSink]);

const window = z.union([
  z.strictObject({ maxDelayMs: milliseconds() }),
  z.strictObject({ quietMs: milliseconds(), maxDelayMs: milliseconds() }),
  z.strictObject({ throttleMs: milliseconds() }),
  z.strictObject({ everyMs: milliseconds(1) }),
  z.literal('whileBusy'),
]);

const retry = z.strictObject({
  /** Attempts that fail for a transient reason before an event is parked; `forever` holds on: it is safe in the log. Default forever. */
  maxAttempts: z.union([whole(1, 1_000), z.literal('forever')]).default('forever'),
  /** The first pause is from this to twice this, in milliseconds. Default 100. */
  baseMs: milliseconds(1).default(100),
  /** Cap of the doubling. Default 1,000. */
  maxDelayMs: milliseconds(1).default(1_000),
});

/** A pipeline. */
export const pipelineSchema = z.strictObject({
  /** The stream it reads. Default: the one of its own name. */
  stream: name.optional(),
  /** Names its cursor; two groups on one stream are independent. Default: the pipeline's name. */
  group: name.optional(),
  /** Where a new group begins. Default start. */
  from: z.enum(['start', 'end']).default('start'),
  /** Where its events go. */
  sink: sinkSchema,
  /** Only events for which it returns true go on; the others are settled. */
  filter: userFunction<(event: PipelineEvent) => boolean>().optional(),
  /** Makes the data that the sink sees; `undefined` leaves the event out. */
  map: userFunction<(event: PipelineEvent) => unknown>().optional(),
  /** Names the sink of `branches` for an event; `undefined`: `sink`. */
  branch: userFunction<(event: PipelineEvent) => string | undefined>().optional(),
  /** Other sinks, by the names that `branch` gives. Default none. */
  branches: z.record(name, sinkSchema).default({}),
  /** When a batch is due. Default `{ maxDelayMs: 50 }`. */
  window: window.default({ maxDelayMs: 50 }),
  /** Events in a batch. Default 2,000. */
  maxItems: whole(1, 1_000_000).default(2_000),
  /** Payload bytes in a batch. Default 4 MiB. */
  maxBytes: bytes().default(mebibytes(4)),
  /** Sink calls that run at once. Default 4. */
  maxInFlight: whole(1, 1_000).default(4),
  /** How far reading runs ahead of the cursor of a partition, in events. Default 16,000: twice what may be in flight. */
  maxAhead: whole(1).default(16_000),
  /** The same in bytes of memory, over all partitions. Default 64 MiB. */
  maxAheadBytes: bytes().default(mebibytes(64)),
  /** Longest time of one sink call, in milliseconds. Default 30,000. */
  timeoutMs: milliseconds(1).default(30_000),
  /** Lanes over which the keys of events are spread, hence calls that may run at once for events with keys. Default 8. */
  shards: whole(1, 1_000).default(8),
  /**
   * Events of one key always stay in order. With `deadLetter` or `halt` all events of a partition do, one batch at a time; after one that
   * failed for good it is parked and the others go on, or everything stops in front of it. Default false.
   */
  strict: z.union([z.literal(false), z.enum(['deadLetter', 'halt'])]).default(false),
  /** How a batch that failed is tried again. */
  retry: retry.prefault({}),
  /** Stops calling a sink that fails, and probes it. Default: after 5 failures in a row, for 2 s. `false`: never. */
  breaker: z
    .union([z.literal(false), z.strictObject({ maxFailures: whole(1).default(5), cooldownMs: milliseconds(1).default(2_000) })])
    .prefault({}),
  /** Most calls or events a second. Default: no bound. */
  rate: z
    .strictObject({
      /** How many a second. */
      perSecond: z.number().positive(),
      /** How many may come at once after a pause. Default 1. */
      burst: whole(1).default(1),
      /** What is counted. Default calls. */
      by: z.enum(['calls', 'items']).default('calls'),
    })
    .optional(),
  /** Starts without delivering: `sluice` and the control plane resume it. Default false. */
  paused: z.boolean().default(false),
});
