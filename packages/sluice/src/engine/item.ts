/** The item as the engine holds it. */

import { HeldItem } from '../core/accumulator.js';
import type { Item } from '../core/batch.js';
import type { Run } from '../core/runs.js';
import type { Barrier } from './barrier.js';
import type { Flight } from './flight.js';
import type { Lane } from './lane.js';

/**
 * Where an item is on its way: made, waiting for room, held in the open batch, in flight, settled (or refused).
 */
export type Phase = 'made' | 'waiting' | 'held' | 'inFlight' | 'settled';

/**
 * An item as the engine holds it, where it has bytes or somebody waits for it. What is merely offered is held as its bare value, and
 * becomes an item only when a layer or a sink asks for it. A class: all faces share one layout, and the engine's loops stay monomorphic.
 */
export class EngineItem<I> extends HeldItem implements Item<I> {
  readonly value: I;
  phase: Phase = 'made';
  /** When it was accepted, and what a flush waits behind; set when it is accepted or begins to wait. */
  run: Run<Barrier> | undefined = undefined;
  lane: Lane<I> | undefined = undefined;
  /** The call that it travels in, once it has been dispatched. */
  flight: Flight | undefined = undefined;
  // Declared, not defined: an item that nobody traces has no such slot.
  declare origins?: unknown[];
  // Undefined for never: an item of its own would hold a boxed number, `Infinity` too.
  readonly #deadlineAt: number | undefined;
  #number: number | undefined;

  constructor(value: I, bytes: number, deadlineAt = Number.POSITIVE_INFINITY) {
    super(bytes);
    this.value = value;
    this.#deadlineAt = deadlineAt === Number.POSITIVE_INFINITY ? undefined : deadlineAt;
  }

  /** Remembers where a caller came from. */
  comesFrom(origin: unknown): void {
    if (origin === undefined) return;
    this.origins ??= [];
    if (this.origins.length < maxOrigins) this.origins.push(origin);
  }

  get id(): string {
    this.#number ??= nextNumber++;
    return this.#number.toString(36);
  }

  get acceptedAt(): number {
    return this.run === undefined ? 0 : this.run.acceptedAt;
  }

  get deadlineAt(): number {
    return this.#deadlineAt ?? Number.POSITIVE_INFINITY;
  }
}

/** As many links as a span of OpenTelemetry takes by default. */
const maxOrigins = 128;

let nextNumber = 0;
