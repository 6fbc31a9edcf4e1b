/** Ledger: the records of a log into PostgreSQL, effectively once: a batch's rows and the note of its offsets are one transaction. */

import pg, { type Pool } from 'pg';
import type { SinkAnswer, SinkContext } from '../core/dispatcher.js';
import { failure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { systemEnv } from '../env/system.js';
import { fencedFailure, type LedgerHead, type LedgerHeads, ledgerHeads } from './ledger-heads.js';
import { type LedgerTables, ledgerTables, type SettledRange } from './ledger-table.js';
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
    commitWith: (batch) => {
      const texts = [options.commitWith?.(batch), note(batch, underWay.get(batch.context)!)];
      return texts.filter((text) => text !== undefined && text !== '').join('; ') || undefined;
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
        const constraint = constraintOf(thrown);
        if (constraint === tables.fenced) throw fencedFailure('a partition of this batch', thrown);
        const isUnknown = (thrown as SluiceError).class === 'unknown' && !context.signal.aborted;
        if (constraint !== tables.once && !isUnknown) throw isOfLedger(thrown, tables) ? blocked(thrown as SluiceError) : thrown;
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

  function note({ items, failures }: CommittingBatch<T>, work: Write<T>): string {
    if (++batches >= mergeEvery) mergeNow(work);
    return work.settleText(failures === undefined ? items : items.filter((_, index) => failures[index] === undefined));
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
  readonly parts: readonly Part[];
  /** The indexes of what the ledger was not seen to hold. */
  unsettled(): number[];
  refresh(signal: AbortSignal): Promise<void>;
  /** SQL that settles what is written; empty when that is nothing. */
  settleText(written: readonly T[]): string;
}

/** What of a batch lies in one partition. */
interface Part {
  readonly head: LedgerHead;
  readonly span: SettledRange;
}

async function beginWrite<T extends LedgerRecord>(
  heads: LedgerHeads,
  items: readonly T[],
  context: SinkContext,
): Promise<Write<T>> {
  const parts: Part[] = [];
  for (const { stream, partition, epoch, first, last } of spansOf(items, context)) {
    parts.push({ head: await heads.head(stream, partition, epoch, context.signal), span: { first, last } });
  }
  // Most batches are of one partition: then nobody is looked for.
  const headOf = ({ stream, partition }: T): LedgerHead =>
    (parts.length === 1 ? parts[0]! : parts.find(({ head }) => head.partition === partition && head.stream === stream)!).head;
  return {
    parts,
    unsettled() {
      const left: number[] = [];
      for (let i = 0; i < items.length; i++) if (!headOf(items[i]!).isSettled(items[i]!.offset)) left.push(i);
      return left;
    },
    async refresh(signal) {
      for (const { head, span } of parts) await head.refresh(span, signal);
    },
    settleText(written) {
      const texts = parts.map(({ head }) => {
        const offsets = (parts.length === 1 ? written : written.filter((record) => headOf(record) === head)).map(
          ({ offset }) => offset,
        );
        return offsets.length === 0 ? '' : head.settleText(rangesOf(offsets));
      });
      return texts.filter((text) => text !== '').join('; ');
    },
  };
}

/** The partitions of a batch, each with its first and last offset. */
function spansOf(items: readonly LedgerRecord[], context: SinkContext) {
  const spans: { stream: string; partition: number; epoch: number | undefined; first: number; last: number }[] = [];
  let span: (typeof spans)[number] | undefined;
  items.forEach(({ stream, partition, offset }, index) => {
    if (span?.partition !== partition || span.stream !== stream) {
      span = spans.find((one) => one.partition === partition && one.stream === stream);
      if (span === undefined) {
        span = { stream, partition, epoch: epochAt(context, index), first: offset, last: offset };
        spans.push(span);
      }
    }
    span.first = Math.min(span.first, offset);
    span.last = Math.max(span.last, offset);
  });
  return spans;
}

/** The constraint that PostgreSQL names in the error beneath. */
function constraintOf(thrown: unknown): unknown {
  return ((thrown as { readonly cause?: unknown }).cause as { readonly constraint?: unknown } | undefined)?.constraint;
}

/** No row is to blame for what fails in the ledger: parked, good records would be dead. */
function isOfLedger(thrown: unknown, { ranges, settle }: LedgerTables): boolean {
  const { cause, class: failureClass } = thrown as {
    readonly cause?: { readonly table?: unknown; readonly where?: unknown };
    readonly class?: unknown;
  };
  if (failureClass !== 'permanent') return false;
  return cause?.table === ranges.split('.').at(-1) || String(cause?.where ?? '').includes(settle.split('.').at(-1)!);
}

function blocked({ message, code, cause }: SluiceError): SluiceError {
  return failure(`the ledger cannot be written: ${message}`, { code, class: 'blocked', cause });
}

/** Whose claim the record was read under, where the consumer says so. */
function epochAt(context: SinkContext, index: number): number | undefined {
  const { epoch } = (context.entries[index] ?? {}) as { readonly epoch?: unknown };
  return typeof epoch === 'number' ? epoch : undefined;
}

/** Offsets, which mostly come in order, as ranges. */
function rangesOf(offsets: number[]): SettledRange[] {
  const ranges: { first: number; last: number }[] = [];
  const isAscending = offsets.every((offset, i) => i === 0 || offsets[i - 1]! < offset);
  for (const offset of isAscending ? offsets : offsets.sort((a, b) => a - b)) {
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
