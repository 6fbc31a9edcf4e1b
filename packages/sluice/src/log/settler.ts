/** Settler: gathers what became of the records of one partition and moves the group in the log, one transaction at a time. */

import { asFailure, type SluiceError } from '../core/errors.js';
import type { Cancel, Clock } from '../env/env.js';
import type { NewDeadLetter } from './dead-letter.js';
import type { Log } from './log.js';
import { type Claim, type GroupPosition, maxSettledRanges, type OffsetRange } from './position.js';
import { countOf, mergeRanges, rangesOf, settledPosition } from './ranges.js';
import type { SettledWaiters } from './settled-waiters.js';
import { createWatermark, type Watermark } from './watermark.js';

/**
 * Gathers settlements. Each transaction of the log waits for the disk, which the appends need too: settlements go together, 25 ms of
 * them at a time. Until then a crash delivers their records again.
 */
export interface Settler {
  /** What is settled, written or not; a dead record only once its letter is on disk. */
  readonly watermark: Watermark;
  /** Records settled that the log does not know of yet. */
  readonly unwritten: number;
  /** The log has no room for dead letters, or its disk is full: what cannot be written is held here, and nothing more must be read. */
  readonly full: SluiceError | undefined;
  ok(offset: number): void;
  dead(letter: NewDeadLetter): void;
  /** Settled without a call: expired, given up, or meant for another group. */
  pass(range: OffsetRange): void;
  /** Whether its letter is on its way into the log. */
  isDying(offset: number): boolean;
  /** Writes what is gathered, now, if the log takes it; resolves when it is on disk. Never rejects. */
  writeNow(): Promise<void>;
  /** The same for the last time: what the log did not take is not offered again. */
  idle(): Promise<void>;
}

/** What a settler tells its reader. */
export interface SettlerEvents {
  /** Written: so many were taken by the sink, and so many parked. */
  written(ok: number, dead: number): void;
  /** The log has no room for letters, or its disk has none for anything; or there is some again. */
  roomChanged(): void;
  /** The log refused for another reason; nothing more is written. */
  refused(problem: SluiceError): void;
}

/** How long settlements gather, in milliseconds. */
const gatherMs = 25;

/** How long after the log had no room they are offered again, in milliseconds. */
const probeMs = 1_000;

