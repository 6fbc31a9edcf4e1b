/** Engine: accumulate → cut → dispatch → settle. The three faces differ only in how they settle. */

import { HeldItem } from '../core/accumulator.js';
import { contextWith } from '../core/context.js';
import type { Dispatcher } from '../core/dispatcher.js';
import { asFailure, type SluiceError } from '../core/errors.js';
import type { DropReason, SluiceEvent } from '../core/event.js';
import { allFailed, failed, type Outcome, oneEach } from '../core/outcome.js';
import type { Tally } from '../core/tally.js';
import { windowRule } from '../core/window.js';
import { type Admission, closedError, droppedError, type Refusal, refusalOf } from './admission.js';
import { Arrivals } from './arrivals.js';
import { type Barrier, Barriers, type SettledCounts } from './barrier.js';
import { Capacity } from './capacity.js';
import { type DrainReport, dropAll } from './drain.js';
import { Drops } from './drops.js';
import type { EngineOptions } from './engine-options.js';
import { worthOf } from './fairness.js';
import type { Flight } from './flight.js';
import { Flights } from './flights.js';
import { EngineItem } from './item.js';
import type { Lane } from './lane.js';
import { Lanes } from './lanes.js';
import { Pump } from './pump.js';
import { firstFailure, partsOf, settleFlight, tellFlight } from './settle.js';
import { Waiting } from './waiting.js';

export type { DrainReport, EngineOptions };

/** One engine. A class: identity, and one layout for three faces. */
export class Engine<I, R, E extends EngineItem<I>> {
  /** What a batch may have. May be changed at any time, and holds from the next cut on. */
  readonly bounds: { maxItems: number; maxBytes: number };
  readonly #options: EngineOptions<I, R, E>;
  readonly #capacity: Capacity;
  readonly #barriers = new Barriers();
  readonly #waiting: Waiting<I, E>;
  readonly #arrivals: Arrivals;
  readonly #lanes: Lanes<I>;
  readonly #pump: Pump<Lane<I>>;
  readonly #dispatcher: Dispatcher<I, R>;
  readonly #flights: Flights;
  readonly #drops: Drops<I>;
  readonly #tell: (item: EngineItem<unknown>, outcome: Outcome<R>, index: number) => void;
  #drain: Promise<DrainReport> | undefined;

