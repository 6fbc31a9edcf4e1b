/** Flights: the batches that are under way, by id, and what they hold. */

import type { SluiceEvent } from '../core/event.js';
import type { Random } from '../env/env.js';
import { type EngineCut, Flight } from './flight.js';
import type { Lane } from './lane.js';

/** All batches that are under way. A flight stays until it is settled and the last of its abandoned calls has ended. */
export class Flights {
  readonly #byId = new Map<string, Flight>();
  readonly #release: (lane: Lane<unknown>, items: number, bytes: number) => void;
  readonly #idPrefix: string;
  #count = 0;

  /** @param release told what is held no more. */
  constructor(random: Random, release: (lane: Lane<unknown>, items: number, bytes: number) => void) {
    this.#idPrefix = Math.floor(random.next() * 2 ** 48).toString(36);
    this.#release = release;
  }

  get all(): Iterable<Flight> {
    return this.#byId.values();
  }

  /** What was cut is under way from here on. */
  depart(lane: Lane<unknown>, cut: EngineCut): Flight {
    const flight = new Flight(`${this.#idPrefix}-${(this.#count++).toString(36)}`, lane, cut);
    this.#byId.set(flight.batchId, flight);
    flight.depart();
    lane.unsettled++;
    lane.tally.held -= cut.held.length;
    lane.tally.inFlight += cut.held.length;
    return flight;
  }

  settle(flight: Flight): void {
    flight.lane.unsettled--;
    this.#change(flight, () => flight.settle());
  }

  /** A call of a flight goes on unobserved, or has ended at last. Returns the flight. */
  reckon({ type, batchId, items, bytes }: Extract<SluiceEvent, { type: 'abandoned' | 'late' }>): Flight | undefined {
    const [cutId] = batchId.split('.');
    const flight = this.#byId.get(cutId!);
    const sign = type === 'abandoned' ? 1 : -1;
    if (flight !== undefined) this.#change(flight, () => flight.abandon(sign * items, sign * bytes));
    return flight;
  }

  /** Changes what a flight holds, and the capacity with it. */
  #change(flight: Flight, change: () => void): void {
    const { heldItems, heldBytes } = flight;
    change();
    this.#release(flight.lane, heldItems - flight.heldItems, heldBytes - flight.heldBytes);
    if (flight.isOver) this.#byId.delete(flight.batchId);
  }
}
