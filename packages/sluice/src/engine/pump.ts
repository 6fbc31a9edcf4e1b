/** Pump: the loop that cuts, when a lane is due *and* the dispatcher is ready, in the order of the turns. */

import { Turns, type TurnTaker } from './fairness.js';
import type { Readiness } from './readiness.js';

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
  readonly ready: Readiness;
  /** Cuts a batch and begins its call in this same turn; answers what it is worth, in full batches. */
  send(lane: L): number;
}

/**
 * Sends as long as any lane wants to and the dispatcher is ready, in the order of their turns.
 *
 * When the dispatcher is not ready for the lane whose turn it is, the next one is asked too. If that is told to wait for the very same
 * thing, as under a limit, everybody waits, and keeps their place and what is left of their turn: one freed permit costs a question or
 * two, however many lanes want it, and whoever is next gets it, so that it cannot be stranded with a lane that has nothing left. If
 * not, it is that one lane which must wait: it is parked, and yields its turn.
 */
export class Pump<L extends Pumpable> {
  readonly #options: PumpOptions<L>;
  readonly #turns = new Turns<L>();
  /** What is waited for, and the lanes that are parked until then. */
  readonly #awaited = new Map<Promise<void>, L[]>();
  /** What everybody waits for; `asked`: the lane that was told so, while it is the only one that was. */
  #stop: { readonly until: Promise<void>; asked: L | undefined } | undefined;
  #running = false;

  constructor(options: PumpOptions<L>) {
    this.#options = options;
  }

  /** A lane may want to send now, or must be watched. */
  look(lane: L): void {
    if (!lane.queued && !lane.wantsToSend()) {
      lane.watch();
      return;
    }
    if (!lane.queued) this.#enqueue(lane);
    this.run();
  }

  /** A sink that offers in its write comes back here: the loop, not the stack, takes it further. */
  run(): void {
    if (this.#running || this.#stop !== undefined) return;
    this.#running = true;
    try {
      for (let lane = this.#turns.next(); lane !== undefined && this.#stop === undefined; lane = this.#turns.next())
        this.#serve(lane);
    } finally {
      this.#running = false;
    }
  }

  #serve(lane: L): void {
    if (lane.wantsToSend()) {
      const ready = this.#options.ready.of(lane.name);
      if (ready !== true) {
        this.#wait(lane, ready);
        return;
      }
      this.#turns.spend(lane, this.#options.send(lane));
    }
    if (!lane.wantsToSend()) this.#release(lane);
  }

  #enqueue(lane: L): void {
    lane.queued = true;
    this.#join(lane);
  }

  /** It takes turns again; and where one lane waits for what may concern it alone, this one shows whether it does. */
  #join(lane: L): void {
    this.#turns.add(lane);
    if (this.#stop?.asked !== undefined) this.#askToo(lane, this.#stop.asked, this.#stop.until);
  }

  #wait(lane: L, until: Promise<void>): void {
    this.#stop = { until, asked: lane };
    this.#await(until);
    const { next } = lane;
    if (next !== undefined && next !== lane) this.#askToo(next, lane, until);
  }

  /** A first lane was told to wait until then. Is that for everybody, or for it alone? */
  #askToo(lane: L, first: L, until: Promise<void>): void {
    const ready = this.#options.ready.of(lane.name);
    if (ready === until) {
      this.#stop!.asked = undefined;
      return;
    }
    this.#stop = undefined;
    // What the first one waits for has come in this very turn: it keeps its place.
    if (ready === true && this.#options.ready.of(first.name) === true) return;
    this.#turns.remove(first);
    this.#await(until).push(first);
    if (ready === true) return;
    // Nor is this one let through, for a reason of its own.
    this.#turns.remove(lane);
    this.#await(ready).push(lane);
  }

  #release(lane: L): void {
    this.#turns.remove(lane);
    lane.queued = false;
    lane.watch();
  }

  /** The lanes that wait for it. */
  #await(until: Promise<void>): L[] {
    const known = this.#awaited.get(until);
    if (known !== undefined) return known;
    const parked: L[] = [];
    this.#awaited.set(until, parked);
    const again = () => {
      this.#awaited.delete(until);
      if (this.#stop?.until === until) this.#stop = undefined;
      for (const lane of parked) this.#join(lane);
      this.run();
    };
    this.#options.ready.wait(until, again);
    return parked;
  }
}
