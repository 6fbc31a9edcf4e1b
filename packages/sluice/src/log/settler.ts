/** Settler: gathers what became of records and moves the group in the log, one transaction at a time. */

import { asFailure, failure, type SluiceError } from '../core/errors.js';
import type { Cancel, Clock } from '../env/env.js';
import type { NewDeadLetter } from './dead-letter.js';
import { deadLetterId } from './dead-letter.js';
import type { Log } from './log.js';
import type { Claim, GroupPosition, Moves } from './position.js';
import { rangesOf } from './ranges.js';
import { createWatermark, type Watermark } from './watermark.js';

/** How one record was settled. */
export type Settlement =
  | { readonly offset: number; readonly kind: 'ok' }
  | { readonly offset: number; readonly kind: 'dead'; readonly letter: NewDeadLetter };

/** How a record ended: taken by the sink, or parked as a dead letter. */
export type SettledHow = 'ok' | 'dead';

/**
 * Gathers settlements. Each transaction of the log waits for the disk, which the appends need too: settlements go together, 25 ms of
 * them at a time. Until then a crash delivers their records again.
 */
export interface Settler {
  /** What is settled, written or not. */
  readonly watermark: Watermark;
  /** Settlements that the log does not hold yet. */
  readonly unwritten: number;
  readonly counts: { readonly ok: number; readonly dead: number };
  settle(settlement: Settlement): void;
  /** Tells `fn` each time the position has moved. */
  onMoved(fn: () => void): void;
  /** How a record ended, once it has: taken by the sink, or parked for good. */
  settled(offset: number, signal: AbortSignal): Promise<SettledHow>;
  /** Writes what is gathered, now; resolves when it is on disk. */
  idle(): Promise<void>;
  readonly failed: Promise<SluiceError>;
  fail(problem: SluiceError): void;
}

/** How long settlements gather, in milliseconds. */
const gatherMs = 25;

/** A settler that goes on from the position of a claim. */
export function createSettler(log: Log, claim: Claim, clock: Clock): Settler {
  const { group, stream, partition } = claim;
  const watermark = createWatermark(claim.position);
  const counts = { ok: 0, dead: 0 };
  const waiters = new Map<number, ((how: SettledHow) => void)[]>();
  const moved: (() => void)[] = [];
  let gathered = new Map<number, Settlement>();
  let writing: ReadonlyMap<number, Settlement> = new Map();
  let state: 'idle' | 'gathering' | 'writing' | 'broken' = 'idle';
  let cancelGathering: Cancel = () => {};
  const whenIdle: (() => void)[] = [];
  let resolveFailed!: (problem: SluiceError) => void;
  const failed = new Promise<SluiceError>((resolve) => {
    resolveFailed = resolve;
  });

  const rest = (next: 'idle' | 'broken') => {
    state = next;
    for (const tell of whenIdle.splice(0)) tell();
  };
  const fail = (problem: SluiceError) => {
    cancelGathering();
    rest('broken');
    resolveFailed(problem);
  };
  const tell = ({ offset, kind }: Settlement) => {
    for (const waiter of waiters.get(offset) ?? []) waiter(kind);
    waiters.delete(offset);
  };

  function gather(): void {
    state = 'gathering';
    cancelGathering = clock.after(gatherMs, write);
  }

  function write(): void {
    cancelGathering();
    state = 'writing';
    writing = gathered;
    gathered = new Map();
    log
      .settle(claim, movesOf(watermark.position(), writing.values()))
      .then(written, (thrown) => fail(asFailure(thrown, 'unknown')));
  }

  function written(): void {
    const settlements = writing;
    writing = new Map();
    for (const settlement of settlements.values()) {
      counts[settlement.kind]++;
      if (settlement.kind === 'dead') tell(settlement);
    }
    for (const fn of moved) fn();
    if (state === 'broken') return;
    if (gathered.size === 0) rest('idle');
    else if (whenIdle.length > 0) write();
    else gather();
  }

  return {
    watermark,
    counts,
    failed,
    fail,
    get unwritten() {
      return gathered.size + writing.size;
    },
    onMoved: (fn) => void moved.push(fn),
    settle(settlement) {
      watermark.settle(settlement.offset);
      gathered.set(settlement.offset, settlement);
      // The sink has it: nothing that happens to the log can undo that. A dead letter must be in the log first.
      if (settlement.kind === 'ok') tell(settlement);
      if (state === 'idle') gather();
    },
    async settled(offset, signal) {
      const settlement = gathered.get(offset) ?? writing.get(offset);
      if (settlement?.kind === 'ok') return 'ok';
      if (settlement === undefined && watermark.isSettled(offset)) {
        return (await log.letters.get(deadLetterId(group, stream, partition, offset))) === undefined ? 'ok' : 'dead';
      }
      return new Promise((resolve, reject) => {
        const waiter = (how: SettledHow) => {
          signal.removeEventListener('abort', leave);
          resolve(how);
        };
        const leave = () => {
          const others = waiters.get(offset)?.filter((other) => other !== waiter) ?? [];
          if (others.length === 0) waiters.delete(offset);
          else waiters.set(offset, others);
          reject(cancelled(signal));
        };
        if (signal.aborted) return reject(cancelled(signal));
        signal.addEventListener('abort', leave, { once: true });
        waiters.set(offset, [...(waiters.get(offset) ?? []), waiter]);
      });
    },
    async idle() {
      if (state === 'gathering') write();
      if (state === 'writing') await new Promise<void>((resolve) => whenIdle.push(resolve));
      if (state !== 'broken') await log.flushed();
    },
  };
}

function movesOf(position: GroupPosition, settlements: Iterable<Settlement>): Moves<NewDeadLetter> {
  const delivered: number[] = [];
  const dead: NewDeadLetter[] = [];
  for (const settlement of settlements) {
    if (settlement.kind === 'ok') delivered.push(settlement.offset);
    else dead.push(settlement.letter);
  }
  return { position, delivered: rangesOf(delivered), dead };
}

function cancelled(signal: AbortSignal): SluiceError {
  return failure('nobody waits for this record any more.', { code: 'CANCELLED', class: 'rejected', cause: signal.reason });
}
