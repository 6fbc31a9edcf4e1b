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
  /** Where its callers came from, as `Env.origin` said; at most 128 of them, and only where the env has an `origin`. */
  readonly origins?: readonly unknown[];
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
  /** The batch of the items at these indexes, which must rise; itself when that is all of them. The same members get the same id. */
  only(indexes: readonly number[]): Batch<I>;
}

/** Makes a batch of items that were cut together. */
export function createBatch<I>(id: string, lane: string, items: readonly Item<I>[], bytes: number, reason: CutReason): Batch<I> {
  const whole: Batch<I> = { id, lane, items, bytes, reason, only: (indexes) => partOf(whole, undefined, indexes, idOf) };
  // Numbered by the batch that was cut, so that two halves of two halves never share an id; and remembered, so that the same
  // members get the same id again (a bisection that runs once more after a retry).
  const ids = new Map<string, string>();
  const idOf = (places: readonly number[]) => {
    const key = runsOf(places);
    const known = ids.get(key) ?? `${id}.${ids.size + 1}`;
    ids.set(key, known);
    return known;
  };
  return whole;
}

/** `places`: where the parent's items stand in the batch that was cut; undefined when the parent is that batch. */
function partOf<I>(
  parent: Batch<I>,
  places: readonly number[] | undefined,
  indexes: readonly number[],
  idOf: (places: readonly number[]) => string,
): Batch<I> {
  if (indexes.length === parent.items.length) return parent;
  const chosen = places === undefined ? indexes : indexes.map((index) => places[index]!);
  const items = indexes.map((index) => parent.items[index]!);
  const part: Batch<I> = {
    id: idOf(chosen),
    lane: parent.lane,
    items,
    bytes: items.reduce((sum, item) => sum + item.bytes, 0),
    reason: parent.reason,
    only: (inner) => partOf(part, chosen, inner, idOf),
  };
  return part;
}

/** A short name of a set of places: `0-499,700`. */
function runsOf(places: readonly number[]): string {
  const runs: string[] = [];
  for (let i = 0; i < places.length; i++) {
    const first = places[i]!;
    while (i + 1 < places.length && places[i + 1] === places[i]! + 1) i++;
    runs.push(`${first}-${places[i]!}`);
  }
  return runs.join();
}