/** A settler for what a claim has brought. */
export function createSettler(log: Log, claim: Claim, clock: Clock, waiters: SettledWaiters, events: SettlerEvents): Settler {
  const { partition } = claim;
  const watermark = createWatermark(claim.position);
  let delivered: { first: number; last: number }[] = [];
  const dying = new Map<number, NewDeadLetter>();
  let writing: { readonly delivered: readonly OffsetRange[]; readonly dying: ReadonlyMap<number, NewDeadLetter> } | undefined;
  let moved = false;
  let state: 'idle' | 'gathering' | 'writing' | 'broken' = 'idle';
  let full: SluiceError | undefined;
  let cancelTimer: Cancel = () => {};
  let whenWritten: (() => void)[] = [];

  function gather(ms = gatherMs): void {
    if (state !== 'idle') return;
    state = 'gathering';
    cancelTimer = clock.after(ms, () => write(Number.POSITIVE_INFINITY));
  }

  /** Writes with so many letters at most: those that the log has no room for must not hold up the others, nor what was delivered. */
  function write(mostLetters: number): void {
    cancelTimer();
    state = 'writing';
    moved = false;
    // The lowest first: those move the cursor.
    const letters = [...dying].sort(([a], [b]) => a - b).slice(0, mostLetters);
    const batch = { delivered: mergeRanges(delivered), dying: new Map(letters) };
    writing = batch;
    delivered = [];
    for (const [offset] of letters) dying.delete(offset);
    const position = trimmed(watermark, rangesOf(batch.dying.keys()));
    log.settle(claim, { position, delivered: batch.delivered, dead: [...batch.dying.values()] }).then(
      () => written(batch.delivered, batch.dying),
      (thrown) => refused(batch, asFailure(thrown, 'unknown')),
    );
  }

  function written(ranges: readonly OffsetRange[], letters: ReadonlyMap<number, NewDeadLetter>): void {
    writing = undefined;
    for (const offset of letters.keys()) {
      watermark.settle(offset);
      waiters.tell(partition, offset, 'dead');
    }
    // Who came after the sink had taken it, and asked the log while this was on its way, has not been told.
    if (waiters.count > 0) for (const range of ranges) waiters.tellRange(partition, range, 'ok');
    if (full !== undefined && (letters.size > 0 || full.code === 'LOG_FULL')) {
      full = undefined;
      events.roomChanged();
    }
    rest();
    events.written(countOf(ranges), letters.size);
  }

  function refused(batch: NonNullable<typeof writing>, problem: SluiceError): void {
    writing = undefined;
    delivered = [...batch.delivered, ...delivered];
    for (const [offset, letter] of batch.dying) dying.set(offset, letter);
    if (problem.code === 'LOG_FULL') {
      // The disk: the log goes on when there is room, and so does this.
      moved = true;
      state = 'idle';
      tellWritten();
      hold(problem);
      gather(probeMs);
      return;
    }
    if (problem.code !== 'DEAD_LETTERS_FULL') {
      state = 'broken';
      tellWritten();
      events.refused(problem);
      return;
    }
    const fewer = batch.dying.size >> 1;
    if (fewer > 0) {
      write(fewer);
      return;
    }
    hold(problem);
    if (delivered.length > 0) write(0);
    else rest();
  }

  function hold(problem: SluiceError): void {
    const isNews = full === undefined;
    full = problem;
    if (isNews) events.roomChanged();
  }

  /** After a write: goes on gathering when there is something, and tells those who wait when there is nothing more that can be written. */
  function rest(): void {
    state = 'idle';
    const more = moved || delivered.length > 0 || (dying.size > 0 && full === undefined);
    if (more && whenWritten.length > 0) {
      write(full === undefined ? Number.POSITIVE_INFINITY : 0);
      return;
    }
    tellWritten();
    if (more) gather();
    else if (dying.size > 0) gather(probeMs);
  }

  async function writeNow(): Promise<void> {
    if (state === 'gathering') write(Number.POSITIVE_INFINITY);
    if (state === 'writing') await new Promise<void>((resolve) => whenWritten.push(resolve));
  }

  function tellWritten(): void {
    const told = whenWritten;
    whenWritten = [];
    for (const tell of told) tell();
  }

  return {
    watermark,
    get full() {
      return full;
    },
    get unwritten() {
      return countOf(delivered) + dying.size + (writing === undefined ? 0 : countOf(writing.delivered) + writing.dying.size);
    },
    ok(offset) {
      watermark.settle(offset);
      const last = delivered.at(-1);
      if (last !== undefined && last.last + 1 === offset) last.last = offset;
      else delivered.push({ first: offset, last: offset });
      // The sink has it: nothing that happens to the log can undo that. A dead letter must be in the log first.
      if (waiters.count > 0) waiters.tell(partition, offset, 'ok');
      gather();
    },
    dead(letter) {
      dying.set(letter.record.offset, letter);
      gather();
    },
    pass(range) {
      watermark.settleRange(range);
      moved = true;
      if (waiters.count > 0) waiters.tellRange(partition, range, 'ok');
      gather();
    },
    isDying: (offset) => dying.has(offset) || writing?.dying.has(offset) === true,
    writeNow,
    async idle() {
      await writeNow();
      cancelTimer();
      if (state === 'gathering') state = 'idle';
    },
  };
}

/**
 * The position with the dead settled too. The ranges that are too many are left out, from the end: their records are delivered again
 * after a crash, as any that are settled and not written.
 */
function trimmed(watermark: Watermark, dead: readonly OffsetRange[]): GroupPosition {
  const { cursor, settledAbove } =
    dead.length === 0 ? watermark.position() : settledPosition(watermark.cursor, [...watermark.settledAbove, ...dead]);
  return { cursor, settledAbove: settledAbove.slice(0, maxSettledRanges) };
}
