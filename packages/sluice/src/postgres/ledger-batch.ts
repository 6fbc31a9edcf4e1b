/** ledger-batch: one batch against the ledger: what of it is settled, and the SQL that settles the rest. */

import type { SinkContext } from '../core/dispatcher.js';
import { rangesOf } from '../log/ranges.js';
import type { LedgerHead, LedgerHeads } from './ledger-heads.js';
import type { SettledRange } from './ledger-table.js';

/** What the ledger must know of a record; those of a log have it. */
export interface LedgerRecord {
  readonly stream: string;
  readonly partition: number;
  readonly offset: number;
}

/** A batch, by partitions. */
export interface LedgerBatch<T> {
  /** The indexes of what the ledger was not seen to hold. */
  unsettled(): readonly number[];
  /** Looks into the ledger again. */
  refresh(signal: AbortSignal): Promise<void>;
  /** SQL that settles what is written; empty when that is nothing. */
  settleText(written: readonly T[]): string;
}

/** Takes over what this sink does not have of the partitions of a batch. */
export async function ledgerBatch<T extends LedgerRecord>(
  heads: LedgerHeads,
  items: readonly T[],
  context: SinkContext,
): Promise<LedgerBatch<T>> {
  const spans = spansOf(items, context);
  const parts: Part[] = [];
  for (const span of spans) {
    const { stream, partition, epoch } = span;
    parts.push({ span, head: await heads.head(stream, partition, epoch, context.signal) });
  }
  const partOf = ({ stream, partition }: T): Part =>
    parts.find(({ span }) => span.partition === partition && span.stream === stream)!;
  return {
    unsettled() {
      const indexes = [...items.keys()];
      // Mostly the ledger holds nothing of a batch: then no record is looked at.
      if (parts.every(({ head, span }) => !head.holdsAnyOf(span))) return indexes;
      return indexes.filter((index) => !partOf(items[index]!).head.isSettled(items[index]!.offset));
    },
    async refresh(signal) {
      for (const { head, span } of parts) await head.refresh(span, signal);
    },
    settleText(written) {
      const ranges = (part: Part): SettledRange[] =>
        written === items && part.span.isRun
          ? [part.span]
          : rangesOf((parts.length === 1 ? written : written.filter((record) => partOf(record) === part)).map(offsetOf));
      return parts
        .map((part) => ({ head: part.head, settled: ranges(part) }))
        .filter(({ settled }) => settled.length > 0)
        .map(({ head, settled }) => head.settleText(settled))
        .join('; ');
    },
  };
}

/** What of a batch lies in one partition. */
interface Part {
  readonly head: LedgerHead;
  readonly span: Span;
}

interface Span {
  readonly stream: string;
  readonly partition: number;
  readonly epoch: number | undefined;
  first: number;
  last: number;
  /** Each offset is one more than the last. */
  isRun: boolean;
}

/** The partitions of a batch, each with its first and last offset. */
function spansOf(items: readonly LedgerRecord[], context: SinkContext): Span[] {
  const spans: Span[] = [];
  let span: Span | undefined;
  // Each record of each batch comes through here: a plain loop.
  for (let index = 0; index < items.length; index++) {
    const { stream, partition, offset } = items[index]!;
    if (span?.partition !== partition || span.stream !== stream) {
      span = spans.find((one) => one.partition === partition && one.stream === stream);
      if (span === undefined) {
        span = { stream, partition, epoch: epochAt(context, index), first: offset, last: offset, isRun: true };
        spans.push(span);
        continue;
      }
    }
    if (offset === span.last + 1) span.last = offset;
    else {
      span.isRun = false;
      span.first = Math.min(span.first, offset);
      span.last = Math.max(span.last, offset);
    }
  }
  return spans;
}

/** Whose claim the record was read under, where the consumer says so. */
function epochAt(context: SinkContext, index: number): number | undefined {
  const { epoch } = (context.entries[index] ?? {}) as { readonly epoch?: unknown };
  return typeof epoch === 'number' ? epoch : undefined;
}

function offsetOf({ offset }: LedgerRecord): number {
  return offset;
}
