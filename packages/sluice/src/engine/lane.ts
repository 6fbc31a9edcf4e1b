/** Lane: one accumulator, the one timer that watches it, and the loop that cuts when it is due *and* the dispatcher is ready. */

import { Accumulator, type BatchBounds, type Cut, type Due } from '../core/accumulator.js';
import type { WindowRule } from '../core/window.js';
import type { Cancel, Clock } from '../env/env.js';
import type { EngineItem } from './item.js';

/** What a lane needs of its engine. */
export interface LaneOptions<E> {
  readonly clock: Clock;
  readonly window: WindowRule;
  readonly bounds: BatchBounds;
  /** Advice of the dispatcher: start now, or ask again then. */
  ready(): true | Promise<void>;
  /** Sends a cut batch; begins the call in this same turn. */
  send(cut: Cut<E>): void;
}

/** One lane of an engine. */
export class Lane<I, E extends EngineItem<I>> {
  readonly #options: LaneOptions<E>;
  readonly #held: Accumulator<E>;
  #cancelTimer: Cancel | undefined;
  #armedFor: Due = 'never';
  #asking = false;
  #pumping = false;
  #elapsed = false;
  #lastArrivalAt = 0;

  constructor(options: LaneOptions<E>) {
    this.#options = options;
    this.#held = new Accumulator(options.window, options.bounds);
  }

  get live(): number {
    return this.#held.live;
  }

  /** The time of an arrival. Those of one turn share one reading of the clock, which costs more than all else of an offer. */
  arrivalTime(): number {
    if (this.#armedFor !== 'turnEnd') this.#lastArrivalAt = this.#options.clock.now();
    return this.#lastArrivalAt;
  }

  /** Sends a batch that is overdue, if the dispatcher is ready. */
  expire(): void {
    const { window, clock } = this.#options;
    if (!window.atTurnEnd && this.#held.live > 0 && this.#held.overdue(clock.now())) this.pump();
  }

  /** Takes an item in. A batch that is overdue goes first: the newcomer arrived outside its window. */
  add(item: E, now: number): void {
    const overdue = this.#held.overdue(now);
    // It is held before that batch goes: the sink may offer in its write, and what it offers comes after this one.
    this.#held.add(item);
    if (overdue) this.pump(item);
    // Between the first item and a full batch nothing changes: the timer is armed, or the dispatcher has been asked.
    if (this.#held.live === 1 || this.#held.due() === 'now') this.pump();
  }

  forget(item: E): void {
    this.#held.forget(item);
    if (this.#held.live === 0) this.#disarm();
  }

  raise(barrier: number, reason: 'manual' | 'shutdown'): void {
    this.#held.raise(barrier, reason);
    this.pump();
  }

  /** Everything that is still held, taken out unsent. */
  takeAll(): E[] {
    const taken: E[] = [];
    // One by one: a batch without a bound would not fit on the stack as arguments.
    for (let cut = this.#held.cut(); cut !== undefined; cut = this.#held.cut()) for (const item of cut.items) taken.push(item);
    this.#disarm();
    return taken;
  }

  /** Cuts and sends as long as a batch is due and the dispatcher is ready; else sees to it that this is tried again. */
  pump(before?: E): void {
    // A sink that offers in its write comes back here: the loop below, not the stack, takes it further.
    if (this.#asking || this.#pumping) return;
    this.#pumping = true;
    try {
      this.#cutWhileDue(before);
    } finally {
      this.#pumping = false;
    }
  }

  #cutWhileDue(before: E | undefined): void {
    let upTo = before;
    for (let due = this.#held.due(); due !== 'never'; due = this.#held.due()) {
      if (!this.#isDue(due)) {
        this.#arm(due);
        return;
      }
      const ready = this.#options.ready();
      if (ready !== true) {
        this.#askAgain(ready);
        return;
      }
      const cut = this.#held.cut(upTo);
      if (cut === undefined) {
        // Nothing is left but the newcomer, whose own window decides.
        upTo = undefined;
        continue;
      }
      this.#disarm();
      this.#options.send(cut);
    }
    this.#disarm();
  }

  #isDue(due: Due): boolean {
    return due === 'now' || this.#elapsed || (typeof due === 'number' && this.#options.clock.now() >= due);
  }

  #arm(due: Due): void {
    if (this.#armedFor === due) return;
    this.#disarm();
    this.#armedFor = due;
    // The timer itself says that the window has elapsed: fake timers may fire without moving the monotonic clock, and real
    // ones may fire a little early.
    const elapse = () => {
      this.#disarm();
      this.#elapsed = true;
      this.pump();
    };
    const { clock } = this.#options;
    this.#cancelTimer = due === 'turnEnd' ? clock.afterTurn(elapse) : clock.after((due as number) - clock.now(), elapse);
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#armedFor = 'never';
    this.#elapsed = false;
  }

  #askAgain(ready: Promise<void>): void {
    this.#asking = true;
    const again = () => {
      this.#asking = false;
      this.pump();
    };
    ready.then(again, again);
  }
}
