/** Lane: one accumulator, the one timer that watches it, and the loop that cuts when it is due *and* the dispatcher is ready. */

import { Accumulator, type BatchBounds, type Cut, type Due } from '../core/accumulator.js';
import type { WindowRule } from '../core/window.js';
import type { Cancel, Clock } from '../env/env.js';
import type { EngineItem } from './item.js';

/** By how much a timer of the platform may be early, in ms; a larger lack means a clock that does not move. */
const earlyMs = 2;

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
  #turnEnded = false;
  #timersSay = Number.NEGATIVE_INFINITY;
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
    if (this.#armedFor !== 'turnEnd') this.#lastArrivalAt = this.#now();
    return this.#lastArrivalAt;
  }

  /** Sends a batch that is overdue, if the dispatcher is ready. */
  expire(): void {
    if (!this.#options.window.atTurnEnd && this.#held.live > 0 && this.#held.overdue(this.#now())) this.pump();
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
    const now = this.#now();
    for (let cut = this.#held.cut(now); cut !== undefined; cut = this.#held.cut(now))
      for (const item of cut.items) taken.push(item);
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
      const now = this.#now();
      const cut = this.#held.cut(now, upTo);
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
    if (typeof due === 'number') return this.#now() >= due;
    return due === 'now' || (due === 'turnEnd' && this.#turnEnded);
  }

  /** The time; and when a timer has fired, it is no earlier than what that was set for, whatever the clock says. */
  #now(): number {
    return Math.max(this.#options.clock.now(), this.#timersSay);
  }

  #arm(due: Due): void {
    if (this.#armedFor === due) return;
    // A gap that newcomers extend needs no new timer each: when the old one fires, this is asked again.
    if (typeof this.#armedFor === 'number' && typeof due === 'number' && this.#armedFor < due) return;
    this.#disarm();
    this.#armedFor = due;
    const { clock } = this.#options;
    if (due === 'turnEnd')
      this.#cancelTimer = clock.afterTurn(() =>
        this.#wake(() => {
          this.#turnEnded = true;
        }),
      );
    else if (typeof due === 'number') this.#cancelTimer = clock.after(due - this.#now(), () => this.#wake(() => this.#pass(due)));
  }

  #wake(note: () => void): void {
    this.#disarm();
    note();
    this.pump();
  }

  /**
   * A timer that was set for `due` has fired. It is believed: fake timers may fire without moving the monotonic clock. Real ones
   * may fire a fraction of a millisecond early, which harms nobody but who was promised a distance between two dispatches.
   */
  #pass(due: number): void {
    const { clock, window } = this.#options;
    const early = due - clock.now();
    if (window.spaced && early > 0 && early < earlyMs) return;
    this.#timersSay = Math.max(this.#timersSay, due);
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#armedFor = 'never';
    this.#turnEnded = false;
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
