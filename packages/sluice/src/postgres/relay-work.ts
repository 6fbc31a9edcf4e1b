/** relay-work: what a relay does: read, deliver, write down; keep its leases meanwhile; end in order. */

import type { Pool } from 'pg';
import type { Sink } from '../core/dispatcher.js';
import { failure, type SluiceError } from '../core/errors.js';
import type { Cancel, Env } from '../env/env.js';
import type { RetryOptions } from '../layers/retry.js';
import { type PartitionRule, partitionsStatement } from './outbox-partitions.js';
import { type OutboxTables, restoredCondition } from './outbox-tables.js';
import { createDelivery } from './relay-delivery.js';
import {
  advanceStatement,
  advanceValues,
  type NewOutboxLetter,
  type OutboxRecord,
  type PageBounds,
  pageReader,
} from './relay-pages.js';
import { relaySession, restoredFailure } from './relay-session.js';
import { leaveStatement, readTended, releaseStatement, type ShardCursor, tendStatement } from './relay-shards.js';

/** What a relay does, and has done. */
export interface RelayStats {
  readonly state: 'running' | 'closing' | 'closed';
  /** The shards that it delivers, ascending. */
  readonly shards: readonly number[];
  /** Events that the sink took. */
  readonly delivered: number;
  /** Events that became dead letters. */
  readonly dead: number;
  /** Events in memory, on their way to the sink. */
  readonly held: number;
  /** It is told of what is enqueued; without, it polls. */
  readonly listening: boolean;
  /** What it last failed with, while it has not succeeded since. The events are safe in their table. */
  readonly problem: RelayProblem | undefined;
}

/** What a relay fails with. */
export interface RelayProblem {
  readonly where: 'database' | 'sink' | 'partitions';
  readonly code: string;
  readonly class: string;
  readonly message: string;
  /** Since when, in epoch milliseconds. */
  readonly since: number;
}

/** What the end of a relay reports. */
export interface RelayReport {
  /** Events that the sink took, since the relay was made. */
  readonly delivered: number;
  readonly dead: number;
  /** Events that were with the sink when the deadline passed: delivered again by whoever takes the shards. */
  readonly cutOff: number;
}

/** What a relay works with. */
export interface WorkOptions {
  readonly id: string;
  readonly tables: OutboxTables;
  readonly partitions: PartitionRule;
  readonly sink: Sink<OutboxRecord, unknown>;
  readonly pool: Pool | undefined;
  readonly connectionString: string | undefined;
  readonly bounds: PageBounds;
  readonly pollMs: number;
  readonly leaseMs: number;
  readonly timeoutMs: number;
  readonly retry: Pick<RetryOptions, 'baseMs' | 'maxDelayMs' | 'jitter'>;
  readonly env: Env;
}

/** A relay at work. */
export interface RelayWork {
  readonly stats: () => RelayStats;
  readonly wake: () => void;
  close(deadlineMs: number): Promise<RelayReport>;
}

/** A read of a large backlog sorts it once: this long, in milliseconds. */
const readWithinMs = 120_000;

/**
 * Each page walks an index in its order. The planner cannot know: a partition that was just made has no statistics, and it takes every
 * filter on a snapshot for a rare one (measured: a page of a backlog took 76 ms sorted, 5 ms walked).
 */
const byIndex = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off';

