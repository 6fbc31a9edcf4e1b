/** Calls: the balance of the calls that wait for keys, as the engine keeps that of the keys. */

import type { Outcome } from '../core/outcome.js';
import { emptyTally, type Tally } from '../core/tally.js';
import { endedSince } from '../engine/barrier.js';
import type { DrainReport } from '../engine/engine.js';
import { isAnswer, type KeyItem } from './key-item.js';

type Item = Pick<KeyItem<unknown, unknown>, 'waiting' | 'flight' | 'gone' | 'toldEarly'> & {
  each(visit: (listener: { readonly finds: boolean }) => void): void;
};

/** Counts calls. How many were offered, and how many are held, is worked out from the others. A class: it is on the path of every load. */
export class Calls {
  /** Calls that are not settled. */
  waiting = 0;
  readonly #tally = emptyTally();
  #droppedHeld = 0;

  /** One was let in, and waits for `item`. */
  take(item: Item): void {
    this.#tally.accepted++;
    this.waiting++;
    if (item.flight !== undefined) this.#tally.inFlight++;
  }

  /** One that was let in has found no room after all. */
  giveBack(): void {
    this.#tally.accepted--;
    this.waiting--;
  }

  refuse(): void {
    this.#tally.rejected++;
  }

  /** One was answered by the cache. */
  hit(outcome: Outcome<unknown>, finds: boolean): void {
    this.#tally.accepted++;
    this.#tally[isAnswer(outcome, finds) ? 'ok' : outcome.kind]++;
  }

  leave(item: Item): void {
    this.waiting--;
    if (item.flight !== undefined) this.#tally.inFlight--;
    this.#tally.cancelled++;
  }

  depart(items: readonly Item[]): void {
    for (const { waiting } of items) this.#tally.inFlight += waiting;
  }

  /** All calls that wait for `item` have ended. */
  end(item: Item, outcome: Outcome<unknown>): void {
    const { waiting } = item;
    this.waiting -= waiting;
    if (item.flight !== undefined) this.#tally.inFlight -= waiting;
    if (outcome.kind === 'ok') {
      this.#tally.ok += waiting;
      return;
    }
    // Only a drain settles an item that is gone.
    const dropped = item.gone && !item.toldEarly;
    if (dropped && item.flight === undefined) this.#droppedHeld += waiting;
    let answered = 0;
    if (isAnswer(outcome, true)) item.each(({ finds }) => finds && answered++);
    this.#tally.ok += answered;
    this.#tally[dropped ? 'dropped' : outcome.kind] += waiting - answered;
  }

  tally(): Tally {
    const { accepted, rejected, inFlight } = this.#tally;
    return { ...this.#tally, offered: accepted + rejected, held: this.waiting - inFlight };
  }

  /** What has become of calls since they stood at `before`, in the words of a drain. */
  since(before: Tally, durationMs: number): DrainReport {
    const ended = endedSince(before, this.#tally);
    const droppedHeld = this.#droppedHeld;
    return { ...ended, droppedHeld, droppedInFlight: ended.dropped - droppedHeld, durationMs };
  }
}
