/** Relay: hands the events of an outbox on, in order, once their transactions are committed. */

import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Sink } from '../core/dispatcher.js';
import { invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import type { RetryOptions } from '../layers/retry.js';
import type { Outbox } from './outbox.js';
import type { OutboxRecord } from './relay-pages.js';
import { type RelayReport, type RelayStats, relayWork } from './relay-work.js';

/** Options of {@link createRelay}. Give either `pool` or `connectionString`. */
export interface RelayOptions {
  /** What is relayed. Its tables exist: `outbox.migrate` made them. */
  readonly outbox: Pick<Outbox, 'tables' | 'partitions'>;
  /**
   * Where the events go: `logSink(log)`, `batcherSink(batcher)`, or any sink. `idempotent`, or an event whose fate a time-out leaves
   * unknown is parked. `atomic`, or a call holds one event a key at most, so that a call that fails in part cannot change the order.
   */
  readonly sink: Sink<OutboxRecord, unknown>;
  /** Lends its settings, not its connections: the relay keeps one of its own. Default none. */
  readonly pool?: Pool;
  /** `postgres://user:password@host:port/database`: the server itself, or a pooler in session mode. Default none. */
  readonly connectionString?: string;
  /** Events that are read and delivered at once, 1 or more. Default 2,000. */
  readonly maxItems?: number;
  /** Payload bytes that are read at once, 1 or more; one event at least is read. Default 4 MiB. */
  readonly maxBytes?: number;
  /** How often it looks without having been told of anything, in milliseconds, 1 or more. Default 1,000. */
  readonly pollMs?: number;
  /** How long a relay that died keeps its shards, in milliseconds, 100 or more. Default 10,000. */
  readonly leaseMs?: number;
  /** Longest time of one call of the sink, in milliseconds, 1 or more. Default 30,000. */
  readonly timeoutMs?: number;
  /** Pauses between attempts. Transient and blocked failures are tried until they succeed. Default `{ maxDelayMs: 5_000 }`. */
  readonly retry?: Pick<RetryOptions, 'baseMs' | 'maxDelayMs' | 'jitter'>;
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

/** A relay that runs. */
export interface Relay {
  /** What it does, and has done. */
  stats(): RelayStats;
  /** Looks for events now. It does so by itself; for tests, and for who enqueues without `notify`. */
  wake(): void;
  /**
   * Delivers what it has read, gives its shards to the other relays and ends. At the deadline (default 30,000 ms) it ends all the same: what was
   * under way is delivered again by whoever takes its shards. Idempotent.
   */
  close(options?: { readonly deadlineMs?: number }): Promise<RelayReport>;
}

/**
 * Starts a relay: it reads committed events of the outbox and hands them to the sink, at least once; the ids of the events tell a second
 * delivery from a first, as a log does at append.
 *
 * **Which events.** Numbers are given out before commit, so a reader that remembers the last number loses the events of a
 * transaction that commits later. The relay remembers a snapshot instead (`pg_current_snapshot`), and a round delivers what is
 * visible in a new snapshot and was not in the last: every committed event exactly once, and no transaction that stays open holds back another's
 * events. (The method of PgQ; a reader below `pg_snapshot_xmin` loses nothing either, but waits for the oldest transaction.)
 *
 * **In which order.** Within a key: an event that was enqueued after another's transaction had committed comes after it. So transactions
 * that lock what their key stands for, and then enqueue, have their events in commit order. Events of one transaction keep
 * their order. Of two transactions that overlap and lock nothing in common, either may come first: PostgreSQL itself has no record of it.
 * Across keys there is no order.
 *
 * **Several relays** on one outbox share its shards evenly, by leases on the server's clock; each owner of a shard has a number, and what an earlier
 * owner still writes down is refused. One that dies is replaced after `leaseMs`.
 *
 * **Failures.** What is transient or blocked is tried until it succeeds; an event that the sink refuses for good goes to the
 * table of dead letters, in the transaction that moves the cursor, and the next one follows. A lost connection is opened again; what was delivered
 * meanwhile is not delivered twice.
 *
 * It needs a connection to the server itself: LISTEN does not pass a pooler in transaction mode. The role must own the tables, to drop their partitions.
 *
 * @throws SluiceError `INVALID_OPTION`
 *
 * @example
 * const relay = createRelay({ outbox, pool, sink: logSink(log) });
 * await relay.close();
 */
export function createRelay(options: RelayOptions): Relay {
  checkNames('createRelay', options, optionNames);
  const { outbox, sink, pool, connectionString, env = systemEnv() } = options;
  if (outbox?.tables === undefined) throw invalidOption('createRelay.outbox must be an outbox, made by createOutbox');
  if (typeof sink?.write !== 'function') throw invalidOption('createRelay needs a sink with a write(items) function');
  if ((pool === undefined) === (connectionString === undefined))
    throw invalidOption('createRelay takes either pool or connectionString; give exactly one of them');
  const count = { least: 1, whole: true };
  const work = relayWork({
    id: randomUUID(),
    tables: outbox.tables,
    partitions: outbox.partitions,
    sink,
    pool,
    connectionString,
    bounds: {
      maxItems: numberOption('createRelay.maxItems', options.maxItems, 2_000, count),
      maxBytes: numberOption('createRelay.maxBytes', options.maxBytes, 4 << 20, count),
    },
    pollMs: numberOption('createRelay.pollMs', options.pollMs, 1_000, { least: 1 }),
    leaseMs: numberOption('createRelay.leaseMs', options.leaseMs, 10_000, { least: 100 }),
    timeoutMs: numberOption('createRelay.timeoutMs', options.timeoutMs, 30_000, { least: 1 }),
    retry: options.retry ?? {},
    env,
  });
  let closing: Promise<RelayReport> | undefined;
  return {
    stats: work.stats,
    wake: work.wake,
    close(closeOptions = {}) {
      checkNames('close', closeOptions, ['deadlineMs']);
      const deadlineMs = numberOption('close.deadlineMs', closeOptions.deadlineMs, 30_000, { least: 0, infinite: true });
      closing ??= work.close(deadlineMs);
      return closing;
    },
  };
}

const optionNames = [
  'outbox',
  'sink',
  'pool',
  'connectionString',
  'maxItems',
  'maxBytes',
  'pollMs',
  'leaseMs',
  'timeoutMs',
  'retry',
  'env',
];

export type { RelayReport, RelayStats, SluiceError };
