/** The item as the engine holds it. */

import type { Item } from '../core/batch.js';
import type { Barrier } from './barrier.js';
import type { Flight } from './flight.js';

/**
 * Where an item is on its way: made, waiting for room, held in the open batch, in flight, settled (or refused).
 */
export type Phase = 'made' | 'waiting' | 'held' | 'inFlight' | 'settled';

/** An item as the engine holds it. A class, so that all faces share one layout and the engine's loops stay monomorphic. */
export class EngineItem<I> implements Item<I> {
  readonly value: I;
  readonly bytes: number;
  readonly deadlineAt: number;
  acceptedAt = 0;
  gone = false;
  phase: Phase = 'made';
  /** What a flush waits behind; set when it is accepted or begins to wait. */
  barrier!: Barrier;
  /** The call that it travels in, while it is in flight. */
  flight: Flight | undefined = undefined;
  // Declared, not defined: an item that nobody traces has no such slot.
  declare origins?: unknown[];
  readonly #sequence: number;

  constructor(value: I, bytes: number, deadlineAt = Number.POSITIVE_INFINITY) {
    this.value = value;
    this.bytes = bytes;
    this.deadlineAt = deadlineAt;
    this.#sequence = nextSequence++;
  }

  /** Remembers where a caller came from. */
  comesFrom(origin: unknown): void {
    if (origin === undefined) return;
    this.origins ??= [];
    if (this.origins.length < maxOrigins) this.origins.push(origin);
  }

  get id(): string {
    return this.#sequence.toString(36);
  }
}

/** As many links as a span of OpenTelemetry takes by default. */
const maxOrigins = 128;

let nextSequence = 0;
