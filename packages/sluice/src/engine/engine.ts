/** Engine: accumulate → cut → dispatch → settle. The three faces differ only in how they settle. */

import type { BatchBounds, Cut } from '../core/accumulator.js';
import { createBatch } from '../core/batch.js';
import type { DispatchContext, Dispatcher } from '../core/dispatcher.js';
import { asFailure, failure, type SluiceError } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import { allFailed, failed, type Outcome, oneEach } from '../core/outcome.js';
import { type Counts, emptyTally, type Tally } from '../core/tally.js';
import { type Window, windowRule } from '../core/window.js';
import type { Env } from '../env/env.js';
import { type Admission, closedError, refusalOf } from './admission.js';
import { Barriers, type Ending, type SettledCounts } from './barrier.js';
import { Capacity, type HeldBounds } from './capacity.js';
import { Flight } from './flight.js';
import type { EngineItem } from './item.js';
import { Lane } from './lane.js';
import { Room } from './room.js';

/** What an engine is made of. */
export interface EngineOptions<I, R, E extends EngineItem<I>> extends BatchBounds, HeldBounds {
  /** Names it in events and messages. */
  readonly name: string;
  readonly env: Env;
  readonly window: Window;
  /** Bound on callers that wait for room. */
  readonly maxWaiting: number;
  /** Trying the same items again does no harm. */
  readonly idempotent: boolean;
  /** Makes the layers down to the sink; told of their events, the engine keeps the count of abandoned calls. */
  dispatcher(env: Env): Dispatcher<I, R>;
  /** Tells the waiters of one item what became of it; called once per item that has not been cancelled. */
  settle(item: E, outcome: Outcome<R>): void;
  /** Told once after the last `settle` of a batch, or of a drain. */
  onSettled?(): void;
  /** Told which items leave, before they are dispatched. */
  onCut?(items: readonly E[]): void;
  /** Divides what was cut into the batches that are dispatched together, each settled by itself. Default: one batch. */
  split?(items: readonly E[]): readonly (readonly E[])[];
}

/** What a close reports: how many of the items that it waited for ended in each way. `dropped` were unsettled at the deadline. */
export interface DrainReport extends SettledCounts {
  /** Of the dropped: never dispatched. */
  readonly droppedHeld: number;
  /** Of the dropped: dispatched, with an unknown end. */
  readonly droppedInFlight: number;
  /** From the call of close to the last settlement, or to the deadline. */
  readonly durationMs: number;
}

/** One engine. A class: identity, and one layout for three faces. */
export class Engine<I, R, E extends EngineItem<I>> {
  readonly #options: EngineOptions<I, R, E>;
  readonly #tally: Counts = emptyTally();
  readonly #capacity: Capacity;
  readonly #barriers = new Barriers();
  readonly #room: Room<E>;
  readonly #lane: Lane<I, E>;
  readonly #dispatcher: Dispatcher<I, R>;
  /** By batch id. A flight stays until the last of its abandoned calls has ended. */
  readonly #flights = new Map<string, Flight>();
  readonly #idPrefix: string;
  #batches = 0;
  #drain: Promise<DrainReport> | undefined;

