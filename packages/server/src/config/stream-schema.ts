/** The part of a configuration that says how a stream is kept, and the bounds of the log. */

import { z } from 'zod';
import { bytes, mebibytes, milliseconds, whole } from './numbers.js';

/** What of a Zod schema is used, of any version of Zod. */
export interface ZodLike {
  safeParse(value: unknown): {
    readonly success: boolean;
    readonly error?: { readonly issues: readonly { readonly path: PropertyKey[]; readonly message: string }[] };
  };
}

/** Its methods are often its prototype's: such an object must be passed on as it is. */
export function isZodSchema(value: unknown): value is ZodLike {
  return typeof value === 'object' && value !== null && typeof (value as Partial<ZodLike>).safeParse === 'function';
}

const year = 366 * 86_400_000;

/** One version of what an item of a stream must look like. */
const schemaVersion = z.strictObject({
  /** The version: events name it in `schemaVersion`, or in the `dataschema` of a CloudEvent; else the highest is taken. */
  version: whole(1),
  /** JSON Schema (draft 2020-12), as an object or the path of a file. In TypeScript also a Zod schema. */
  schema: z.union([z.string().min(1), z.custom<ZodLike>(isZodSchema).meta({ title: 'a Zod schema' }), z.looseObject({})]),
  /** Makes an item of this version one of the next: a function, or `module.js#name`. */
  upcast: z.union([z.string().min(1), z.custom<(item: unknown) => unknown>((value) => typeof value === 'function')]).optional(),
});

/** How a stream is kept. */
export const streamSchema = z.strictObject({
  /** Partitions, fixed when the stream is made: an order key stays in one. Default 1. */
  partitions: whole(1, 1_024).default(1),
  /** The field that keeps order: items with the same value go to the same partition, in order. Default: none; the items of a request stay together, and requests take turns over the partitions. */
  key: z.string().min(1).optional(),
  /** How long records stay that every pipeline has read. Default: they are removed as soon as all have. */
  retention: z
    .strictObject({
      /** Records are kept this long, in milliseconds. Default: no bound. */
      maxAgeMs: milliseconds(1_000, 10 * year).optional(),
      /** Bytes kept. Default: no bound of its own. */
      maxBytes: bytes(mebibytes(1)).optional(),
      /** `keep`: never removes what a pipeline has not read. `expire`: does, and counts it. Default keep. */
      policy: z.enum(['keep', 'expire']).default('keep'),
    })
    .prefault({}),
  /** The window in which a second event with the same id is a duplicate. */
  ids: z
    .strictObject({
      /** Ids remembered, for each tenant. Default 1,000,000. */
      maxItems: whole(1).default(1_000_000),
      /** How long, in milliseconds. Default 7 days. */
      maxAgeMs: milliseconds(1, year).default(7 * 86_400_000),
    })
    .prefault({}),
  /** What items must look like; an item that does not is refused by its index. Default: any JSON. */
  schemas: z.array(schemaVersion).min(1).max(100).optional(),
});

/** The durable log. */
export const logSchema = z.strictObject({
  /** Events in memory, not yet appended. Default 100,000. */
  maxHeldItems: whole(1).default(100_000),
  /** Their bytes. Default 64 MiB. */
  maxHeldBytes: bytes(1).default(mebibytes(64)),
  /** Bytes of the log on disk; above it 503. Default: the disk, less `reserveBytes`. */
  maxBytes: bytes(mebibytes(1)).optional(),
  /** Free disk space that appends leave for cursors and dead letters. Default 64 MiB. */
  reserveBytes: bytes(0).default(mebibytes(64)),
  /** Bounds of the dead letters of all pipelines. At a bound a pipeline that would park one more stops until some are gone: none is dropped. */
  deadLetters: z
    .strictObject({
      /** How many are kept. Default 1,000,000. */
      maxItems: whole(1).default(1_000_000),
      /** Their bytes. Default 1 GiB. */
      maxBytes: bytes(1).default(mebibytes(1_024)),
      /** They are removed, and counted, after this time. Default: kept. */
      maxAgeMs: milliseconds(1_000, 10 * year).optional(),
    })
    .prefault({}),
  /** A flush that takes longer stops the log. Default 30,000 ms. */
  flushTimeoutMs: milliseconds(1).default(30_000),
});
