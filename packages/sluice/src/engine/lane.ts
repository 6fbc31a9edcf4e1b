/** Lane: items that share batches and keep their order; one accumulator, and the one timer that watches it. */

import { Accumulator, type BatchBounds, type Due } from '../core/accumulator.js';
import type { RaiseReason } from '../core/batch.js';
import type { Run } from '../core/runs.js';
import { type Counts, emptyTally } from '../core/tally.js';
import type { WindowRule } from '../core/window.js';
import type { Cancel, Clock } from '../env/env.js';
import type { Arrivals } from './arrivals.js';
import type { Barrier } from './barrier.js';
import type { Capacity } from './capacity.js';
import type { EngineCut } from './flight.js';
import type { Pumpable } from './pump.js';

/** By how much a timer of the platform may be early, in ms; a larger lack means a clock that does not move. */
const earlyMs = 2;

/** What all lanes of an engine have in common. */
export interface LaneOptions {
  readonly clock: Clock;
  readonly window: WindowRule;
  readonly bounds: BatchBounds;
  /** Bound on batches of one lane that are not settled, back-off included. */
  readonly maxInFlight: number;
  /** What only one item of a batch may have; see `Accumulator`. */
  readonly orderKeyOf?: ((held: unknown) => unknown) | undefined;
}

/** One lane of an engine. A class: it stands on the hot path of every offer. */
export class Lane<I> implements Pumpable {
  readonly name: string;
  readonly weight: number;
  readonly tally: Counts = emptyTally();
  readonly capacity: Capacity;
  /** Batches that are not settled. */
  unsettled = 0;
  /** Something failed that must not be passed by: nothing leaves until somebody says so. */
  halted = false;
  credit = 0;
  previous: this | undefined = undefined;
  next: this | undefined = undefined;
  queued = false;
  readonly #options: LaneOptions;
  readonly #look: (lane: Lane<I>) => void;
  readonly #held: Accumulator<unknown, Barrier>;
  #cancelTimer: Cancel | undefined;
  #armedFor: Due = 'never';
  #turnEnded = false;
  #timersSay = Number.NEGATIVE_INFINITY;
  /** While a newcomer waits for an overdue batch to go: how many were there before it. */
  #ahead = 0;

  /**
   * @param capacity what it may hold: its own, or that of the engine where it is the only one.
   * @param look called when the lane may want to send.
   */
  constructor(name: string, weight: number, capacity: Capacity, options: LaneOptions, look: (lane: Lane<I>) => void) {
    this.name = name;
    this.weight = weight;
    this.capacity = capacity;
    this.#options = options;
    this.#look = look;
    this.#held = new Accumulator(options.window, options.bounds, options.orderKeyOf);
  }

  /** How many are held that have not left. */
  get live(): number {
    return this.#held.live;
  }

