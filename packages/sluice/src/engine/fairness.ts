/** Fairness: whose turn it is among the lanes that want to send. Weighted deficit round robin. */

/** What a lane shows of itself to those who take turns. */
export interface TurnTaker {
  /** Its share: how many full batches a turn is worth. More than 0. */
  readonly weight: number;
  /** What is left of its turn, in full batches; below 0 when its last batch was worth more than was left. */
  credit: number;
  previous: this | undefined;
  next: this | undefined;
}

/** Less than this is nothing: what adding and subtracting fractions leaves behind. */
const nothing = 1e-9;

/**
 * A ring of lanes that take turns. At the start of its turn a lane is given its weight; it sends while any of that is left, and a
 * batch that is worth more is paid back in later turns. What is left over is not saved up: a lane has one turn's worth at most.
 *
 * Deficit round robin (Shreedhar, Varghese 1995) in its surplus form, which need not know the next batch before it is cut. Each step
 * takes constant time, unless all lanes of the ring are in debt: then the rounds in which nobody would send are skipped in one.
 */
export class Turns<L extends TurnTaker> {
  /** Whose turn it is; a ring of links, so that any lane may leave it at any time. */
  #head: L | undefined = undefined;
  #begun = false;

  /** A lane that had nothing to send joins at the tail: it gains no turn by coming late. */
  add(lane: L): void {
    const head = this.#head;
    if (head === undefined) {
      this.#head = lane;
      lane.previous = lane;
      lane.next = lane;
      this.#begun = false;
      return;
    }
    const tail = head.previous!;
    lane.previous = tail;
    lane.next = head;
    tail.next = lane;
    head.previous = lane;
  }

  remove(lane: L): void {
    if (this.#head === lane) this.#pass();
    if (lane.next === lane) this.#head = undefined;
    lane.previous!.next = lane.next;
    lane.next!.previous = lane.previous;
    lane.previous = undefined;
    lane.next = undefined;
  }

  /** Whose turn it is; undefined when nobody wants to send. */
  next(): L | undefined {
    if (this.#head === undefined) return undefined;
    for (let passed: L | undefined; ; ) {
      const lane: L = this.#head;
      if (!this.#begun) {
        this.#begun = true;
        lane.credit = Math.min(lane.credit + lane.weight, lane.weight);
      }
      if (lane.credit > nothing) return lane;
      this.#pass();
      if (passed === undefined) passed = lane;
      else if (this.#head === passed) this.#skipRounds();
    }
  }

  /** The lane whose turn it is has sent something worth `batches` full ones. */
  spend(lane: L, batches: number): void {
    lane.credit -= batches;
    if (lane.credit <= nothing && this.#head === lane) this.#pass();
  }

  #pass(): void {
    this.#head = this.#head?.next;
    this.#begun = false;
  }

  /** All are in debt: gives each what it would be given in the rounds until the first has paid. */
  #skipRounds(): void {
    let rounds = Number.POSITIVE_INFINITY;
    this.#each((lane) => {
      rounds = Math.min(rounds, Math.floor(-lane.credit / lane.weight));
    });
    if (rounds > 0)
      this.#each((lane) => {
        lane.credit += rounds * lane.weight;
      });
  }

  #each(visit: (lane: L) => void): void {
    let lane = this.#head!;
    do {
      visit(lane);
      lane = lane.next!;
    } while (lane !== this.#head);
  }
}

/** What a batch is worth in full ones: by its items, or by its bytes where they count and are the larger part. */
export function worthOf(
  items: number,
  bytes: number,
  { maxItems, maxBytes }: { readonly maxItems: number; readonly maxBytes: number },
  fairBy: 'items' | 'bytes' = 'items',
): number {
  const byItems = Number.isFinite(maxItems) ? items / maxItems : 1;
  return fairBy === 'bytes' && Number.isFinite(maxBytes) ? Math.max(byItems, bytes / maxBytes) : byItems;
}