  constructor(options: EngineOptions<I, R, E>) {
    this.#options = options;
    this.bounds = { maxItems: options.maxItems, maxBytes: options.maxBytes };
    const { env, orderKeyOf, maxInFlightPerLane = Number.POSITIVE_INFINITY } = options;
    this.#capacity = new Capacity(options);
    this.#flights = new Flights(env.random, (lane, items, bytes) => this.#release(lane as Lane<I>, items, bytes));
    // An engine makes no items but those of its face, and plain ones, for which nobody waits.
    this.#tell = options.settle as (item: EngineItem<unknown>, outcome: Outcome<R>, index: number) => void;
    this.#waiting = new Waiting(options.maxWaiting, this.#capacity);
    this.#arrivals = new Arrivals(env.clock);
    this.#drops = new Drops<I>({
      capacity: this.#capacity,
      lanes: () => this.#lanes.all,
      release: (lane, bytes) => this.#release(lane, 1, bytes),
      retire: (lane) => this.#lanes.retire(lane),
      dropped: (held, reason) => this.#dropped(held, reason),
    });
    this.#dispatcher = options.dispatcher({
      clock: env.clock,
      random: env.random,
      neutral: (fn) => env.neutral(fn),
      observe: (event) => this.#observe(event),
    });
    this.#pump = new Pump<Lane<I>>({ ready: (lane) => this.#dispatcher.ready(lane), send: (lane) => this.#send(lane) });
    const laneOptions = {
      clock: env.clock,
      window: windowRule(options.window, env.clock.now()),
      bounds: this.bounds,
      maxInFlight: maxInFlightPerLane,
      orderKeyOf: orderKeyOf && ((held: unknown) => orderKeyOf(held instanceof EngineItem ? held.value : (held as I))),
    };
    const capacityOf = () => (options.lanes === undefined ? this.#capacity : new Capacity(options.heldPerLane ?? options));
    this.#lanes = new Lanes<I>(options.lanes, laneOptions, capacityOf, (lane) => this.#pump.look(lane));
  }

  /** The balance at this instant. */
  tally(): Tally {
    return this.#lanes.tally();
  }

  /** The lanes that there are now. One that has nothing left is forgotten; what it counted stays in the {@link tally}. */
  get lanes(): Iterable<Lane<I>> {
    return this.#lanes.all;
  }

  /** What is held, in items and bytes: open, in flight, waiting for a retry, abandoned. */
  held(): { readonly items: number; readonly bytes: number } {
    return { items: this.#capacity.items, bytes: this.#capacity.bytes };
  }

  get closed(): boolean {
    return this.#drain !== undefined;
  }

  /** Takes a value for which nobody waits, or says why not. It is held as it is, and counts no bytes. */
  offerValue(value: I): Admission {
    // What another engine has made an item of would be taken for an item of this one.
    if (value instanceof HeldItem) return this.offer(new EngineItem(value, 0) as EngineItem<unknown> as E);
    const lane = this.#lanes.of(value);
    const admission = this.#admission(lane, 0);
    if (admission === 'accepted') this.#take(value, undefined, lane!);
    else return this.#overflow(value, undefined, lane, admission);
    return admission;
  }

  /** Takes an item at once, or says why not. */
  offer(item: E): Admission {
    const lane = this.#lanes.of(item.value);
    const admission = this.#admission(lane, item.bytes);
    if (admission !== 'accepted') return this.#overflow(item.value, item, lane, admission);
    this.#take(item, item, lane!);
    return admission;
  }

  /**
   * Takes an item as soon as there is room for it; first come, first served.
   *
   * @throws SluiceError `CLOSED`, `ITEM_TOO_LARGE`, `TOO_MANY_LANES`, or `OVERLOADED` when `maxWaiting` callers wait already.
   */
  accept(item: E): Promise<void> | undefined {
    const lane = this.#lanes.of(item.value);
    const admission = this.#admission(lane, item.bytes);
    if (admission === 'accepted') {
      this.#take(item, item, lane!);
      return undefined;
    }
    const mayWait = admission === 'full' || admission === 'laneFull';
    if (!mayWait || this.#waiting.isFull) {
      this.#refuse(item, lane, mayWait ? 'waitersFull' : admission);
      return Promise.reject(this.refusal(item.bytes, mayWait ? 'full' : admission));
    }
    lane!.tally.offered++;
    lane!.tally.waiting++;
    item.phase = 'waiting';
    item.lane = lane;
    item.run = { acceptedAt: 0, barrier: this.#barriers.current, length: 1 };
    item.run.barrier.enter();
    return this.#waiting.wait(item, lane!);
  }

  /** The error that tells a caller why its item, of so many bytes, was refused. */
  refusal(bytes: number, admission: Refusal): SluiceError {
    return refusalOf(admission, bytes, this.#capacity, this.#options);
  }

  /**
   * The last waiter of an item left. An item that is held is not sent; a call whose items are all left is aborted.
   *
   * @returns false when it was settled already.
   */
  cancel(item: E, reason: SluiceError): boolean {
    const { phase, lane, run } = item;
    if (lane === undefined || run === undefined || phase === 'settled' || phase === 'made') return false;
    item.phase = 'settled';
    item.gone = true;
    if (phase === 'waiting') {
      this.#waiting.leave(item, lane, reason);
      this.#turnedAway(item);
      // It may have been the first in line, and too large for the room that there is for the next.
      this.#admitWaiting();
      return true;
    }
    lane.tally.cancelled++;
    run.barrier.leave('cancelled');
    if (phase === 'inFlight') {
      lane.tally.inFlight--;
      item.flight!.leave(reason);
      return true;
    }
    lane.tally.held--;
    lane.forget(item);
    this.#release(lane, 1, item.bytes);
    this.#admitWaiting();
    this.#lanes.retire(lane);
    return true;
  }

  /** Sends a batch that is overdue, if it can go: who joins a held item asks for this first, since a newcomer's own item would. */
  expire(): void {
    const { only } = this.#lanes;
    if (only !== undefined) only.expire(this.#arrivals);
    else for (const lane of this.#lanes.all) lane.expire(this.#arrivals);
  }

  /** Cuts now and resolves once everything held, in flight or waiting at this moment is settled. Never rejects. */
  async flush(): Promise<SettledCounts> {
    const { index, settled } = this.#barriers.raise(this.tally());
    this.#lanes.raise(index, this.#drain === undefined ? 'manual' : 'shutdown');
    return (await settled) ?? { ok: 0, failed: 0, dead: 0, cancelled: 0, dropped: 0 };
  }

  /** Goes on in the lanes that halted at a failure, or in one of them. What failed is not sent again. */
  resume(name?: string): void {
    for (const lane of [...this.#lanes.all]) {
      if (!lane.halted || (name !== undefined && lane.name !== name)) continue;
      lane.halted = false;
      this.#pump.look(lane);
      this.#lanes.retire(lane);
    }
  }

  /**
   * Accepts no more, cuts now, and waits until everything is settled or `deadlineMs` have passed; what is left then is dropped,
   * and counted. Idempotent: a second call returns the first one's promise.
   */
  close(deadlineMs: number): Promise<DrainReport> {
    if (this.#drain !== undefined) return this.#drain;
    const { env, name } = this.#options;
    const { clock } = env;
    const startedAt = clock.now();
    let dropped = { droppedHeld: 0, droppedInFlight: 0 };
    let finish!: (report: DrainReport) => void;
    // Closed before anything else happens: a flush may call sinks, and a sink may offer.
    this.#drain = new Promise((resolve) => (finish = resolve));
    for (const { item } of this.#waiting.takeAll(closedError(name))) {
      item.phase = 'settled';
      this.#turnedAway(item);
      this.#observe({ type: 'rejected', name, reason: 'closed' });
    }
    const settled = this.flush();
    const expire = () => {
      dropped = this.#dropAll(deadlineMs);
    };
    const cancelDeadline = deadlineMs === Number.POSITIVE_INFINITY ? () => {} : clock.after(deadlineMs, expire);
    void settled.then((counts) => {
      cancelDeadline();
      finish({ ...counts, ...dropped, durationMs: clock.now() - startedAt });
    });
    return this.#drain;
  }

  #admission(lane: Lane<I> | undefined, bytes: number): Admission {
    if (this.#drain !== undefined) return 'closed';
    if (lane === undefined) return 'lanesFull';
    if (!this.#capacity.couldHold(bytes) || !lane.capacity.couldHold(bytes)) return 'tooLarge';
    if (this.#waiting.isBefore(lane) || !this.#capacity.hasRoomFor(bytes)) return 'full';
    return lane.capacity === this.#capacity || lane.capacity.hasRoomFor(bytes) ? 'accepted' : 'laneFull';
  }

  #take(held: I | E, item: E | undefined, lane: Lane<I>): void {
    lane.tally.offered++;
    const { current } = this.#barriers;
    current.unsettled++;
    this.#hold(held, item, lane, current);
  }

  #hold(held: I | E, item: E | undefined, lane: Lane<I>, barrier: Barrier): void {
    const { tally } = lane;
    tally.accepted++;
    tally.held++;
    const bytes = item === undefined ? 0 : item.bytes;
    this.#capacity.take(1, bytes);
    if (lane.capacity !== this.#capacity) lane.capacity.take(1, bytes);
    if (item !== undefined) {
      item.phase = 'held';
      item.lane = lane;
    }
    const run = lane.add(held, this.#arrivals.now(), barrier);
    if (item !== undefined) item.run = run;
    lane.added();
  }

  /** What becomes of an item for which there is no room. */
  #overflow(value: I, item: E | undefined, lane: Lane<I> | undefined, admission: Refusal): Admission {
    const { drop } = this.#options;
    if (drop === undefined || lane === undefined || (admission !== 'full' && admission !== 'laneFull')) {
      this.#refuse(item, lane, admission);
      return admission;
    }
    if (drop === 'dropOldest' && this.#drops.makeRoom(lane, item === undefined ? 0 : item.bytes)) {
      // Once more: an observer of the drop may have called in, and its lane been forgotten meanwhile.
      this.#take(item ?? value, item, this.#lanes.of(value) ?? lane);
    } else {
      this.#drops.dropNewcomer(item ?? value, lane, this.#barriers.current);
      this.#lanes.retire(lane);
    }
    return 'accepted';
  }

  #dropped(held: unknown, reason: DropReason): void {
    const { name, onSettled, onDropped } = this.#options;
    this.#observe({ type: 'dropped', name, items: 1, reason });
    if (held instanceof EngineItem) {
      this.#tell(held, failed(droppedError(name, reason)), 0);
      onSettled?.();
    }
    onDropped?.((held instanceof EngineItem ? held.value : held) as I, reason);
  }

  #refuse(item: E | undefined, lane: Lane<I> | undefined, reason: Refusal | 'waitersFull'): void {
    if (item !== undefined) item.phase = 'settled';
    if (lane === undefined) this.#lanes.refuse();
    else {
      lane.tally.offered++;
      lane.tally.rejected++;
      this.#lanes.retire(lane);
    }
    this.#observe({ type: 'rejected', name: this.#options.name, reason });
  }

  #turnedAway(item: E): void {
    const lane = item.lane!;
    item.run!.barrier.leave();
    lane.tally.waiting--;
    lane.tally.rejected++;
    this.#lanes.retire(lane);
  }

  #release(lane: Lane<I>, items: number, bytes: number): void {
    this.#capacity.release(items, bytes);
    if (lane.capacity !== this.#capacity) lane.capacity.release(items, bytes);
  }

  /** Cuts a batch of a lane and begins its call; answers what it is worth in full batches. */
  #send(lane: Lane<I>): number {
    const { split, onCut } = this.#options;
    const cut = lane.cut();
    onCut?.(cut.held as E[]);
    const parts = split === undefined ? [cut] : partsOf(cut, split(cut.held as E[]));
    // All parts are in flight before the first is dispatched: its sink may call in, and cancel an item of the second.
    const flights = parts.map((part) => this.#flights.depart(lane as Lane<unknown>, part));
    for (const flight of flights) this.#dispatch(flight);
    return worthOf(cut.held.length, cut.bytes, this.bounds, this.#options.fairBy);
  }

  #dispatch(flight: Flight): void {
    const { env, name, idempotent } = this.#options;
    const { batchId, bytes, reason, firstAt, held, lane } = flight;
    const startedAt = env.clock.now();
    const waitMs = startedAt - firstAt;
    this.#observe({ type: 'cut', name, lane: lane.name, batchId, items: held.length, bytes, reason, waitMs });
    const context = contextWith(flight.aborter, { deadlineAt: flight.deadlineAt(), attempt: 1, idempotent });
    const settle = (outcomes: readonly Outcome<R>[]) => this.#settle(flight, outcomes, startedAt);
    // A layer of the user's may break the first law; then nobody may be left waiting.
    const broken = (thrown: unknown) => settle(allFailed(held.length, asFailure(thrown, 'unknown')));
    try {
      env.neutral(() => this.#dispatcher.dispatch(flight.batch<I>(), context)).then(settle, broken);
    } catch (thrown) {
      void Promise.resolve(thrown).then(broken);
    }
  }

  #settle(flight: Flight, given: readonly Outcome<R>[], startedAt: number): void {
    const { name, onSettled, env, haltOnFailure } = this.#options;
    const lane = flight.lane as Lane<I>;
    const { batchId, held } = flight;
    const outcomes = oneEach(held.length, given);
    // A settled waiter may call in again and meet the bounds: everything is counted before anyone is told.
    this.#flights.settle(flight);
    const counts = settleFlight(flight, outcomes);
    if (haltOnFailure && counts.failed > 0) {
      lane.halted = true;
      this.#observe({ type: 'halted', name, lane: lane.name, ...firstFailure(outcomes) });
    }
    tellFlight(flight, outcomes, this.#tell);
    onSettled?.();
    const durationMs = env.clock.now() - startedAt;
    this.#observe({ type: 'settled', name, lane: lane.name, batchId, items: held.length, durationMs, outcomes: counts });
    this.#admitWaiting();
    this.#pump.look(lane);
    this.#lanes.retire(lane);
  }

  #admitWaiting(): void {
    this.#waiting.admit((item, lane) => {
      lane.tally.waiting--;
      this.#hold(item, item, lane, item.run!.barrier);
    });
  }

  #dropAll(deadlineMs: number): Pick<DrainReport, 'droppedHeld' | 'droppedInFlight'> {
    const { name, onSettled } = this.#options;
    const release = (lane: Lane<I>, items: number, bytes: number) => this.#release(lane, items, bytes);
    const report = dropAll<I, R>(name, deadlineMs, this.#lanes.all, this.#flights.all, this.#tell, release);
    onSettled?.();
    for (const lane of [...this.#lanes.all]) this.#lanes.retire(lane);
    const items = report.droppedHeld + report.droppedInFlight;
    if (items > 0) this.#observe({ type: 'dropped', name, items, reason: 'shutdown' });
    return report;
  }

  #observe(event: SluiceEvent): void {
    if (event.type === 'abandoned' || event.type === 'late') {
      const flight = this.#flights.reckon(event);
      this.#admitWaiting();
      if (flight !== undefined) this.#lanes.retire(flight.lane as Lane<I>);
    }
    try {
      this.#options.env.observe(event);
    } catch {
      // An observer must not throw; one that does must not break a batch either.
    }
  }
}
