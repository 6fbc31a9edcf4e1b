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
export type CutReason = 'size' | 'bytes' | 'time' | 'tick' | 'throttle' | 'quiet' | 'busy' | 'manual' | 'awaited' | 'shutdown';

/** Why batches are cut before any window or bound says so. */
export type RaiseReason = Extract<CutReason, 'manual' | 'awaited' | 'shutdown'>;

/**
 * The items that leave together. Its `items` never change, so that a retry sends what was first sent.
 *
 * The id stays the same while the members do. A subset gets `<id>.<n>`, fixed when it is formed: a sink that uses the id as an
 * idempotency key must never mistake a part for the whole.
 */
export interface Batch<I> {
  readonly id: string;
  readonly lane: string;
  /** How many they are. */
  readonly itemCount: number;
  /** Made when somebody asks: most batches are written without anyone looking at more than the values. */
  readonly items: readonly Item<I>[];
  readonly bytes: number;
  readonly reason: CutReason;
  /** What was offered, in order; a fresh array, which the caller may keep and change. */
  values(): I[];
  /** The batch of the items at these indexes, which must rise; itself when that is all of them. The same members get the same id. */
  only(indexes: readonly number[]): Batch<I>;
}

/** Makes a batch of items that were cut together. */
export function createBatch<I>(id: string, lane: string, items: readonly Item<I>[], bytes: number, reason: CutReason): Batch<I> {
  return new WholeBatch(id, lane, bytes, reason, { itemCount: items.length, items: () => items, values: () => valuesOf(items) });
}

/** Whoever knows the members of a batch, and makes items of them when they are asked for. */
export interface Members<I> {
  readonly itemCount: number;
  items(): readonly Item<I>[];
  values(): I[];
}

/** Makes a batch whose items are made when they are first asked for. */
export function lazyBatch<I>(id: string, lane: string, bytes: number, reason: CutReason, members: Members<I>): Batch<I> {
  return new WholeBatch(id, lane, bytes, reason, members);
}

/**
 * A batch as it was cut. A class, for its getter: in an object literal a getter is part of the object's hidden class, which would keep
 * every batch alive until the next full garbage collection.
 */
class WholeBatch<I> implements Batch<I> {
  readonly id: string;
  readonly lane: string;
  readonly itemCount: number;
  readonly bytes: number;
  readonly reason: CutReason;
  readonly #members: Members<I>;
  #items: readonly Item<I>[] | undefined = undefined;
  /** By the places of the members, so that the same ones get the same id again (a bisection that runs once more after a retry). */
  #partIds: Map<string, string> | undefined = undefined;

  constructor(id: string, lane: string, bytes: number, reason: CutReason, members: Members<I>) {
    this.id = id;
    this.lane = lane;
    this.itemCount = members.itemCount;
    this.bytes = bytes;
    this.reason = reason;
    this.#members = members;
  }

  get items(): readonly Item<I>[] {
    this.#items ??= this.#members.items();
    return this.#items;
  }

  values(): I[] {
    return this.#members.values();
  }

  only(indexes: readonly number[]): Batch<I> {
    return partOf<I>(this, undefined, indexes, (places) => this.#idOf(places));
  }

  /** Numbered by the batch that was cut, so that two halves of two halves never share an id. */
  #idOf(places: readonly number[]): string {
    this.#partIds ??= new Map();
    const key = runsOf(places);
    const known = this.#partIds.get(key) ?? `${this.id}.${this.#partIds.size + 1}`;
    this.#partIds.set(key, known);
    return known;
  }
}

/** `places`: where the parent's items stand in the batch that was cut; undefined when the parent is that batch. */
function partOf<I>(
  parent: Batch<I>,
  places: readonly number[] | undefined,
  indexes: readonly number[],
  idOf: (places: readonly number[]) => string,
): Batch<I> {
  if (indexes.length === parent.itemCount) return parent;
  const chosen = places === undefined ? indexes : indexes.map((index) => places[index]!);
  const items = indexes.map((index) => parent.items[index]!);
  const part: Batch<I> = {
    id: idOf(chosen),
    lane: parent.lane,
    itemCount: items.length,
    items,
    bytes: items.reduce((sum, item) => sum + item.bytes, 0),
    reason: parent.reason,
    values: () => valuesOf(items),
    only: (inner) => partOf(part, chosen, inner, idOf),
  };
  return part;
}

function valuesOf<I>(items: readonly Item<I>[]): I[] {
  return items.map((item) => item.value);
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