  constructor(options: EngineOptions<I, R, E>) {
    this.#options = options;
    const { env } = options;
    this.#idPrefix = Math.floor(env.random.next() * 2 ** 48).toString(36);
    this.#capacity = new Capacity(options);
    this.#room = new Room(options.maxWaiting);
    this.#dispatcher = options.dispatcher({
      clock: env.clock,
      random: env.random,
      neutral: (fn) => env.neutral(fn),
      observe: (event) => this.#observe(event),
    });
    this.#lane = new Lane<I, E>({
      clock: env.clock,
      window: windowRule(options.window, env.clock.now()),
      bounds: options,
      ready: () => this.#ready(),
      send: (cut) => this.#send(cut),
    });
  }

  /** The balance at this instant. */
  tally(): Tally {
    return { ...this.#tally };
  }

  /** What is held, in items and bytes: open, in flight, waiting for a retry, abandoned. */
  held(): { readonly items: number; readonly bytes: number } {
    return { items: this.#capacity.items, bytes: this.#capacity.bytes };
  }

  get closed(): boolean {
    return this.#drain !== undefined;
  }

  /** Takes an item at once, or says why not. */
  offer(item: E): Admission {
    this.#tally.offered++;
    const admission = this.#admission(item);
    if (admission === 'accepted') this.#accept(item);
    else this.#refuse(item, admission);
    return admission;
  }

  /**
   * Takes an item as soon as there is room for it; first come, first served.
   *
   * @throws SluiceError `CLOSED`, `ITEM_TOO_LARGE`, or `OVERLOADED` when `maxWaiting` callers wait already.
   */
  accept(item: E): Promise<void> | undefined {
    this.#tally.offered++;
    const admission = this.#admission(item);
    if (admission === 'accepted') {
      this.#accept(item);
      return undefined;
    }
    if (admission !== 'full' || this.#room.isFull) {
      this.#refuse(item, admission, this.#room.isFull ? 'waitersFull' : 'full');
      return Promise.reject(this.refusal(item, admission));
    }
    this.#tally.waiting++;
    item.phase = 'waiting';
    item.barrier = this.#barriers.current;
    item.barrier.enter();
    return this.#room.wait(item);
  }

  /** The error that tells a caller why its item was refused. */
  refusal(item: E, admission: Exclude<Admission, 'accepted'>): SluiceError {
    return refusalOf(admission, item.bytes, this.#capacity, this.#options);
  }

  /**
   * The last waiter of an item left. An item that is held is not sent; a call whose items are all left is aborted.
   *
   * @returns false when it was settled already.
   */
  cancel(item: E, reason: SluiceError): boolean {
    const phase = item.phase;
    if (phase === 'settled' || phase === 'made') return false;
    item.phase = 'settled';
    item.gone = true;
    if (phase === 'waiting') {
      this.#room.leave(item, reason);
      this.#tally.waiting--;
      this.#tally.rejected++;
      item.barrier.leave();
      // It may have been the first in line, and too large for the room that there is for the next.
      this.#admitWaiting();
      return true;
    }
    this.#count('cancelled', item);
    if (phase === 'inFlight') {
      this.#tally.inFlight--;
      item.flight!.leave(reason);
      return true;
    }
    this.#tally.held--;
    this.#lane.forget(item);
    this.#capacity.release(1, item.bytes);
    this.#admitWaiting();
    return true;
  }

  /** Sends a batch that is overdue, if it can go: who joins a held item asks for this first, since a newcomer's own item would. */
  expire(): void {
    this.#lane.expire();
  }

  /** Cuts now and resolves once everything held, in flight or waiting at this moment is settled. Never rejects. */
  async flush(): Promise<SettledCounts> {
    const { index, settled } = this.#barriers.raise(this.#tally);
    this.#lane.raise(index, this.#drain === undefined ? 'manual' : 'shutdown');
    return (await settled) ?? { ok: 0, failed: 0, dead: 0, cancelled: 0, dropped: 0 };
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
    this.#drain = new Promise((resolve) => {
      finish = resolve;
    });
    for (const item of this.#room.takeAll(closedError(this.#options.name))) this.#turnAway(item);
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

  #admission(item: E): Admission {
    if (this.#drain !== undefined) return 'closed';
    if (!this.#capacity.couldHold(item.bytes)) return 'tooLarge';
    return this.#room.waiting === 0 && this.#capacity.hasRoomFor(item.bytes) ? 'accepted' : 'full';
  }

  #refuse(item: E, reason: Exclude<Admission, 'accepted'>, seen: 'full' | 'waitersFull' = 'full'): void {
    item.phase = 'settled';
    this.#tally.rejected++;
    this.#observe({ type: 'rejected', name: this.#options.name, reason: reason === 'full' ? seen : reason });
  }

  #turnAway(item: E): void {
    item.phase = 'settled';
    item.barrier.leave();
    this.#tally.waiting--;
    this.#tally.rejected++;
    this.#observe({ type: 'rejected', name: this.#options.name, reason: 'closed' });
  }

  #accept(item: E): void {
    if (item.phase === 'made') {
      item.barrier = this.#barriers.current;
      item.barrier.enter();
    }
    item.phase = 'held';
    item.acceptedAt = this.#lane.arrivalTime();
    this.#tally.accepted++;
    this.#tally.held++;
    this.#capacity.take(1, item.bytes);
    this.#lane.add(item, item.acceptedAt);
  }

  #send(cut: Cut<E>): void {
    const { split, onCut } = this.#options;
    onCut?.(cut.items);
    // All parts are in flight before the first is dispatched: its sink may call in, and cancel an item of the second.
    const flights = (split?.(cut.items) ?? [cut.items]).map((items) => this.#depart(cut, items));
    for (const flight of flights) this.#dispatch(flight, cut);
  }

  #depart(cut: Cut<E>, items: readonly E[]): Flight {
    const bytes = items.length === cut.items.length ? cut.bytes : items.reduce((sum, item) => sum + item.bytes, 0);
    const flight = new Flight(`${this.#idPrefix}-${(this.#batches++).toString(36)}`, items, bytes);
    this.#flights.set(flight.batchId, flight);
    for (const item of items) {
      item.phase = 'inFlight';
      item.flight = flight;
    }
    this.#tally.held -= items.length;
    this.#tally.inFlight += items.length;
    return flight;
  }

  #dispatch(flight: Flight, { reason, firstAt }: Cut<E>): void {
    const { env, name, idempotent } = this.#options;
    const { batchId, bytes } = flight;
    const items = flight.items as readonly E[];
    const batch = createBatch<I>(batchId, '', items, bytes, reason);
    const deadlineAt = items.reduce((latest, item) => Math.max(latest, item.deadlineAt), 0);
    const startedAt = env.clock.now();
    this.#observe({ type: 'cut', name, lane: '', batchId, items: items.length, bytes, reason, waitMs: startedAt - firstAt });
    const context: DispatchContext = { signal: flight.signal, deadlineAt, attempt: 1, idempotent };
    const settle = (outcomes: readonly Outcome<R>[]) => this.#settle(flight, items, outcomes, startedAt);
    // A layer of the user's may break the first law; then nobody may be left waiting.
    const broken = (thrown: unknown) => settle(allFailed(items.length, asFailure(thrown, 'unknown')));
    try {
      env.neutral(() => this.#dispatcher.dispatch(batch, context)).then(settle, broken);
    } catch (thrown) {
      void Promise.resolve(thrown).then(broken);
    }
  }

  #settle(flight: Flight, items: readonly E[], given: readonly Outcome<R>[], startedAt: number): void {
    const { name, settle, onSettled, env } = this.#options;
    const outcomes = oneEach(items.length, given);
    const counts = { ok: 0, failed: 0, dead: 0, cancelled: 0 };
    // A settled waiter may call in again and meet the bounds: everything is counted before anyone is told.
    this.#change(flight, () => flight.settle());
    for (let i = 0; i < items.length; i++) {
      const item = items[i]!;
      if (item.phase === 'settled') {
        counts.cancelled++;
        continue;
      }
      item.phase = 'settled';
      this.#tally.inFlight--;
      counts[outcomes[i]!.kind]++;
      this.#count(outcomes[i]!.kind, item);
    }
    // Whoever left before is gone; nobody can any more.
    for (let i = 0; i < items.length; i++) if (!items[i]!.gone) settle(items[i]!, outcomes[i]!);
    onSettled?.();
    this.#observe({
      type: 'settled',
      name,
      lane: '',
      batchId: flight.batchId,
      items: items.length,
      durationMs: env.clock.now() - startedAt,
      outcomes: counts,
    });
    this.#admitWaiting();
    this.#lane.pump();
  }

  #count(ending: Ending, item: E): void {
    this.#tally[ending]++;
    item.barrier.leave(ending);
  }

  #admitWaiting(): void {
    for (let next = this.#room.next(); next !== undefined; next = this.#room.next()) {
      if (!this.#capacity.hasRoomFor(next.bytes)) return;
      this.#tally.waiting--;
      this.#room.admit(next);
      this.#accept(next);
    }
  }

  #dropAll(deadlineMs: number): { droppedHeld: number; droppedInFlight: number } {
    const inFlight = [...this.#flights.values()]
      .flatMap((flight) => flight.items as readonly E[])
      .filter((item) => item.phase === 'inFlight');
    const held = this.#lane.takeAll();
    const { name, settle, onSettled } = this.#options;
    const late = (cls: 'rejected' | 'unknown', what: string) =>
      failure(`${name}: ${what} when the drain deadline of ${deadlineMs} ms had passed.`, {
        code: 'SHUTDOWN_TIMEOUT',
        class: cls,
      });
    const neverSent = late('rejected', 'not sent yet');
    const unanswered = late('unknown', 'sent, but not answered,');
    for (const item of [...held, ...inFlight]) {
      const wasHeld = item.phase === 'held';
      item.phase = 'settled';
      item.gone = true;
      this.#tally[wasHeld ? 'held' : 'inFlight']--;
      if (wasHeld) this.#capacity.release(1, item.bytes);
      this.#count('dropped', item);
      settle(item, failed(wasHeld ? neverSent : unanswered));
    }
    onSettled?.();
    for (const flight of this.#flights.values()) flight.abort(unanswered);
    if (held.length + inFlight.length > 0)
      this.#observe({ type: 'dropped', name, items: held.length + inFlight.length, reason: 'shutdown' });
    return { droppedHeld: held.length, droppedInFlight: inFlight.length };
  }

  #ready(): true | Promise<void> {
    try {
      return this.#dispatcher.ready('');
    } catch {
      // Advice that throws is no advice: the dispatch itself will say what is wrong.
      return true;
    }
  }

  /** Changes what a flight holds, and the capacity with it. */
  #change(flight: Flight, change: () => void): void {
    const { heldItems, heldBytes } = flight;
    change();
    this.#capacity.release(heldItems - flight.heldItems, heldBytes - flight.heldBytes);
    if (flight.isOver) this.#flights.delete(flight.batchId);
  }

  #reckonAbandoned(event: Extract<SluiceEvent, { type: 'abandoned' | 'late' }>): void {
    const [cutId] = event.batchId.split('.');
    const flight = this.#flights.get(cutId!);
    if (flight === undefined) return;
    const sign = event.type === 'abandoned' ? 1 : -1;
    this.#change(flight, () => flight.abandon(sign * event.items, sign * event.bytes));
    this.#admitWaiting();
  }

  #observe(event: SluiceEvent): void {
    if (event.type === 'abandoned' || event.type === 'late') this.#reckonAbandoned(event);
    try {
      this.#options.env.observe(event);
    } catch {
      // An observer must not throw; one that does must not break a batch either.
    }
  }
}