  /** Nothing is here, nothing is under way, and no distance must be kept any more: it may be forgotten. */
  isIdle(): boolean {
    if (this.#held.live > 0 || this.unsettled > 0 || this.capacity.items > 0 || this.queued) return false;
    return this.tally.waiting === 0 && !this.halted && this.now() >= this.#held.restsUntil;
  }

  /** The time; and when a timer has fired, it is no earlier than what that was set for, whatever the clock says. */
  now(): number {
    return this.#at(this.#options.clock.now());
  }

  /** Sends a batch that is overdue, if it can go. */
  expire(arrivals: Arrivals): void {
    if (this.#held.live > 0 && !this.#options.window.atTurnEnd && this.#held.overdue(this.#at(arrivals.now()))) this.#look(this);
  }

  /** Takes in what arrived at `at`. The caller says {@link added} when it has noted the run: a batch may leave within that call. */
  add(held: unknown, at: number, barrier: Barrier): Run<Barrier> {
    const now = this.#at(at);
    if (this.#held.overdue(now)) this.#ahead = this.#held.live;
    return this.#held.add(held, now, barrier);
  }

  /**
   * A batch that is overdue goes, without the newcomer, which arrived outside its window. The newcomer is held by then: the sink may
   * offer in its write, and what it offers comes after it. Otherwise nothing changes between the first item and a full batch: the timer
   * runs, or the dispatcher has been asked.
   */
  added(): void {
    if (this.#ahead > 0) {
      this.#look(this);
      this.#ahead = 0;
    }
    if (this.#held.live === 1 || (this.#held.isFull && !this.#options.window.spaced)) this.#look(this);
  }

  /** One more of a burst: behind the last that came, at its time and behind its barrier. It counts once the burst is {@link count}ed. */
  append(held: unknown): void {
    this.#held.append(held);
  }

  /** So many were appended. */
  count(items: number): void {
    this.#held.count(items);
  }

  /** How many may come before anything changes; 0 while nothing is held. */
  get roomInBatch(): number {
    return this.#held.live === 0 ? 0 : this.#options.bounds.maxItems - 1 - this.#held.live;
  }

  forget(item: Parameters<Accumulator<unknown, Barrier>['forget']>[0]): void {
    this.#held.forget(item);
    if (this.#ahead > 0) this.#ahead--;
    if (this.#held.live === 0) this.#disarm();
  }

  /** Makes everything behind `barrier` and before it due at once; the caller looks. */
  raise(barrier: number, reason: RaiseReason): void {
    this.#held.raise(barrier, reason);
  }

  /** Takes the next batch. */
  cut(): EngineCut {
    const now = this.now();
    this.#disarm();
    if (this.#ahead === 0) return this.#held.cut(now)!;
    const cut = this.#held.cut(now, this.#ahead)!;
    this.#ahead -= cut.held.length;
    return cut;
  }

  takeOldest() {
    const taken = this.#held.takeOldest();
    if (this.#held.live === 0) this.#disarm();
    return taken;
  }

  /** Everything that is still held, taken out unsent. */
  takeAll(): EngineCut[] {
    const cuts: EngineCut[] = [];
    while (this.#held.live > 0) cuts.push(this.cut());
    this.#disarm();
    return cuts;
  }

  wantsToSend(): boolean {
    if (this.unsettled >= this.#options.maxInFlight || this.halted) return false;
    if (this.#ahead > 0) return true;
    const due = this.#held.due();
    if (typeof due === 'number') return this.now() >= due;
    return due === 'now' || (due === 'turnEnd' && this.#turnEnded);
  }

  /** Arms the timer, unless it waits for its own batches: their settlement looks again. */
  watch(): void {
    const stopped = this.unsettled >= this.#options.maxInFlight || this.halted;
    const due = stopped ? 'never' : this.#held.due();
    if (due === 'never') this.#disarm();
    else if (due !== 'now') this.#arm(due);
  }

  #at(now: number): number {
    return Math.max(now, this.#timersSay);
  }

  #arm(due: number | 'turnEnd'): void {
    if (this.#armedFor === due) return;
    // A gap that newcomers extend needs no new timer each: when the old one fires, this is asked again.
    if (typeof this.#armedFor === 'number' && typeof due === 'number' && this.#armedFor < due) return;
    this.#disarm();
    this.#armedFor = due;
    const { clock } = this.#options;
    if (due === 'turnEnd') this.#cancelTimer = clock.afterTurn(() => this.#endTurn());
    else this.#cancelTimer = clock.after(due - this.now(), () => this.#pass(due));
  }

  #endTurn(): void {
    this.#disarm();
    this.#turnEnded = true;
    this.#look(this);
  }

  /**
   * A timer that was set for `due` has fired. It is believed: fake timers may fire without moving the monotonic clock. Real ones
   * may fire a fraction of a millisecond early, which harms nobody but who was promised a distance between two dispatches.
   */
  #pass(due: number): void {
    const { clock, window } = this.#options;
    this.#disarm();
    const early = due - clock.now();
    if (!window.spaced || early >= earlyMs) this.#timersSay = Math.max(this.#timersSay, due);
    this.#look(this);
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#armedFor = 'never';
    this.#turnEnded = false;
  }
}
