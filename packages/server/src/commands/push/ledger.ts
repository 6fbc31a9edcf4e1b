/** Ledger: what became of the lines that were sent, and up to which line nothing is open. */

import type { AckLevel, ItemError } from '../../gateway/receipt.js';

/** A line on its way. */
export interface PushItem {
  /** Line number in the input, from 1. */
  readonly line: number;
  /** Line number of the item before it: between the two there was nothing to send. */
  readonly after: number;
  readonly json: Buffer;
}

/** Why a line was refused, or parked after it was taken. */
export interface LineError {
  readonly line: number;
  readonly code: string;
  readonly message: string;
  /** Ids of the dead letters of one that was parked. */
  readonly letters?: readonly string[];
}

/** What a push has done. */
export interface PushSummary {
  /** Items read and meant to be sent. */
  readonly items: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** Taken, then parked by the pipeline (seen at `committed` alone). */
  readonly dead: number;
  /** Taken, but below the level asked for when the gateway stopped waiting. */
  readonly belowAck: number;
  /** Taken with an id that the gateway made: sent again, they are added again. */
  readonly withoutId: number;
  /** Read, and not known to have arrived. */
  readonly undelivered: number;
  /** Every line up to this one has its answer. */
  readonly settledLine: number;
  /** The first 20 errors. */
  readonly errors: readonly LineError[];
}

/** What the ledger needs of a receipt. */
export interface PartReceipt {
  readonly ack: AckLevel;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** Only there when the gateway made at least one; `null` where an item was refused. */
  readonly ids?: readonly (string | null)[];
  readonly errors: readonly ItemError[];
}

/** Counts what was read, and settles it. */
export interface Ledger {
  /** An item was read. */
  read(): void;
  /** An item was refused here, without being sent. */
  refused(item: { readonly line: number; readonly after: number }, code: string, message: string): void;
  /** A run of items, one after the other in the input, has its receipt; for `withoutId` of them the gateway made an id. */
  settled(items: readonly PushItem[], receipt: PartReceipt, withoutId: number): void;
  summary(): PushSummary;
}

const maxErrors = 20;

/** A ledger that starts after line `after`. */
export function createLedger(after: number, asked: AckLevel): Ledger {
  const counts = { items: 0, accepted: 0, duplicates: 0, rejected: 0, dead: 0, belowAck: 0, withoutId: 0 };
  const errors: LineError[] = [];
  const runs = new Map<number, number>();
  let settledLine = after;

  const settle = (from: number, to: number): void => {
    runs.set(from, to);
    for (let end = runs.get(settledLine); end !== undefined; end = runs.get(settledLine)) {
      runs.delete(settledLine);
      settledLine = end;
    }
  };
  const addError = (error: LineError): void => {
    if (errors.length < maxErrors) errors.push(error);
  };
  return {
    read() {
      counts.items++;
    },
    refused(item, code, message) {
      counts.rejected++;
      addError({ line: item.line, code, message });
      settle(item.after, item.line);
    },
    settled(items, receipt, withoutId) {
      counts.withoutId += withoutId;
      counts.accepted += receipt.accepted;
      counts.duplicates += receipt.duplicates;
      counts.rejected += receipt.rejected;
      if (receipt.ack !== asked) counts.belowAck += receipt.accepted + receipt.duplicates;
      for (const { index, ...error } of receipt.errors) {
        if (error.code === 'DEAD_LETTERED') counts.dead++;
        addError({ line: items[index]?.line ?? 0, ...error });
      }
      settle(items[0]!.after, items[items.length - 1]!.line);
    },
    summary() {
      const undelivered = counts.items - counts.accepted - counts.duplicates - counts.rejected;
      return { ...counts, undelivered, settledLine, errors: errors.toSorted((a, b) => a.line - b.line) };
    },
  };
}
