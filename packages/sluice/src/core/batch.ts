/** Item and batch: what somebody wants done, and the items that leave together. */

/** What somebody wants done. */
export interface Item<I> {
  /** Unique within the process. */
  readonly id: string;
  readonly value: I;
  /** What it counts against `maxBytes` and `maxHeldBytes`; 0 where nothing measures it. */
  readonly bytes: number;
  /** When it was accepted, in monotonic milliseconds. */
  readonly acceptedAt: number;
  /** When its last waiter stops waiting, in monotonic milliseconds; `Infinity` when none does. */
  readonly deadlineAt: number;
  readonly idempotencyKey?: string;
  /** Its last waiter left: layers skip it before each attempt. */
  readonly gone: boolean;
}

/** Why a batch was cut: the bound that stopped this cut, not what woke us. Also the metric's label. */
export type CutReason = 'size' | 'bytes' | 'time' | 'tick' | 'throttle' | 'quiet' | 'busy' | 'manual' | 'shutdown';

/**
 * The items that leave together. Its `items` never change, so that a retry sends what was first sent.
 *
 * The id stays the same while the members do. A subset gets `<id>.<n>`, fixed when it is formed: a sink that uses the id as an
 * idempotency key must never mistake a part for the whole.
 */
export interface Batch<I> {
  readonly id: string;
  readonly lane: string;
  readonly items: readonly Item<I>[];
  readonly bytes: number;
  readonly reason: CutReason;
  /** The batch of the items at these indexes; itself when that is all of them. */
  only(indexes: readonly number[]): Batch<I>;
}

/** Makes a batch of items that were cut together. */
export function createBatch<I>(id: string, lane: string, items: readonly Item<I>[], bytes: number, reason: CutReason): Batch<I> {
  let parts = 0;
  // Subsets of subsets are numbered by the batch that was cut, so that two halves of two halves never share an id.
  const nextPart = () => ++parts;
  return batchOf(id, id, lane, items, bytes, reason, nextPart);
}

function batchOf<I>(
  rootId: string,
  id: string,
  lane: string,
  items: readonly Item<I>[],
  bytes: number,
  reason: CutReason,
  nextPart: () => number,
): Batch<I> {
  const batch: Batch<I> = {
    id,
    lane,
    items,
    bytes,
    reason,
    only(indexes) {
      if (indexes.length === items.length) return batch;
      const chosen = indexes.map((index) => items[index]!);
      const chosenBytes = chosen.reduce((sum, item) => sum + item.bytes, 0);
      return batchOf(rootId, `${rootId}.${nextPart()}`, lane, chosen, chosenBytes, reason, nextPart);
    },
  };
  return batch;
}
