/** Engine: accumulate → cut → dispatch → settle. The three faces differ only in how they settle. */

import { HeldItem } from '../core/accumulator.js';
import { contextWith } from '../core/context.js';
import type { Dispatcher } from '../core/dispatcher.js';
import { asFailure, type SluiceError } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import { allFailed, type Outcome, oneEach } from '../core/outcome.js';
import type { Tally } from '../core/tally.js';
import { tell } from '../core/tell.js';
import { windowRule } from '../core/window.js';
import { type Admission, type Refusal, refusalOf } from './admission.js';
import { Arrivals } from './arrivals.js';
import { type Barrier, Barriers, noEndings, type SettledCounts } from './barrier.js';
import { Burst } from './burst.js';
import { Capacity } from './capacity.js';
import { type DrainReport, dropAll } from './drain.js';
import type { Drops } from './drops.js';
import { type EndingClock, endingClock } from './ending-clock.js';
import type { EngineOptions } from './engine-options.js';
import type { EngineCut, Flight } from './flight.js';
import { Flights } from './flights.js';
import { EngineItem } from './item.js';
import type { Lane } from './lane.js';
import { type LaneSet, oneLane } from './lane-set.js';
import { readiness } from './readiness.js';
import { partsOf, settleFlight, tellFlight } from './settle.js';
import type { Waiting } from './waiting.js';

export type { DrainReport, EngineOptions };

/** One engine. A class: identity, and one layout for three faces. */
export class Engine<I, R, E extends EngineItem<I>> {
  /** What a batch may have. May be changed at any time, and holds from the next cut on. */
  readonly bounds: { maxItems: number; maxBytes: number };
  /** What is held, in items and bytes: open, in flight, waiting for a retry, abandoned. */
  readonly capacity: Capacity;
  readonly barriers = new Barriers();
  readonly lanes: LaneSet<I>;
  readonly #options: EngineOptions<I, R, E>;
  readonly #waiting: Waiting<I, E> | undefined;
  readonly #drops: Drops<I> | undefined;
  readonly #arrivals: Arrivals;
  readonly #burst = new Burst<I>();
  readonly #dispatcher: Dispatcher<I, R>;
  readonly #flights: Flights;
  readonly #layerClock: EndingClock;
  #drain: Promise<DrainReport> | undefined;

