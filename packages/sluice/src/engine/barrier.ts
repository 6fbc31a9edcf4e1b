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

/** Counts the items of one stretch of arrivals, from one flush to the next. */
export class Barrier {
  readonly index: number;
  unsettled = 0;
  readonly counts: Record<Ending, number> = { ok: 0, failed: 0, dead: 0, cancelled: 0, dropped: 0 };
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
    if (this.unsettled === 0) for (const resolve of this.#whenSettled.splice(0)) resolve();
  }

  settled(): Promise<void> {
    if (this.unsettled === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenSettled.push(resolve));
  }
}

/** All barriers that still have unsettled items, and the one that newcomers join. */
export class Barriers {
  current = new Barrier(0);
  #earlier: Barrier[] = [];

  /**
   * Closes the current barrier: later items join a new one.
   *
   * @returns the index up to which items are now due, and the counts of everything that was unsettled, once it is settled.
   */
  raise(): { readonly index: number; readonly settled: Promise<SettledCounts> | undefined } {
    const index = this.current.index;
    this.#earlier = [...this.#earlier, this.current].filter((barrier) => barrier.unsettled > 0);
    this.current = new Barrier(index + 1);
    return { index, settled: this.#earlier.length === 0 ? undefined : countWhenSettled(this.#earlier) };
  }
}

async function countWhenSettled(barriers: readonly Barrier[]): Promise<SettledCounts> {
  const before = barriers.map((barrier) => ({ ...barrier.counts }));
  await Promise.all(barriers.map((barrier) => barrier.settled()));
  const sum = (ending: Ending) => barriers.reduce((total, barrier, i) => total + barrier.counts[ending] - before[i]![ending], 0);
  return { ok: sum('ok'), failed: sum('failed'), dead: sum('dead'), cancelled: sum('cancelled'), dropped: sum('dropped') };
}
