/** Barriers: what `flush` and `close` wait behind. Each item belongs to the barrier that was current when it came. */

/** What became of the items that a flush or a close waited for, in items. */
export interface SettledCounts {
  readonly ok: number;
  readonly failed: number;
  readonly dead: number;
  readonly cancelled: number;
  readonly dropped: number;
}

/** How an accepted item may end. */
export type Ending = keyof SettledCounts;

const endings: readonly Ending[] = ['ok', 'failed', 'dead', 'cancelled', 'dropped'];

/** Nothing has ended. */
export function noEndings(): Record<Ending, number> {
  return { ok: 0, failed: 0, dead: 0, cancelled: 0, dropped: 0 };
}

/** What has ended from one time to another. */
export function endedSince(before: SettledCounts, now: SettledCounts): SettledCounts {
  const counts = noEndings();
  for (const ending of endings) counts[ending] = now[ending] - before[ending];
  return counts;
}

/** Counts the items of one stretch of arrivals, from one flush to the next. */
export class Barrier {
  readonly index: number;
  unsettled = 0;
  readonly counts = noEndings();
  /** What became of its items and of those of all barriers before it, once they are all settled. */
  finals: SettledCounts | undefined;
  readonly #whenSettled: (() => void)[] = [];

  constructor(index: number) {
    this.index = index;
  }

  enter(): void {
    this.unsettled++;
  }

  /** One item has ended, or (without an ending) was refused while it waited for room. */
  leave(ending?: Ending): void {
    this.unsettled--;
    if (ending !== undefined) this.counts[ending]++;
    this.#tell();
  }

  /** So many have ended in one way. */
  leaveAll(ending: Ending, items: number): void {
    this.unsettled -= items;
    this.counts[ending] += items;
    this.#tell();
  }

  #tell(): void {
    if (this.unsettled === 0) for (const resolve of this.#whenSettled.splice(0)) resolve();
  }

  settled(): Promise<void> {
    if (this.unsettled === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenSettled.push(resolve));
  }
}

/** The barrier that newcomers join, and the flushes that wait for those before it. */
export class Barriers {
  current = new Barrier(0);
  /** What became of the items of all barriers that are settled, with all before them. */
  readonly #finals = noEndings();
  /** Each flush waits for the one before it, then for its own barrier: constant work for each, however many wait. */
  #lastFlush: Promise<void> | undefined;

  /**
   * Closes the current barrier: later items join a new one.
   *
   * @param totals what has become of all items up to now, whichever barrier they joined; it must not change later.
   * @returns the index up to which items are now due, and the counts of everything that was unsettled, once it is settled.
   */
  raise(totals: SettledCounts): { readonly index: number; readonly settled: Promise<SettledCounts> | undefined } {
    const closed = this.current;
    const { index } = closed;
    this.current = new Barrier(index + 1);
    if (this.#lastFlush === undefined && closed.unsettled === 0) {
      this.#conclude(closed);
      return { index, settled: undefined };
    }
    const flush = this.#flush(this.#lastFlush, closed);
    this.#lastFlush = flush;
    const settled = flush.then(() => {
      if (this.#lastFlush === flush) this.#lastFlush = undefined;
      return endedSince(totals, closed.finals!);
    });
    return { index, settled };
  }

  async #flush(before: Promise<void> | undefined, closed: Barrier): Promise<void> {
    await before;
    await closed.settled();
    this.#conclude(closed);
  }

  #conclude(closed: Barrier): void {
    for (const ending of endings) this.#finals[ending] += closed.counts[ending];
    closed.finals = { ...this.#finals };
  }
}
