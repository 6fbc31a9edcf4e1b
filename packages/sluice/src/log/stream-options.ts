/** Options of a stream: partitions, retention, and the window of ids. */

import { invalidOption, type SluiceError, shorten } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';

/** Options of a stream. What is left out comes from the log's `streamDefaults`. */
export interface StreamOptions {
  /** Number of partitions, 1 to 1,024. Default 1. Fixed once the stream exists: a key's partition never changes. */
  readonly partitions?: number;
  /** How long records are kept. Default: until every group has settled them. */
  readonly retention?: RetentionOptions;
  /** The window of ids that knows duplicates. Default: 1,000,000 ids of the last 7 days. */
  readonly ids?: IdWindowOptions;
}

/**
 * How long records are kept.
 *
 * Without a bound, a record goes as soon as every group of the stream has settled it, and stays while the stream has no group. With one,
 * records are kept until they are older than `maxAgeMs` or the partition holds more than `maxBytes`, whichever comes first; the groups that
 * the stream has then hold on to what they have not settled, unless the policy is `'expire'`. Whole chunks are removed, never parts.
 */
export interface RetentionOptions {
  /** Age, counted from the append, in milliseconds of the wall clock. Default: no bound. */
  readonly maxAgeMs?: number;
  /** Bytes of a partition, as stored. Default: no bound. */
  readonly maxBytes?: number;
  /** `'keep'` never removes what a group has not settled; `'expire'` does, and counts it for each group. Default `'keep'`. */
  readonly policy?: 'keep' | 'expire';
}

/** The window of ids, for each tenant of a stream. */
export interface IdWindowOptions {
  /** How many ids are remembered, 1 or more. Default 1,000,000. */
  readonly maxItems?: number;
  /** How long an id is remembered, in milliseconds of the wall clock, 1 or more. Default 7 days. */
  readonly maxAgeMs?: number;
}

/** The options of a stream with every default filled in. A bound that is not set is `Infinity`. */
export interface StreamSettings {
  readonly partitions: number;
  readonly retention: Required<RetentionOptions>;
  readonly ids: Required<IdWindowOptions>;
}

/** Most partitions of a stream. */
export const maxPartitions = 1_024;

/** The settings of a stream that nobody has said anything about. */
export const defaultStreamSettings: StreamSettings = {
  partitions: 1,
  retention: { maxAgeMs: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY, policy: 'keep' },
  ids: { maxItems: 1_000_000, maxAgeMs: 7 * 24 * 3_600_000 },
};

/**
 * Fills the options of a stream in.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function streamSettings(
  where: string,
  options: StreamOptions,
  defaults: StreamSettings = defaultStreamSettings,
): StreamSettings {
  checkNames(where, options, ['partitions', 'retention', 'ids']);
  const { retention = {}, ids = {} } = options;
  checkNames(`${where}: retention`, retention, ['maxAgeMs', 'maxBytes', 'policy']);
  checkNames(`${where}: ids`, ids, ['maxItems', 'maxAgeMs']);
  const bound = { least: 0, infinite: true };
  const count = { least: 1, whole: true };
  const partitions = numberOption(`${where}: partitions`, options.partitions, defaults.partitions, count);
  if (partitions > maxPartitions) {
    throw invalidOption(`${where}: partitions must be ${maxPartitions} or fewer; got ${partitions}`);
  }
  const kept = {
    maxAgeMs: numberOption(`${where}: retention.maxAgeMs`, retention.maxAgeMs, defaults.retention.maxAgeMs, bound),
    maxBytes: numberOption(`${where}: retention.maxBytes`, retention.maxBytes, defaults.retention.maxBytes, bound),
    policy: retention.policy ?? defaults.retention.policy,
  };
  if (kept.policy !== 'keep' && kept.policy !== 'expire') {
    throw invalidOption(`${where}: retention.policy must be 'keep' or 'expire'; got ${shorten(kept.policy)}`);
  }
  if (kept.policy === 'expire' && kept.maxAgeMs === Number.POSITIVE_INFINITY && kept.maxBytes === Number.POSITIVE_INFINITY) {
    throw invalidOption(`${where}: retention.policy 'expire' needs retention.maxAgeMs or retention.maxBytes`);
  }
  return {
    partitions,
    retention: kept,
    ids: {
      maxItems: numberOption(`${where}: ids.maxItems`, ids.maxItems, defaults.ids.maxItems, count),
      maxAgeMs: numberOption(`${where}: ids.maxAgeMs`, ids.maxAgeMs, defaults.ids.maxAgeMs, { least: 1, infinite: true }),
    },
  };
}

/** Nothing holds records but the groups that have not settled them. */
export function isUnbounded({ maxAgeMs, maxBytes }: StreamSettings['retention']): boolean {
  return maxAgeMs === Number.POSITIVE_INFINITY && maxBytes === Number.POSITIVE_INFINITY;
}

/** Keys would change their partition, and lose their order. */
export function partitionsFixed(stream: string, partitions: number): SluiceError {
  return invalidOption(
    `stream ${JSON.stringify(stream)} has ${partitions} partitions, which is fixed once a stream exists: make another stream, or leave partitions out`,
  );
}