  constructor(options: EngineOptions<I, R, E>) {
    this.#options = options;
    this.bounds = { maxItems: options.maxItems, maxBytes: options.maxBytes };
    const { env, orderKeyOf, maxInFlightPerLane = Number.POSITIVE_INFINITY } = options;
    const { clock, random } = env;
    this.capacity = new Capacity(options);
    this.#flights = new Flights(random, (lane, items, bytes) => this.release(lane as Lane<I>, items, bytes));
    this.#waiting = options.waiting?.(this);
    this.#drops = options.drops?.(this);
    this.#arrivals = new Arrivals(clock, () => this.#countBurst());
    this.#layerClock = endingClock(clock);
    this.#dispatcher = options.dispatcher({
      clock: this.#layerClock.clock,
      random,
      neutral: (fn) => env.neutral(fn),
      observe: (event) => this.observe(event),
    });
    this.lanes = (options.lanes ?? oneLane)({
      lane: {
        clock,
        window: windowRule(options.window, clock.now()),
        bounds: this.bounds,
        maxInFlight: maxInFlightPerLane,
        orderKeyOf: orderKeyOf && ((held: unknown) => orderKeyOf(held instanceof EngineItem ? held.value : (held as I))),
      },
      capacity: this.capacity,
      ready: readiness((lane) => this.#dispatcher.ready(lane)),
      send: (lane) => this.#send(lane),
    });
  }

  get name(): string {
    return this.#options.name;
  }

  /** The balance at this instant. */
  tally(): Tally {
    this.#countBurst();
    return this.lanes.tally();
  }

  get closed(): boolean {
    return this.#drain !== undefined;
  }

  /** Takes a value for which nobody waits, or says why not. It is held as it is, and counts no bytes. */
  offerValue(value: I): Admission {
    return this.#burst.take(value) ? 'accepted' : this.#offerValue(value);
  }

  /** Takes an item at once, or says why not. */
  offer(item: E): Admission {
    const lane = this.lanes.of(item.value);
    const admission = this.#admission(lane, item.bytes);
    if (admission !== 'accepted') return this.#overflow(item.value, item, lane, admission);
    this.#take(item, item, lane!);
    return admission;
  }

  /**
   * Takes an item as soon as there is room for it; first come, first served.
   *
   * @throws SluiceError `CLOSED`, `ITEM_TOO_LARGE`, `TOO_MANY_LANES`, or `OVERLOADED` when nobody may wait, or as many wait as may.
   */
  accept(item: E): Promise<void> | undefined {
    const lane = this.lanes.of(item.value);
    const admission = this.#admission(lane, item.bytes);
    if (admission === 'accepted') {
      this.#take(item, item, lane!);
      return undefined;
    }
    const mayWait = admission === 'full' || admission === 'laneFull';
    if (mayWait && this.#waiting?.isFull === false) return this.#waiting.wait(item, lane!);
    this.#refuse(item, lane, mayWait ? 'waitersFull' : admission);
    return Promise.reject(this.refusal(item.bytes, mayWait ? 'full' : admission));
  }

  /** The error that tells a caller why its item, of so many bytes, was refused. */
  refusal(itemBytes: number, admission: Refusal): SluiceError {
    const { name, capacity: held } = this;
    return refusalOf(admission, { name, itemBytes, held, bounds: this.#options, maxWaiting: this.#waiting?.max ?? 0 });
  }

  /**
   * The last waiter of an item left. An item that is held is not sent; a call whose items are all left is aborted.
   *
   * @returns false when it was settled already.
   */
  cancel(item: E, reason: SluiceError): boolean {
    const { phase, lane, run } = item;
    if (lane === undefined || run === undefined || phase === 'settled' || phase === 'made') return false;
    this.#countBurst();
    item.phase = 'settled';
    item.gone = true;
    if (phase === 'waiting') {
      this.#waiting!.leave(item, lane, reason);
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
    this.release(lane, 1, item.bytes);
    this.#waiting?.admit();
    this.lanes.retire(lane);
    return true;
  }

  /** Sends a batch that is overdue, if it can go: who joins a held item asks for this first, since a newcomer's own item would. */
  expire(): void {
    const { only } = this.lanes;
    if (only !== undefined) only.expire(this.#arrivals);
    else for (const lane of this.lanes.all) lane.expire(this.#arrivals);
  }

  /** Cuts now and resolves once everything held, in flight or waiting at this moment is settled. Never rejects. */
  async flush(): Promise<SettledCounts> {
    const { index, settled } = this.barriers.raise(this.tally());
    this.lanes.raise(index, this.#drain === undefined ? 'manual' : 'shutdown');
    return (await settled) ?? noEndings();
  }

  /**
   * Accepts no more, cuts now, and waits until everything is settled or `deadlineMs` have passed; what is left then is dropped,
   * and counted. Idempotent: a second call returns the first one's promise.
   */
  close(deadlineMs: number): Promise<DrainReport> {
    if (this.#drain !== undefined) return this.#drain;
    const { clock } = this.#options.env;
    const startedAt = clock.now();
    let dropped = { droppedHeld: 0, droppedInFlight: 0 };
    let finish!: (report: DrainReport) => void;
    // Closed before anything else happens: a flush may call sinks, and a sink may offer.
    this.#drain = new Promise((resolve) => (finish = resolve));
    this.#countBurst();
    this.#waiting?.close(this.refusal(0, 'closed'));
    const settled = this.flush();
    const expire = () => {
      dropped = this.#dropAll(deadlineMs);
    };
    const cancelDeadline = deadlineMs === Number.POSITIVE_INFINITY ? () => {} : clock.after(deadlineMs, expire);
    void settled.then((counts) => {
      cancelDeadline();
      this.#layerClock.end();
      finish({ ...counts, ...dropped, durationMs: clock.now() - startedAt });
    });
    return this.#drain;
  }

  /** @internal Takes in what was admitted, at once or after it has waited. */
  hold(held: I | E, item: E | undefined, lane: Lane<I>, barrier: Barrier): void {
    const { tally } = lane;
    tally.accepted++;
    tally.held++;
    const bytes = item === undefined ? 0 : item.bytes;
    this.capacity.take(1, bytes);
    if (lane.capacity !== this.capacity) lane.capacity.take(1, bytes);
    if (item !== undefined) {
      item.phase = 'held';
      item.lane = lane;
    }
    const run = lane.add(held, this.#arrivals.now(), barrier);
    if (item !== undefined) item.run = run;
    lane.added();
  }

  /** @internal So much is held no more. */
  release(lane: Lane<I>, items: number, bytes: number): void {
    this.capacity.release(items, bytes);
    if (lane.capacity !== this.capacity) lane.capacity.release(items, bytes);
  }

  /** @internal Tells who waits for an item what became of it, outside of any batch. */
  tellDropped(item: EngineItem<I>, outcome: Outcome<R>): void {
    this.#tell(item, outcome, 0);
    this.#options.onSettled?.();
  }

  /** @internal Tells the observer. */
  observe(event: SluiceEvent): void {
    if (event.type === 'abandoned' || event.type === 'late') {
      const flight = this.#flights.reckon(event);
      this.#waiting?.admit();
      if (flight !== undefined) this.lanes.retire(flight.lane as Lane<I>);
    }
    tell(this.#options.env, event);
  }

  #offerValue(value: I): Admission {
    if (value instanceof HeldItem) return this.offer(new EngineItem(value, 0) as EngineItem<unknown> as E);
    const lane = this.lanes.of(value);
    const admission = this.#admission(lane, 0);
    if (admission !== 'accepted') return this.#overflow(value, undefined, lane, admission);
    this.#take(value, undefined, lane!);
    // A lane of its own each would have to be found for each.
    if (lane === this.lanes.only) this.#beginBurst(lane!);
    return admission;
  }

  #admission(lane: Lane<I> | undefined, bytes: number): Admission {
    this.#countBurst();
    if (this.#drain !== undefined) return 'closed';
    if (lane === undefined) return 'lanesFull';
    if (!this.capacity.couldHold(bytes) || !lane.capacity.couldHold(bytes)) return 'tooLarge';
    if (this.#waiting?.isBefore(lane) || !this.capacity.hasRoomFor(bytes)) return 'full';
    return lane.capacity === this.capacity || lane.capacity.hasRoomFor(bytes) ? 'accepted' : 'laneFull';
  }

  #take(held: I | E, item: E | undefined, lane: Lane<I>): void {
    lane.tally.offered++;
    const { current } = this.barriers;
    current.enter();
    this.hold(held, item, lane, current);
  }

  #beginBurst(lane: Lane<I>): void {
    // What was let in before may have filled a batch, and the sink of that have offered: its burst must not be forgotten.
    this.#countBurst();
    const most = Math.min(lane.roomInBatch, this.capacity.roomForItems);
    if (most > 0) this.#burst.begin(lane, Math.min(most, this.#arrivals.lend()));
  }

  /** Ends the burst: from here on all counts are right. */
  #countBurst(): void {
    const items = this.#burst.end();
    if (items === 0) return;
    const lane = this.lanes.only!;
    const { tally } = lane;
    tally.offered += items;
    tally.accepted += items;
    tally.held += items;
    this.barriers.current.unsettled += items;
    this.capacity.take(items, 0);
    lane.count(items);
  }

  /** What becomes of an item for which there is no room. */
  #overflow(value: I, item: E | undefined, lane: Lane<I> | undefined, admission: Refusal): Admission {
    if (this.#drops === undefined || lane === undefined || (admission !== 'full' && admission !== 'laneFull')) {
      this.#refuse(item, lane, admission);
      return admission;
    }
    const held = item ?? value;
    // The lane once more: an observer of the drop may have called in, and it been forgotten meanwhile.
    const hasRoom = this.#drops.makeRoom(held, item === undefined ? 0 : item.bytes, lane);
    this.#countBurst();
    if (hasRoom) this.#take(held, item, this.lanes.of(value) ?? lane);
    return 'accepted';
  }

  #refuse(item: E | undefined, lane: Lane<I> | undefined, reason: Refusal | 'waitersFull'): void {
    if (item !== undefined) item.phase = 'settled';
    if (lane === undefined) this.lanes.refuse();
    else {
      lane.tally.offered++;
      lane.tally.rejected++;
      this.lanes.retire(lane);
    }
    this.observe({ type: 'rejected', name: this.name, reason });
  }

  /** Cuts a batch of a lane and begins its call. */
  #send(lane: Lane<I>): EngineCut {
    const { split, onCut } = this.#options;
    this.#countBurst();
    const cut = lane.cut();
    onCut?.(cut.held as E[]);
    const parts = split === undefined ? [cut] : partsOf(cut, split(cut.held as E[]));
    // All parts are in flight before the first is dispatched: its sink may call in, and cancel an item of the second.
    const flights = parts.map((part) => this.#flights.depart(lane as Lane<unknown>, part));
    for (const flight of flights) this.#dispatch(flight);
    this.#arrivals.forget();
    return cut;
  }

  #dispatch(flight: Flight): void {
    const { env, name, idempotent } = this.#options;
    const { batchId, bytes, reason, firstAt, held, lane } = flight;
    const startedAt = env.clock.now();
    const waitMs = startedAt - firstAt;
    this.observe({ type: 'cut', name, lane: lane.name, batchId, items: held.length, bytes, reason, waitMs });
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
    const { name, onSettled, onCounted, env } = this.#options;
    const lane = flight.lane as Lane<I>;
    const { batchId, held } = flight;
    const outcomes = oneEach(held.length, given);
    // A settled waiter may call in again and meet the bounds: everything is counted before anyone is told.
    this.#flights.settle(flight);
    const counts = settleFlight(flight, outcomes);
    onCounted?.(this, lane, counts, outcomes);
    tellFlight(flight, outcomes, this.#tell);
    onSettled?.();
    const durationMs = env.clock.now() - startedAt;
    this.observe({ type: 'settled', name, lane: lane.name, batchId, items: held.length, durationMs, outcomes: counts });
    this.#waiting?.admit();
    this.lanes.look(lane);
    this.lanes.retire(lane);
  }

  #dropAll(deadlineMs: number): Pick<DrainReport, 'droppedHeld' | 'droppedInFlight'> {
    const { name } = this;
    const release = (lane: Lane<I>, items: number, bytes: number) => this.release(lane, items, bytes);
    const report = dropAll<I, R>(name, deadlineMs, this.lanes.all, this.#flights.all, this.#tell, release);
    this.#options.onSettled?.();
    for (const lane of [...this.lanes.all]) this.lanes.retire(lane);
    const items = report.droppedHeld + report.droppedInFlight;
    if (items > 0) this.observe({ type: 'dropped', name, items, reason: 'shutdown' });
    return report;
  }

  /** An engine makes no items but those of its face, and plain ones, for which nobody waits. */
  readonly #tell = (item: EngineItem<unknown>, outcome: Outcome<R>, index: number): void =>
    this.#options.settle(item as EngineItem<unknown> as E, outcome, index);
}