/** Begins at once. */
export function relayWork(options: WorkOptions): RelayWork {
  const { id, tables, bounds, pollMs, leaseMs, env } = options;
  const { clock } = env;
  const bell = createBell(clock);
  const ending = new AbortController();
  let state: RelayStats['state'] = 'running';
  let problem: RelayProblem | undefined;
  let cursors = new Map<number, ShardCursor>();
  /** More than this relay's share: given back between two pages. */
  let surplus: readonly number[] = [];
  let underWay: { readonly shards: ReadonlySet<number>; readonly aborter: AbortController } | undefined;
  let held = 0;
  let delivered = 0;
  let dead = 0;
  let writtenAt = clock.now();

  const opened = { pool: options.pool, connectionString: options.connectionString, env };
  // Two connections: while one reads a large backlog, the other keeps the leases.
  const lookout = relaySession({ ...opened, greeting: `LISTEN ${tables.channel}`, timeoutMs: leaseMs, onNotified: bell.ring });
  const worker = relaySession({ ...opened, greeting: byIndex, timeoutMs: readWithinMs, onNotified: () => {} });
  const reader = pageReader(worker.query, tables);
  const delivery = createDelivery(
    options.sink,
    options,
    watched(
      env,
      (failed) => note('sink', failed),
      () => cleared('sink'),
    ),
  ); // prettier-ignore

  function note(where: RelayProblem['where'], { code, class: failureClass, message }: SluiceError): void {
    const since = problem?.where === where ? problem.since : clock.wall();
    problem = { where, code, class: failureClass, message, since };
  }

  function cleared(where: RelayProblem['where']): void {
    if (problem?.where === where) problem = undefined;
  }

  /** Asks until the database answers; undefined once the relay's time is over. */
  async function insist<R>(ask: () => Promise<R>): Promise<R | undefined> {
    for (let pauseMs = 100; !ending.signal.aborted; pauseMs = Math.min(5_000, pauseMs * 2)) {
      try {
        const answer = await ask();
        cleared('database');
        return answer;
      } catch (thrown) {
        note('database', thrown as SluiceError);
        await pause(pauseMs * (1 + env.random.next()));
      }
    }
    return undefined;
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        ending.signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = clock.after(ms, done);
      ending.signal.addEventListener('abort', done, { once: true });
    });
  }

  async function tend(): Promise<void> {
    const {
      cursors: owned,
      share,
      restored,
    } = readTended(await lookout.query(tendStatement(tables, restoredCondition(tables)), [id, leaseMs])); // prettier-ignore
    if (restored) throw restoredFailure(tables.events);
    const known = cursors;
    // What is known here may be ahead of what is written down.
    cursors = new Map(
      owned.map((cursor) => [cursor.shard, known.get(cursor.shard)?.epoch === cursor.epoch ? known.get(cursor.shard)! : cursor]),
    ); // prettier-ignore
    surplus = [...cursors.keys()].sort((a, b) => a - b).slice(share);
    const lost = [...(underWay?.shards ?? [])].some((shard) => cursors.get(shard)?.epoch !== known.get(shard)?.epoch);
    // Another relay delivers these events now: what we still send could come behind what it sends.
    if (lost) underWay?.aborter.abort(failure('the lease was lost.', { code: 'CANCELLED', class: 'rejected' }));
    const gained = owned.some(({ shard, epoch }) => known.get(shard)?.epoch !== epoch);
    if (gained || surplus.length > 0) bell.ring();
  }

  let partitionsAt = Number.NEGATIVE_INFINITY;
  async function tendPartitions(): Promise<void> {
    if (clock.now() - partitionsAt < Math.min(60_000, options.partitions.partitionMs)) return;
    partitionsAt = clock.now();
    try {
      await lookout.query(partitionsStatement(tables, options.partitions));
      cleared('partitions');
    } catch (thrown) {
      note('partitions', thrown as SluiceError);
    }
  }

  async function keepTending(): Promise<void> {
    while (state === 'running' || underWay !== undefined) {
      await insist(tend);
      if (ending.signal.aborted) return;
      await tendPartitions();
      await pause(leaseMs / 3);
    }
  }

  async function giveBack(): Promise<void> {
    const shards = surplus;
    if (shards.length === 0) return;
    surplus = [];
    await insist(() => worker.query(releaseStatement(tables), [id, shards]));
    for (const shard of shards) cursors.delete(shard);
  }

  /** Moves on what is still ours; what is not is delivered by its new owner. */
  async function writeDown(moved: readonly ShardCursor[], letters: readonly NewOutboxLetter[]): Promise<void> {
    const still = await insist(() => worker.query(advanceStatement(tables), advanceValues(id, moved, letters)));
    if (still === undefined) return;
    writtenAt = clock.now();
    const ours = new Set((still as readonly { readonly shard: number }[]).map(({ shard }) => shard));
    remember(moved.filter(({ shard }) => ours.has(shard)));
  }

  function remember(moved: readonly ShardCursor[]): void {
    for (const cursor of moved) if (cursors.get(cursor.shard)?.epoch === cursor.epoch) cursors.set(cursor.shard, cursor);
  }

  /** Reads and delivers one page; true when there may be more at once. */
  async function turn(): Promise<boolean> {
    const mine = [...cursors.values()];
    if (mine.length === 0) return false;
    const aborter = new AbortController();
    underWay = { shards: new Set(cursors.keys()), aborter };
    const page = await insist(() => reader.read(mine, bounds));
    if (page === undefined || aborter.signal.aborted) return page !== undefined;
    const { records, exhausted } = page;
    if (records.length === 0) {
      remember(page.cursors);
      // So that partitions can be dropped, and the next owner need not look at what has been looked at.
      if (exhausted && clock.now() - writtenAt > leaseMs / 3) await writeDown(page.cursors, []);
      return !exhausted;
    }
    held = records.length;
    const { complete, letters } = await delivery.deliver(records, aborter.signal);
    if (!complete) return true;
    await writeDown(page.cursors, letters);
    held = 0;
    dead += letters.length;
    delivered += records.length - letters.length;
    return !exhausted;
  }

  async function run(): Promise<void> {
    while (state === 'running') {
      bell.reset();
      await giveBack();
      const more = await turn();
      underWay = undefined;
      if (!ending.signal.aborted) held = 0;
      if (!more && state === 'running') await bell.heard(pollMs);
    }
  }

  const working = run();
  const tending = keepTending();

  return {
    wake: bell.ring,
    stats: () => ({
      state,
      shards: [...cursors.keys()].sort((a, b) => a - b),
      delivered,
      dead,
      held,
      listening: lookout.connected,
      problem,
    }),
    async close(deadlineMs) {
      state = 'closing';
      bell.ring();
      const end = () => {
        const over = failure('the relay was closed.', { code: 'CLOSED', class: 'rejected' });
        ending.abort(over);
        underWay?.aborter.abort(over);
      };
      const cancel: Cancel = deadlineMs === Number.POSITIVE_INFINITY ? () => {} : clock.after(deadlineMs, end);
      await working;
      cancel();
      const cutOff = held;
      end();
      await tending;
      await lookout.query(leaveStatement(tables), [id]).catch(() => {});
      await Promise.all([lookout.close(), worker.close()]);
      cursors = new Map();
      state = 'closed';
      return { delivered, dead, cutOff };
    },
  };
}

/** An env that tells of failures and successes of the sink on their way. */
function watched(env: Env, failed: (problem: SluiceError) => void, succeeded: () => void): Env {
  return {
    clock: env.clock,
    random: env.random,
    neutral: env.neutral,
    observe(event) {
      if (event.type === 'retry') failed(failure(event.message, { code: event.code, class: event.failureClass }));
      if (event.type === 'called' && event.ok) succeeded();
      env.observe(event);
    },
  };
}

/** A bell that is heard by whoever waits, or will have waited since the last reset. */
function createBell(clock: Env['clock']) {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    reset() {
      rung = false;
    },
    heard: (withinMs: number): Promise<void> =>
      new Promise((resolve) => {
        if (rung) return resolve();
        const cancel = clock.after(withinMs, () => wake?.());
        wake = () => {
          wake = undefined;
          cancel();
          resolve();
        };
      }),
  };
}
