/** Record item: a record on its way from the log to the sink, with what a dead letter must know of its failures. */

import type { SluiceError } from '../core/errors.js';
import { EngineItem } from '../engine/item.js';
import { type FailedTry, maxMessageChars, maxTries, type NewDeadLetter } from './dead-letter.js';
import type { LogRecord } from './record.js';

/** Whoever read a record from the log, and is told what became of it. */
export interface RecordOwner {
  readonly partition: number;
  /**
   * A call of the sink with these offsets is to begin once this has resolved; what it resolves with is called when it has ended.
   *
   * @throws SluiceError when the call must not begin.
   */
  begins(offsets: readonly number[]): Promise<() => void>;
  /** A call with records of this owner has ended, and something of their batch would be tried again. */
  wouldWait(): void;
}

/** A record on its way. A class: it is an item of the engine, and there is one for each record. */
export class RecordItem extends EngineItem<LogRecord> {
  readonly owner: RecordOwner;
  /** Of the claim under which it was read: by it a sink, such as the ledger's, tells who has the partition now. */
  readonly epoch: number;
  /** Calls that it was part of, and of these the ones that were cut off. */
  attempts = 0;
  timeouts = 0;
  /** A call of the sink has it now; false while it waits for one, or for the next one. */
  isInCall = false;
  /** The sink has said that it has it; its batch may still wait for the rest. */
  isTaken = false;
  /** In how many crashes it was in flight. */
  readonly crashes: number;
  firstFailedAt = 0;
  lastFailedAt = 0;
  #tries: FailedTry[] | undefined = undefined;

  constructor(record: LogRecord, owner: RecordOwner, epoch: number, crashes: number) {
    super(record, record.payload.byteLength);
    this.owner = owner;
    this.epoch = epoch;
    this.crashes = crashes;
  }

  /** What a sink may use to know a record that it has had already: the same after a redrive. */
  get idempotencyKey(): string {
    return this.value.id;
  }

  /** Notes a failed try. Many records of a batch share one. */
  fails(tried: FailedTry): void {
    if (this.firstFailedAt === 0) this.firstFailedAt = tried.at;
    this.lastFailedAt = tried.at;
    this.#tries ??= [];
    this.#tries.push(tried);
    // The first few say how it began, the latest how it stands.
    if (this.#tries.length > maxTries) this.#tries.splice(firstTries, 1);
  }

  /** The letter that parks it for this failure. */
  letter(problem: SluiceError, now: number): NewDeadLetter {
    const { code, class: failureClass, message } = problem;
    return {
      record: this.value,
      code,
      class: failureClass,
      message: message.slice(0, maxMessageChars),
      attempts: this.attempts,
      timeouts: this.timeouts,
      crashes: this.crashes,
      tries: this.#tries ?? [],
      firstFailedAt: this.firstFailedAt === 0 ? now : this.firstFailedAt,
      lastFailedAt: this.lastFailedAt === 0 ? now : this.lastFailedAt,
    };
  }
}

/** As the letter keeps them; see {@link maxTries}. */
const firstTries = 5;
