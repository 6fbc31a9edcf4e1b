/** Ledger: the records of a log into PostgreSQL, effectively once: a batch's rows and the note of its offsets are one transaction. */

import pg, { type Pool } from 'pg';
import type { SinkAnswer, SinkContext } from '../core/dispatcher.js';
import { failure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import { systemEnv } from '../env/system.js';
import { type LedgerBatch, type LedgerRecord, ledgerBatch } from './ledger-batch.js';
import { fencedFailure, ledgerHeads } from './ledger-heads.js';
import { type LedgerLog, ledgerPlaces } from './ledger-log.js';
import { type LedgerTables, ledgerTables } from './ledger-table.js';
import type { CommittingBatch, PostgresSinkOptions } from './options.js';
import { type PostgresSink, type PostgresSinkStats, postgresSink } from './sink.js';

/** Whose ledger it is. */
export interface LedgerOptions {
  /**
   * The log that the records come from. By it the ledger tells dead letters, which it closes up, from what a seek has jumped over, which is still to be
   * written; and notices a log that is older than the ledger, such as one restored from a backup (`LEDGER_AHEAD`). Default none: each dead letter
   * leaves a gap for good.
   */
  readonly log?: LedgerLog;
  /**
   * Names the log for good: offsets mean something in one log only. Another log under the same name would have its first records skipped.
   * 1 to 200 characters. Default: the id of `log`.
   */
  readonly source?: string;
  /** The consumer group. */
  readonly group: string;
  /** Its table, `ledger` or `schema.ledger`, made where it is absent; a table of heads and a view for people are named after it. Default `'sluice_ledger'`. */
  readonly table?: string;
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
  /**
   * Closes the gaps of dead letters that the group has passed: call it before a seek, while the consumer is paused. Afterwards it cannot be known
   * that they were parked: a seek back would bring them once more, those too whose redrive has been written.
   *
   * @throws SluiceError what the database says; the gaps are open still.
   */
  closeUp(): Promise<void>;
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
 * With `log`, a log that ends before what the ledger holds is refused (`LEDGER_AHEAD`, class blocked): it was restored from a backup, and its new
 * records would be taken for written ones.
 *
 * Needs PostgreSQL 14 or later. A group that is put back by a seek gets nothing written twice, if {@link LedgerSink.closeUp} is called before it: to write again, use another
 * `group` or `source`.
 *
 * @throws SluiceError `INVALID_OPTION`
 *
 * @example
 * const sink = ledgerSink<LogRecord>({ pool, table: 'events', columns, ledger: { log, group: 'postgres' } });
 * await createConsumer({ log, stream: 'events', group: 'postgres', sink });
 */
export function ledgerSink<T extends LedgerRecord>(options: LedgerSinkOptions<T>): LedgerSink<T> {
  const { ledger, ...sinkOptions } = options;
  const source = checkLedger(ledger);
  const env = options.env ?? systemEnv();
  const mergeEvery = numberOption('ledgerSink.ledger.mergeEvery', ledger.mergeEvery, 500, { least: 1, whole: true });
  const pool = options.pool ?? ownPool(options);
  const tables = ledgerTables(ledger.table ?? 'sluice_ledger');
  const { group } = ledger;
  const places = ledger.log === undefined ? undefined : ledgerPlaces(ledger.log, group);
  const heads = ledgerHeads(pool, tables, { source, group, places }, env);
  const closing = new AbortController();
  const underWay = new WeakMap<SinkContext, LedgerBatch<T>>();
  const { connectionString: _unused, maxConnections: _pooled, ...rest } = sinkOptions;
  const inner = postgresSink<T>({
    ...(rest as PostgresSinkOptions<T>),
    pool,
    commitWith: (batch) => {
      const texts = [options.commitWith?.(batch), note(batch, underWay.get(batch.context)!)];
      // On lines of their own: a comment at the end of the user's text must not swallow the note.
      return texts.filter((text) => text !== undefined && text !== '').join('\n; ') || undefined;
    },
  });
  let prepared: Promise<void> | undefined;
  let batches = 0;
  let skipped = 0;
  let resolved = 0;
  let mergeProblem: SluiceError | undefined;
  let merging = Promise.resolve();
  let closed: Promise<void> | undefined;

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
    const work = await ledgerBatch(heads, items, context);
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

  function mergeNow(last = false): Promise<void> {
    batches = 0;
    merging = merging.then(async () => {
      try {
        await heads.merge(closing.signal, last);
        mergeProblem = undefined;
      } catch (thrown) {
        if (!closing.signal.aborted) mergeProblem = thrown as SluiceError;
      }
    });
    return merging;
  }

  function note({ items, failures }: CommittingBatch<T>, work: LedgerBatch<T>): string {
    if (++batches >= mergeEvery) void mergeNow();
    return work.settleText(failures === undefined ? items : items.filter((_, index) => failures[index] === undefined));
  }

  async function closeUp(): Promise<void> {
    await mergeNow(true);
    if (mergeProblem !== undefined) throw mergeProblem;
  }

  async function close(): Promise<void> {
    await inner.close();
    // Dead letters can be told from what a seek jumps over only under the claim that they were parked under: later is too late.
    const cancel = env.clock.after(lastMergeMs, () => closing.abort());
    await mergeNow(true);
    cancel();
    closing.abort();
    if (options.pool === undefined && !pool.ending) await pool.end();
  }

  return {
    idempotent: true,
    atomic: true,
    prepare,
    write,
    stats: () => ({ ...inner.stats(), skipped, resolved, mergeProblem }),
    closeUp,
    close() {
      closed ??= close();
      return closed;
    },
  };
}

/** How long the end of a sink may put ranges together, in milliseconds. */
const lastMergeMs = 2_000;

function checkLedger(ledger: LedgerOptions): string {
  checkNames('ledgerSink.ledger', ledger, ['log', 'source', 'group', 'table', 'mergeEvery']);
  const { log, source = log?.id, group } = ledger;
  for (const [name, value] of Object.entries({ source, group })) {
    if (typeof value === 'string' && value !== '' && value.length <= 200) continue;
    throw invalidOption(
      `ledgerSink.ledger.${name} must be text of 1 to 200 characters${name === 'source' ? ', or give the log' : ''}`,
    );
  }
  return source!;
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
