/** Ledger: the records of a log into PostgreSQL, effectively once: a batch's rows and the note of its offsets are one transaction. */

import pg, { type Pool, type PoolClient } from 'pg';
import type { SinkAnswer, SinkContext } from '../core/dispatcher.js';
import { invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { systemEnv } from '../env/system.js';
import { type LedgerHead, type LedgerHeads, ledgerHeads, settledCode } from './ledger-heads.js';
import { ledgerTables, type SettledRange } from './ledger-table.js';
import type { CommittingBatch, PostgresSinkOptions } from './options.js';
import { type PostgresSink, type PostgresSinkStats, postgresSink } from './sink.js';

/** What the ledger must know of a record; those of a log have it. */
export interface LedgerRecord {
  readonly stream: string;
  readonly partition: number;
  readonly offset: number;
}

/** Whose ledger it is. */
export interface LedgerOptions {
  /**
   * Names the log for good, such as a UUID that lies in its folder: offsets mean something in one log only. Another log under the same name would
   * have its first records skipped. 1 to 200 characters.
   */
  readonly source: string;
  /** The consumer group. */
  readonly group: string;
  /** Its table, `ledger` or `schema.ledger`, made where it is absent; a table of heads and a view for people are named after it. Default `'sluice_ledger'`. */
  readonly table?: string;
  /**
   * How far the group has come in the log, on disk: `undefined` where that is not known. All below is one range of the ledger from then on. Without it
   * each dead letter leaves a gap for good. Default none.
   */
  readonly cursor?: (stream: string, partition: number) => Promise<number | undefined>;
  /** Batches after which ranges are put together, 1 or more. Default 500. */
  readonly mergeEvery?: number;
}

/** Options of {@link ledgerSink}: those of `postgresSink`, and the ledger. Give either `pool` or `connectionString`. */
export interface LedgerSinkOptions<T extends LedgerRecord> extends Omit<PostgresSinkOptions<T>, 'conflict'> {
  /** Whose ledger it is, and where it lies. */
  readonly ledger: LedgerOptions;
  /** Not needed for records of the log, and costs a temporary table: for what comes from elsewhere as well. Default none. */
  readonly conflict?: PostgresSinkOptions<T>['conflict'];
}

/** Counts since the sink was made. */
export interface LedgerStats extends PostgresSinkStats {
  /** Records that were not written because the ledger held them. */
  readonly skipped: number;
  /** Batches whose fate was unknown, and was read from the ledger: committed, or not. */
  readonly resolved: number;
  /** What the last merge failed with, while none has succeeded since. */
  readonly mergeProblem: SluiceError | undefined;
}

/** A {@link PostgresSink} with a ledger. It writes in transactions of its own only. */
export interface LedgerSink<T> extends Omit<PostgresSink<T>, 'writeWithin' | 'stats' | 'idempotent'> {
  /** Always, by the ledger. */
  readonly idempotent: true;
  /** What the sink has done, and how long it waits for connections. */
  stats(): LedgerStats;
}

/**
 * A sink that writes each record of a log into PostgreSQL effectively once, by a ledger: the offsets of a batch are noted in the transaction of its
 * rows. A record whose offset the ledger holds is not written again, whoever delivers it, and however often: after a crash, after a reply to
 * COMMIT that was lost (the ledger is read then), or by a consumer that does not know yet that another one took over.
 *
 * Three things make that so. An exclusion constraint: no two transactions can settle the same offset, and the second waits to see how the first
 * ends. An epoch: whoever takes a partition over waits for commits under way, then fences its predecessors (`LEDGER_FENCED`, class blocked).
 * And what is noted: only rows that are in. A record that the server refuses is not settled here but by its consumer, in the log, with its
 * dead letter in the same transaction; a crash in between has it refused once more.
 *
 * Needs PostgreSQL 14 or later. A group that is put back by a seek gets nothing written twice: to write again, use another `group` or `source`.
 *
 * @throws SluiceError `INVALID_OPTION`
 *
 * @example
 * const sink = ledgerSink<LogRecord>({ pool, table: 'events', columns, ledger: { source: log.id, group: 'postgres' } });
 * await createConsumer({ log, stream: 'events', group: 'postgres', sink });
 */
export function ledgerSink<T extends LedgerRecord>(options: LedgerSinkOptions<T>): LedgerSink<T> {
  const { ledger, ...sinkOptions } = options;
  checkLedger(ledger);
  const env = options.env ?? systemEnv();
  const mergeEvery = numberOption('ledgerSink.ledger.mergeEvery', ledger.mergeEvery, 500, { least: 1, whole: true });
  const pool = options.pool ?? ownPool(options);
  const tables = ledgerTables(ledger.table ?? 'sluice_ledger');
  const heads = ledgerHeads(pool, tables, { source: ledger.source, group: ledger.group }, env);
  const closing = new AbortController();
  const underWay = new WeakMap<SinkContext, Write<T>>();
  const { connectionString: _unused, maxConnections: _pooled, ...rest } = sinkOptions;
  const inner = postgresSink<T>({
    ...(rest as PostgresSinkOptions<T>),
    pool,
    async beforeCommit(client, batch) {
      const last = await options.beforeCommit?.(client, batch);
      await note(client, batch, underWay.get(batch.context)!);
      return last;
    },
  });
  let prepared: Promise<void> | undefined;
  let batches = 0;
  let skipped = 0;
  let resolved = 0;
  let mergeProblem: SluiceError | undefined;
  let merging = Promise.resolve();

  function prepare(): Promise<void> {
    prepared ??= Promise.all([heads.prepare(closing.signal), inner.prepare()]).then(
      () => {},
      (thrown: unknown) => {
        prepared = undefined;
        throw thrown;
      },
    );
    return prepared;
  }

  async function write(items: readonly T[], context: SinkContext): Promise<SinkAnswer<void>> {
    await prepare();
    const work = await beginWrite(heads, items, context);
    for (;;) {
      const left = work.unsettled();
      if (left.length === 0) {
        skipped += items.length;
        return;
      }
      const part = left.length === items.length ? items : left.map((index) => items[index]!);
      const partContext = partOf(context, left, items.length);
      underWay.set(partContext, work);
      try {
        const answer = spread(await inner.write(part, partContext), left, items.length);
        skipped += items.length - left.length;
        return answer;
      } catch (thrown) {
        const { code, class: failureClass } = thrown as SluiceError;
        const isUnknown = failureClass === 'unknown' && !context.signal.aborted;
        if (code !== settledCode && !isUnknown) throw thrown;
        await work.refresh(context.signal);
        if (isUnknown) {
          resolved++;
          // Not there, and it may still come: the next try then finds it settled.
          if (work.unsettled().length === left.length) throw thrown;
        }
      }
    }
  }

  function mergeNow(work: Write<T>): void {
    batches = 0;
    merging = merging.then(async () => {
      try {
        for (const { head } of work.parts)
          await head.merge((await ledger.cursor?.(head.stream, head.partition)) ?? 0, closing.signal);
        mergeProblem = undefined;
      } catch (thrown) {
        if (!closing.signal.aborted) mergeProblem = thrown as SluiceError;
      }
    });
  }

  async function note(client: PoolClient, { items, failures }: CommittingBatch<T>, work: Write<T>): Promise<void> {
    await work.settle(
      client,
      items.filter((_, index) => failures?.[index] === undefined),
    ); // prettier-ignore
    if (++batches >= mergeEvery) mergeNow(work);
  }

  return {
    idempotent: true,
    atomic: true,
    prepare,
    write,
    stats: () => ({ ...inner.stats(), skipped, resolved, mergeProblem }),
    async close() {
      await inner.close();
      closing.abort();
      await merging;
      if (options.pool === undefined && !pool.ending) await pool.end();
    },
  };
}

function checkLedger(ledger: LedgerOptions): void {
  checkNames('ledgerSink.ledger', ledger, ['source', 'group', 'table', 'cursor', 'mergeEvery']);
  for (const name of ['source', 'group'] as const) {
    const value: unknown = ledger[name];
    if (typeof value !== 'string' || value === '' || value.length > 200)
      throw invalidOption(`ledgerSink.ledger.${name} must be text of 1 to 200 characters`);
  }
}

function ownPool<T extends LedgerRecord>({ connectionString, maxConnections }: LedgerSinkOptions<T>): Pool {
  if (connectionString === undefined)
    throw invalidOption('ledgerSink takes either pool or connectionString; give exactly one of them');
  // One more than write at once: for taking partitions over, and putting ranges together.
  const max = numberOption('ledgerSink.maxConnections', maxConnections, 4, { least: 1, whole: true }) + 1;
  return new pg.Pool({
    connectionString,
    max,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    fallback_application_name: 'sluice',
  });
}

/** A batch, by partitions. */
interface Write<T> {
  readonly parts: readonly { readonly head: LedgerHead; readonly span: SettledRange }[];
  /** The indexes of what the ledger was not seen to hold. */
  unsettled(): number[];
  refresh(signal: AbortSignal): Promise<void>;
  settle(client: PoolClient, written: readonly T[]): Promise<void>;
}

async function beginWrite<T extends LedgerRecord>(
  heads: LedgerHeads,
  items: readonly T[],
  context: SinkContext,
): Promise<Write<T>> {
  const byPartition = new Map<string, { readonly record: T; readonly epoch: number | undefined; first: number; last: number }>();
  items.forEach((record, index) => {
    const key = keyOf(record);
    const { offset } = record;
    const known = byPartition.get(key);
    if (known === undefined) byPartition.set(key, { record, epoch: epochAt(context, index), first: offset, last: offset });
    else {
      known.first = Math.min(known.first, offset);
      known.last = Math.max(known.last, offset);
    }
  });
  const found = new Map<string, { readonly head: LedgerHead; readonly span: SettledRange }>();
  for (const [key, { record, epoch, first, last }] of byPartition) {
    const head = await heads.head(record.stream, record.partition, epoch, context.signal);
    found.set(key, { head, span: { first, last } });
  }
  return {
    parts: [...found.values()],
    unsettled: () => [...items.keys()].filter((index) => !found.get(keyOf(items[index]!))!.head.isSettled(items[index]!.offset)),
    async refresh(signal) {
      for (const { head, span } of found.values()) await head.refresh(span, signal);
    },
    async settle(client, written) {
      const offsets = new Map<string, number[]>();
      for (const record of written) {
        const key = keyOf(record);
        const some = offsets.get(key);
        if (some === undefined) offsets.set(key, [record.offset]);
        else some.push(record.offset);
      }
      for (const [key, some] of offsets) await found.get(key)!.head.settle(client, rangesOf(some));
    },
  };
}

function keyOf({ stream, partition }: LedgerRecord): string {
  return `${partition} ${stream}`;
}

/** Whose claim the record was read under, where the consumer says so. */
function epochAt(context: SinkContext, index: number): number | undefined {
  const { epoch } = (context.entries[index] ?? {}) as { readonly epoch?: unknown };
  return typeof epoch === 'number' ? epoch : undefined;
}

function rangesOf(offsets: readonly number[]): SettledRange[] {
  const ranges: { first: number; last: number }[] = [];
  for (const offset of [...offsets].sort((a, b) => a - b)) {
    const before = ranges.at(-1);
    if (before?.last === offset - 1) before.last = offset;
    else ranges.push({ first: offset, last: offset });
  }
  return ranges;
}

/** Each write gets a context of its own: by it the hook finds what belongs to it. */
function partOf(context: SinkContext, left: readonly number[], count: number): SinkContext {
  const { signal, deadlineAt, attempt, idempotent, batchId, lane } = context;
  return {
    signal,
    deadlineAt,
    attempt,
    idempotent,
    batchId,
    lane,
    get entries() {
      return left.length === count ? context.entries : left.map((index) => context.entries[index]!);
    },
  };
}

/** What the sink answered for a part, in the places of the whole; what was left out is settled. */
function spread(answer: SinkAnswer<void>, left: readonly number[], count: number): SinkAnswer<void> {
  if (answer === undefined || left.length === count) return answer;
  const whole: (void | Error)[] = new Array(count).fill(undefined);
  left.forEach((place, i) => {
    whole[place] = answer[i];
  });
  return whole;
}
