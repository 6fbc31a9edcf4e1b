/** Pump: the loop that cuts, when a lane is due *and* the dispatcher is ready, in the order of the turns. */

import { Turns, type TurnTaker } from './fairness.js';

/** What a lane must say and do to be pumped. */
export interface Pumpable extends TurnTaker {
  readonly name: string;
  /** In the ring, or parked until the dispatcher is ready for it. */
  queued: boolean;
  /** Something is due, and its own bounds let it leave. */
  wantsToSend(): boolean;
  /** Sees to it that it is asked again when its window is over. */
  watch(): void;
}

/** What a pump needs of its engine. */
export interface PumpOptions<L> {
  /** Advice of the dispatcher: start now, or ask again then. */
  ready(lane: string): true | Promise<void>;
  /** Cuts a batch and begins its call in this same turn; answers what it is worth, in full batches. */
  send(lane: L): number;
}

/**
 * Sends as long as any lane wants to and the dispatcher is ready.
 *
 * A lane that the dispatcher is not ready for is parked, and yields its turn to the next. When a second lane is told to wait for the
 * very same thing, as under a limit, that stops them all: nobody else is asked, and when it comes to pass they go on in the order of
 * their turns. So one freed permit costs one question, however many lanes want it; and since whoever is woken looks for any lane that
 * wants to send, no permit is stranded with a lane that has nothing left.
 */
export class Pump<L extends Pumpable> {
  readonly #options: PumpOptions<L>;
  readonly #turns = new Turns<L>();
  readonly #parked = new Map<Promise<void>, L[]>();
  #running = false;

  constructor(options: PumpOptions<L>) {
    this.#options = options;
  }

  /** A lane may want to send now, or must be watched. */
  look(lane: L): void {
    if (!lane.queued) {
      if (!lane.wantsToSend()) {
        lane.watch();
        return;
      }
      lane.queued = true;
      this.#turns.add(lane);
    }
    this.run();
  }

  /** A sink that offers in its write comes back here: the loop, not the stack, takes it further. */
  run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      for (let lane = this.#turns.next(); lane !== undefined; lane = this.#turns.next()) {
        if (!this.#serve(lane)) return;
      }
    } finally {
      this.#running = false;
    }
  }

  /** Returns false when nobody can be served now. */
  #serve(lane: L): boolean {
    if (!lane.wantsToSend()) {
      this.#release(lane);
      return true;
    }
    const ready = this.#advice(lane);
    if (ready !== true) return this.#park(lane, ready);
    const worth = this.#options.send(lane);
    this.#turns.spend(lane, worth);
    if (!lane.wantsToSend()) this.#release(lane);
    return true;
  }

  #advice(lane: L): true | Promise<void> {
    try {
      return this.#options.ready(lane.name);
    } catch {
      // Advice that throws is no advice: the dispatch itself will say what is wrong.
      return true;
    }
  }

  #release(lane: L): void {
    this.#turns.remove(lane);
    lane.queued = false;
    lane.watch();
  }

  #park(lane: L, ready: Promise<void>): boolean {
    this.#turns.remove(lane);
    const others = this.#parked.get(ready);
    if (others !== undefined) {
      others.push(lane);
      return false;
    }
    this.#parked.set(ready, [lane]);
    const again = () => this.#unpark(ready);
    ready.then(again, again);
    return true;
  }

  #unpark(ready: Promise<void>): void {
    const lanes = this.#parked.get(ready)!;
    this.#parked.delete(ready);
    // One that alone was not wanted has yielded its turn. Those who waited for the same did not lose theirs.
    if (lanes.length === 1) this.#turns.add(lanes[0]!);
    else this.#turns.addFirst(lanes);
    this.run();
  }
}
