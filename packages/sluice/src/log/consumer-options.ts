/** Options of a consumer, and what is made of them. */

import type { Sink } from '../core/dispatcher.js';
import { invalidOption } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Window } from '../core/window.js';
import type { Env } from '../env/env.js';
import type { BreakerOptions } from '../layers/breaker.js';
import type { RateOptions } from '../layers/rate.js';
import type { RetryOptions } from '../layers/retry.js';
import type { Log } from './log.js';
import type { PoisonOptions } from './poison.js';
import { poisonOptions } from './poison.js';
import type { StartAt } from './position.js';
import type { LogRecord } from './record.js';

/** Options of {@link createConsumer}. */
export interface ConsumerOptions {
  /** Where the records come from, and where their settlements go. */
  readonly log: Log;
  /** The stream that is read. */
  readonly stream: string;
  /**
   * Names the cursors. Groups are independent of each other: each gets every record, and a slow or failing one holds up nobody else.
   * Consumers of one group share its partitions.
   */
  readonly group: string;
  /** Where the records go. Idempotent, or a timed-out batch is parked rather than tried again. */
  readonly sink: Sink<LogRecord, unknown>;
  /** Where a group begins that does not exist yet. Default `'start'`: the first record stored. */
  readonly from?: StartAt;
  /**
   * When a batch is due. With a `maxDelayMs`, what is held leaves earlier while somebody waits for it ({@link Consumer.settled}). Default
   * `{ maxDelayMs: 50 }`.
   */
  readonly window?: Window;
  /** Records a batch. Default 2,000. */
  readonly maxItems?: number;
  /** Payload bytes a batch. Default 4 MiB. */
  readonly maxBytes?: number;
  /** Sink calls that run at once. Default 4. */
  readonly maxInFlight?: number;
  /**
   * How far reading runs ahead of the cursors, in bytes of memory, settled records included, over all partitions of this consumer, each with
   * an equal share. A record that is larger alone is read alone. Default 64 MiB.
   */
  readonly maxAheadBytes?: number;
  /**
   * How far reading runs ahead of the cursor of one partition, in records. Default 16,000: twice what may be in flight. More than a sink asks for
   * is memory for nothing.
   */
  readonly maxAhead?: number;
  /** Lanes over which keys are spread, hence calls that may run at once for records with keys. Default 8. */
  readonly shards?: number;
  /**
   * Strict order: the records of a partition are written in the order of their offsets, one batch at a time. After one that fails for good
   * `'deadLetter'` parks it and goes on; `'halt'` stops the partition in front of it until `resume`. A sink that is not `atomic` gets one
   * record a call. Default: order by key only; records without a key have none.
   */
  readonly strict?: 'halt' | 'deadLetter';
  /** Longest time of one sink call, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /**
   * Pauses between attempts, and how many attempts there are. Default `{ maxDelayMs: 1_000, maxAttempts: Infinity }`: what is transient is
   * tried until it succeeds, since the records are safe in the log; with a number, what failed that often is parked. What is blocked is never
   * given up.
   */
  readonly retry?: Pick<RetryOptions, 'baseMs' | 'maxDelayMs' | 'jitter' | 'maxAttempts'>;
  /** Stops calling a sink that fails and probes it: see `breaker` of sluice/layers. What it holds back is tried again. Default: none. */
  readonly breaker?: Pick<BreakerOptions, 'maxFailures' | 'cooldownMs'>;
  /** Bound on calls, or records with `by: 'items'`, a second. Default: none. */
  readonly rate?: Pick<RateOptions, 'perSecond' | 'burst' | 'by'>;
  /** What is done about records at which the process dies. Default: see {@link PoisonOptions}. */
  readonly poison?: PoisonOptions;
  /**
   * How long the calls of a partition that are under way may take before it goes to another consumer, or is paused or moved by `seek`, in
   * milliseconds; then they are cut off, and their records are delivered again. What waits for its next try is not waited for: it stays in the
   * log. Default 30,000.
   */
  readonly handOverMs?: number;
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

const optionNames = [
  ...'log stream group sink from window maxItems maxBytes maxInFlight maxAheadBytes maxAhead shards strict timeoutMs retry'.split(
    ' ',
  ),
  ...'breaker rate poison handOverMs env'.split(' '),
];

const count = { least: 1, whole: true };

/**
 * Checks the options and fills them in.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function consumerSettings(options: ConsumerOptions) {
  checkNames('createConsumer', options, optionNames);
  const { sink, strict, retry = {} } = options;
  if (typeof sink?.write !== 'function') throw invalidOption('createConsumer needs a sink with a write(items) function.');
  if (strict !== undefined && strict !== 'halt' && strict !== 'deadLetter') {
    throw invalidOption(`createConsumer: strict must be 'halt' or 'deadLetter'; got ${String(strict)}`);
  }
  checkNames('createConsumer: retry', retry, ['baseMs', 'maxDelayMs', 'jitter', 'maxAttempts']);
  const number = (name: keyof ConsumerOptions, fallback: number, range: Parameters<typeof numberOption>[3] = count) =>
    numberOption(`createConsumer: ${name}`, options[name] as number | undefined, fallback, range);
  return {
    strict,
    retry,
    window: options.window ?? { maxDelayMs: 50 },
    maxItems: number('maxItems', 2_000),
    maxBytes: number('maxBytes', 4 << 20),
    maxInFlight: number('maxInFlight', 4),
    maxAheadBytes: number('maxAheadBytes', 64 << 20, { ...count, infinite: true }),
    maxAhead: number('maxAhead', 16_000, { ...count, infinite: true }),
    shards: number('shards', 8),
    timeoutMs: number('timeoutMs', 30_000, { least: 1 }),
    handOverMs: number('handOverMs', 30_000, { least: 0 }),
    poison: poisonOptions('createConsumer: poison', options.poison),
  };
}

/** The options of a consumer with every default filled in. */
export type ConsumerSettings = ReturnType<typeof consumerSettings>;
