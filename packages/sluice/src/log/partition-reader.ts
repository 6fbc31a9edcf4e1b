/** Partition reader: claims one partition for a group, reads it, offers its records to the engine and settles what became of them. */

import { asFailure, failure, type SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import type { Cancel } from '../env/env.js';
import { createBell } from './bell.js';
import { DamagedRecords } from './damage.js';
import { createInFlight, type InFlight } from './in-flight.js';
import type { ReadBounds } from './log.js';
import { createLine } from './offset-line.js';
import type { ConsumerProblem, PartitionReader, PartitionStatus, ReaderState, Readers } from './partition-contract.js';
import { crashesOf, poisonFailure, restMs } from './poison.js';
import type { Claim, OffsetRange } from './position.js';
import { createReadAhead } from './read-ahead.js';
import type { LogRecord } from './record.js';
import { RecordItem } from './record-item.js';
import { createSettler, type Settler } from './settler.js';

/** How long after it was fenced a partition is claimed again, in milliseconds. */
const reclaimMs = 1_000;

/** Starts to read a partition. */
export function openPartition(partition: number, readers: Readers): PartitionReader {
  const { log, env, group, stream, waiters } = readers;
  const { clock } = env;
  const bell = createBell();
  const items = createLine<RecordItem>();
  const ahead = createReadAhead();
  let state: ReaderState = 'starting';
  let problem: ConsumerProblem | undefined;
  let claim: Claim | undefined;
  let settler: Settler | undefined;
  let inFlight: InFlight | undefined;
  let next = 0;
  let until = Number.POSITIVE_INFINITY;
  let damage: OffsetRange | undefined;
  let haltedAt: { readonly item: RecordItem; readonly reason: SluiceError } | undefined;
  /** The record that runs alone, while its first call has not ended. */
  let lookout: { readonly offset: number; readonly over: () => void } | undefined;
  let whenEmpty: (() => void) | undefined;
  let stopping: Promise<void> | undefined;
  let resolveLeft!: () => void;
  const left = new Promise<void>((resolve) => {
    resolveLeft = resolve;
  });

  const reader: PartitionReader = {
    partition,
    get state() {
      return state;
    },
    done: run(),
    status,
    wake: bell.ring,
    begins,
    wouldWait,
    ended,
    isSettled: (offset) => settler?.watermark.isSettled(offset) === true,
    finishAt(offset) {
      until = offset;
      bell.ring();
    },
    writeNow: async () => settler?.writeNow(),
    parkHalted,
    skipDamage,
    stop(deadlineMs) {
      stopping ??= stop(deadlineMs);
      return stopping;
    },
  };
  return reader;

  async function run(): Promise<void> {
    try {
      await start();
      while (state === 'reading' || state === 'damaged') {
        const heard = bell.next();
        const more = await readOn();
        if (more === 'done') return;
        if (more === 'wait') await heard;
      }
    } catch (thrown) {
      breakDown(asFailure(thrown, 'unknown'));
    }
  }

  /** A full disk takes no claim either: it is waited for, as settlements wait. */
  async function claimed(): Promise<Claim> {
    for (;;) {
      try {
        const taken = await log.claim(group, stream, partition);
        if (problem?.code === 'LOG_FULL') problem = undefined;
        return taken;
      } catch (thrown) {
        const refusal = asFailure(thrown, 'unknown');
        if (refusal.code !== 'LOG_FULL' || state !== 'starting') throw refusal;
        if (problem?.code !== 'LOG_FULL') trouble(refusal);
        await sleep(reclaimMs);
      }
    }
  }

  async function start(): Promise<void> {
    claim = await claimed();
    settler = createSettler(log, claim, clock, waiters, {
      written: readers.written,
      roomChanged,
      refused: (refusal) => (refusal.code === 'FENCED' ? fenced(refusal) : breakDown(refusal)),
    });
    inFlight = createInFlight(log, claim, clock, (thrown) => {
      const refusal = asFailure(thrown, 'unknown');
      if (refusal.code === 'FENCED') fenced(refusal);
    });
    next = claim.position.cursor;
    tellWaiters();
    const { uncleanStarts } = claim;
    const backOffMs = restMs(readers.poison, uncleanStarts, clock.wall());
    if (backOffMs > 0 && state === 'starting') {
      state = 'backingOff';
      const message = `${uncleanStarts.length} starts of partition ${partition} ended in a crash; it is read again in ${Math.ceil(backOffMs / 1000)} s.`;
      trouble(failure(message, { code: 'CRASH_LOOP', class: 'transient' }));
      await sleep(backOffMs);
    }
    if (state === 'starting' || state === 'backingOff') {
      state = 'reading';
      problem = undefined;
    }
  }

  /** Reads a page, if there is room for one. */
  async function readOn(): Promise<'more' | 'wait' | 'done'> {
    // A drain does not wait for what somebody else must decide.
    if (state === 'damaged') return until === Number.POSITIVE_INFINITY ? 'wait' : 'done';
    if (next >= until) return 'done';
    if (readers.alone.isTaken || settler!.full !== undefined) return 'wait';
    ahead.pass(settler!.watermark.cursor);
    const room = Math.min(readers.maxAhead - (next - settler!.watermark.cursor), until - next);
    const isBackground = waiters.count === 0 && until === Number.POSITIVE_INFINITY;
    const page = ahead.page(room, readers.maxAheadBytes(), isBackground);
    if (page === undefined) return 'wait';
    const records = await readPage(page);
    if (state !== 'reading' || records === undefined) return 'wait';
    // What was to be read has gone by its age.
    if (records.length === 0) return until === Number.POSITIVE_INFINITY ? 'wait' : 'done';
    await take(records);
    // A drain does not wait for windows.
    if (until !== Number.POSITIVE_INFINITY) readers.flush();
    else readers.taken(partition, next);
    return 'more';
  }

  async function readPage(bounds: ReadBounds): Promise<readonly LogRecord[] | undefined> {
    try {
      return await log.read(stream, partition, next, bounds);
    } catch (thrown) {
      if (!(thrown instanceof DamagedRecords)) throw thrown;
      if (state !== 'reading') return undefined;
      damage = thrown.range;
      state = 'damaged';
      trouble(thrown);
      return undefined;
    }
  }

  async function take(records: readonly LogRecord[]): Promise<void> {
    for (const record of records) {
      const { offset } = record;
      if (offset > next) settler!.pass({ first: next, last: offset - 1 });
      next = offset + 1;
      ahead.add(record);
      if (settler!.watermark.isSettled(offset)) continue;
      // A redrive is for the group whose letter it was; the others have had the record.
      const addressee = record.redrive?.group ?? group;
      if (addressee !== group) {
        settler!.pass({ first: offset, last: offset });
        continue;
      }
      const crashes = crashesOf(claim!.suspects, offset);
      if (crashes < readers.poison.maxCrashes) offer(record, crashes);
      else await suspect(record, crashes);
      if (state !== 'reading') return;
    }
  }

  function offer(record: LogRecord, crashes: number): void {
    const item = new RecordItem(record, reader, claim!.epoch, crashes);
    items.add(record.offset, item);
    if (!readers.offer(item)) items.remove(record.offset, item);
  }

  /** A record that was in flight at several crashes: one more chance, alone; then it is parked. */
  async function suspect(record: LogRecord, crashes: number): Promise<void> {
    if (crashes > readers.poison.maxCrashes) {
      failedForGood(new RecordItem(record, reader, claim!.epoch, crashes), poisonFailure(crashes));
      return;
    }
    await readers.alone.run(async () => {
      if (state !== 'reading') return;
      await new Promise<void>((over) => {
        lookout = { offset: record.offset, over };
        offer(record, crashes);
        readers.flush();
      });
      lookout = undefined;
    }, left);
  }

  async function begins(offsets: readonly number[]): Promise<() => void> {
    const ends = await inFlight!.begins(offsets);
    if (lookout === undefined || !offsets.includes(lookout.offset)) return ends;
    const { over } = lookout;
    return () => {
      ends();
      over();
    };
  }

  function wouldWait(): void {
    if (state === 'stopping') letGoOfWaiting();
    if (items.size === 0) whenEmpty?.();
  }

  function ended(item: RecordItem, outcome: Outcome<unknown>): void {
    const { offset } = item.value;
    items.remove(offset, item);
    if (outcome.kind === 'ok') settler!.ok(offset);
    else failedForGood(item, outcome.failure);
    if (lookout?.offset === offset) lookout.over();
    if (items.size === 0) whenEmpty?.();
  }

  function failedForGood(item: RecordItem, reason: SluiceError): void {
    // What was cut off by a stop stays in the log.
    if (state === 'stopping' || state === 'stopped' || state === 'fenced' || reason.code === 'SHUTDOWN_TIMEOUT') return;
    if (reason.class === 'rejected') {
      // Not tried, and nobody will: behind a halt that is right, else the partition is read again from its cursor.
      if (state === 'reading' && reason.code !== 'HALTED') readers.reopen(reader, reclaimMs);
    } else if (readers.halts) halt(item, reason);
    else settler!.dead(item.letter(reason, clock.wall()));
  }

  function halt(item: RecordItem, reason: SluiceError): void {
    if (state !== 'reading') return;
    state = 'halted';
    haltedAt = { item, reason };
    const where = `partition ${partition}, offset ${item.value.offset}`;
    trouble(failure(`halted at ${where}: ${reason.message}`, { code: reason.code, class: reason.class, cause: reason }));
    giveBack();
  }

  function roomChanged(): void {
    const { full } = settler!;
    if (full !== undefined) trouble(full);
    else {
      problem = undefined;
      bell.ring();
    }
  }

  function fenced(refusal: SluiceError): void {
    if (state === 'stopping' || state === 'stopped' || state === 'fenced' || state === 'broken') return;
    state = 'fenced';
    trouble(refusal);
    abandonAll(refusal);
    bell.ring();
    readers.reopen(reader, reclaimMs);
  }

  function breakDown(reason: SluiceError): void {
    if (state === 'stopped' || state === 'broken') return;
    state = 'broken';
    trouble(reason);
    bell.ring();
    readers.broken(reason);
  }

  function trouble(reason: SluiceError): void {
    const { code, class: failureClass, message } = reason;
    problem = { code, class: failureClass, message, since: clock.wall() };
    readers.alarm(partition, reason);
  }

  async function parkHalted(): Promise<boolean> {
    if (state !== 'halted' || haltedAt === undefined) return false;
    const { item, reason } = haltedAt;
    haltedAt = undefined;
    settler!.dead(item.letter(reason, clock.wall()));
    await settler!.idle();
    return true;
  }

  async function skipDamage(): Promise<boolean> {
    if (state !== 'damaged') return false;
    const range = damage!;
    await settler!.idle();
    await log.skip(claim!, range);
    settler!.pass(range);
    next = Math.max(next, range.last + 1);
    if (state === 'damaged') state = 'reading';
    problem = undefined;
    bell.ring();
    return true;
  }

  async function stop(deadlineMs: number): Promise<void> {
    if (state !== 'broken' && state !== 'fenced') state = 'stopping';
    resolveLeft();
    bell.ring();
    giveBack();
    // What waits for its next try, at a sink that fails or is blocked, could wait for ever: only what a call has is waited for.
    letGoOfWaiting();
    if (items.size > 0) {
      if (deadlineMs > 0) await emptyOrLate(deadlineMs);
      abandonAll(handedOver());
    }
    // A claim that is under way must be released too.
    await reader.done;
    await settler?.idle();
    inFlight?.end();
    if (claim !== undefined) await log.release(claim).catch(() => {});
    if (state === 'stopping') state = 'stopped';
  }

  function emptyOrLate(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = ms === Number.POSITIVE_INFINITY ? () => {} : clock.after(ms, resolve);
      whenEmpty = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Takes back what has not left. */
  function giveBack(): void {
    const reason = failure('not sent: it goes back to the log.', { code: 'CANCELLED', class: 'rejected' });
    for (const item of items.all()) if (item.phase === 'held') takeBack(item, reason);
  }

  function abandonAll(reason: SluiceError): void {
    for (const item of items.all()) takeBack(item, reason);
    lookout?.over();
  }

  /** Settles what the sink has taken of batches that would be tried again, and leaves the rest: all at once, or a later one of a key came first. */
  function letGoOfWaiting(): void {
    for (const item of items.all()) {
      if (item.isInCall) continue;
      if (item.isTaken) settler!.ok(item.value.offset);
      takeBack(item, handedOver());
    }
  }

  function takeBack(item: RecordItem, reason: SluiceError): void {
    const { offset } = item.value;
    items.remove(offset, item);
    readers.cancel(item, reason);
    if (lookout?.offset === offset) lookout.over();
  }

  /** Somebody may wait for what the owner before has settled. */
  function tellWaiters(): void {
    for (const offset of waiters.offsets(partition)) {
      if (!settler!.watermark.isSettled(offset)) continue;
      const told = readers.howSettled(partition, offset).then((how) => waiters.tell(partition, offset, how));
      told.catch((thrown) => breakDown(asFailure(thrown, 'unknown')));
    }
  }

  function sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel: Cancel = clock.after(ms, resolve);
      void left.then(() => {
        cancel();
        resolve();
      });
    });
  }

  function status(): PartitionStatus {
    const cursor = settler?.watermark.cursor ?? 0;
    if (settler !== undefined) ahead.pass(cursor);
    return {
      partition,
      state,
      epoch: claim?.epoch ?? 0,
      cursor,
      rangesAbove: settler?.watermark.rangesAbove ?? 0,
      items: items.size,
      aheadItems: Math.max(0, next - cursor),
      aheadBytes: ahead.bytes,
      problem,
    };
  }
}

function handedOver(): SluiceError {
  return failure('handed over before it was answered; it is delivered again.', { code: 'CANCELLED', class: 'unknown' });
}
