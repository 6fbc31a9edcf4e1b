/** Consumer: reads the partitions of a stream that its group gives it, batches their records into a sink, and settles them in the log. */

import { failure, type SluiceError } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import { tell } from '../core/tell.js';
import { resumeLanes } from '../engine/halts.js';
import { hastenedLanes } from '../engine/hastened-lanes.js';
import { systemEnv } from '../env/system.js';
import { createAlone } from './alone.js';
import type { Consumer, ConsumerReport, ConsumerStatus, GroupLag } from './consumer-contract.js';
import { type ConsumerEngine, consumerEngine, laneOfPartition } from './consumer-engine.js';
import { type ConsumerOptions, consumerSettings } from './consumer-options.js';
import { deadLetterId } from './dead-letter.js';
import { createDeadline } from './deadline.js';
import { groupMembers } from './group-members.js';
import { checkName } from './limits.js';
import type { ConsumerProblem, PartitionReader, Readers } from './partition-contract.js';
import { openPartition } from './partition-reader.js';
import { createSlot, type PartitionSlot } from './partition-slot.js';
import type { GroupPosition, Lag, StartAt } from './position.js';
import { holds } from './ranges.js';
import type { Position } from './record.js';
import { sendAwaited } from './send-awaited.js';
import type { GivenUp, SettledHow, SettledWait } from './settled-waiters.js';

/**
 * Starts a consumer: it delivers each record of its partitions at least once, and settles it in the log. A record that the sink refuses
 * for good is taken out of its batch and parked as a dead letter, so that it never stops the stream.
 *
 * @throws SluiceError `INVALID_OPTION`, or what the log says when it cannot tell of the stream.
 */
export async function createConsumer(options: ConsumerOptions): Promise<Consumer> {
  const settings = consumerSettings(options);
  const { log, stream, group, from, env = systemEnv() } = options;
  checkName('stream', stream);
  checkName('group', group);
  if (from !== undefined) await log.createGroup(group, stream, from);
  const { partitions } = await log.streamSettings(stream);
  const { clock } = env;
  const name = `${group}/${stream}`;
  const slots = new Map<number, PartitionSlot>();
  const counts = { ok: 0, dead: 0 };
  let state: 'running' | 'paused' | 'draining' | 'stopped' = 'running';
  let assigned: readonly number[] | undefined;
  let sinkProblem: ConsumerProblem | undefined;
  let broken: SluiceError | undefined;
  let probe = () => {};
  let resolveFailed!: (problem: SluiceError) => void;
  const failed = new Promise<SluiceError>((resolve) => {
    resolveFailed = resolve;
  });

  const members = groupMembers(log, group, stream, partitions);
  const hastened = hastenedLanes((): ConsumerEngine => engine);
  const early = sendAwaited(hastened, members.waiters, () => engine.tally().held, settings.window);
  const engine: ConsumerEngine = consumerEngine(options, settings, env, {
    settle: (item, outcome) => (item.owner as PartitionReader).ended(item, outcome),
    settled() {
      forgetOldProblem();
      wakeAll();
    },
    observe: watchSink,
    mayProbe(its) {
      probe = its;
    },
    cut: hastened.cut,
    calls: early.layer,
  });
  const alone = createAlone(() => engine.flush(), clock, settings.timeoutMs, wakeAll);
  const readers: Readers = {
    log,
    env,
    group,
    stream,
    waiters: members.waiters,
    alone,
    poison: settings.poison,
    halts: settings.strict === 'halt',
    maxAhead: settings.maxAhead,
    maxAheadBytes: () => settings.maxAheadBytes / Math.max(1, slots.size),
    offer: (item) => engine.offer(item) === 'accepted',
    cancel: (item, reason) => void engine.cancel(item, reason),
    flush: () => void engine.flush(),
    taken: early.taken,
    written(ok, dead) {
      counts.ok += ok;
      counts.dead += dead;
      wakeAll();
    },
    alarm: (partition, { code, class: failureClass, message }) =>
      tell(env, { type: 'alarm', name, partition, code, failureClass, message }),
    broken: breakDown,
    reopen: (reader, afterMs) =>
      void clock.after(afterMs, () => {
        if (slots.get(reader.partition)?.reader === reader) void slots.get(reader.partition)!.resume();
      }),
    howSettled,
  };

  const membership = members.join({
    grant(partition) {
      if (state === 'stopped') return;
      slots.set(
        partition,
        createSlot(partition, () => open(partition), settings.handOverMs, state !== 'running'),
      );
      wakeAll();
    },
    async revoke(partition) {
      const slot = slots.get(partition);
      await slot?.close(settings.handOverMs);
      if (slots.get(partition) === slot) slots.delete(partition);
      wakeAll();
    },
    assigned(its, consumers) {
      const isNews = assigned === undefined || its.length > 0 || assigned.length > 0;
      assigned = its;
      if (isNews) tell(env, { type: 'assigned', name, partitions: its, consumers });
    },
    between: (partition, act) => slots.get(partition)?.between(act) ?? act(),
    awaited: early.awaited,
  });
  const stopListening = log.onAppended(stream, wakeAll);

  function open(partition: number): PartitionReader {
    // A lane that halted in front of what the reader before could not pass goes on with what this one brings.
    resumeLanes(engine, laneOfPartition(partition));
    early.opened(partition);
    return openPartition(partition, readers);
  }

  function wakeAll(): void {
    for (const slot of slots.values()) slot.reader?.wake();
  }

  /** Says what the sink fails with while it fails, and raises the alarm once when it is blocked: somebody must do something about that. */
  function watchSink(event: SluiceEvent): void {
    if (event.type === 'called' && event.ok) sinkProblem = undefined;
    if (event.type !== 'retry') return;
    const { code, failureClass, message } = event;
    if (failureClass === 'blocked' && sinkProblem?.class !== 'blocked') {
      tell(env, { type: 'alarm', name, partition: undefined, code, failureClass, message });
    }
    sinkProblem = { code, class: failureClass, message, since: sinkProblem?.since ?? clock.wall() };
  }

  /** A sink that nothing waits for any more, since retry has given all of it up, keeps nobody from delivering. */
  function forgetOldProblem(): void {
    if (sinkProblem === undefined) return;
    const { held, inFlight } = engine.tally();
    if (held + inFlight === 0) sinkProblem = undefined;
  }

  function breakDown(problem: SluiceError): void {
    if (broken !== undefined) return;
    broken = problem;
    void drain(settings.handOverMs, 'now').then(() => resolveFailed(problem));
  }

  async function howSettled(partition: number, offset: number): Promise<SettledHow> {
    return (await log.letters.get(deadLetterId(group, stream, partition, offset))) === undefined ? 'ok' : 'dead';
  }

  async function settled(partition: number, offset: number, signal: AbortSignal): Promise<SettledHow> {
    const [how] = await settledAll([{ partition, offset }], signal);
    if (how !== undefined) return how;
    throw failure('nobody waits for this record any more.', { code: 'CANCELLED', class: 'rejected', cause: signal.reason });
  }

  function settledAll(records: readonly Position[], givenUp: GivenUp): Promise<readonly (SettledHow | undefined)[]> {
    // First in line, then look: whatever happens in between is heard.
    const wait = members.waiters.wait(records, givenUp);
    let look: ReturnType<typeof looks> | undefined;
    let partition = Number.NaN;
    let reader: PartitionReader | undefined;
    for (let index = 0; index < records.length; index++) {
      const record = records[index]!;
      if (record.partition !== partition) {
        partition = record.partition;
        reader = slots.get(partition)?.reader;
      }
      if (reader?.state === 'reading' && !reader.isSettled(record.offset)) continue;
      look ??= looks(wait);
      look(index, record, reader);
    }
    members.awaited(records);
    return wait.told;
  }

  /** A function that tells the wait of a record that may have been settled before, as its reader knows, or else the log. */
  function looks(wait: SettledWait): (index: number, record: Position, reader: PartitionReader | undefined) => void {
    const positions = new Map<number, Promise<GroupPosition | undefined>>();
    const look = async (index: number, { partition, offset }: Position, reader: PartitionReader | undefined) => {
      if (reader?.state !== 'reading') {
        const position = positions.get(partition) ?? log.position(group, stream, partition);
        positions.set(partition, position);
        if (!isBehind(await position, offset)) return;
      }
      wait.tell(index, await howSettled(partition, offset));
    };
    return (index, record, reader) => void look(index, record, reader).catch((thrown: unknown) => wait.fail(thrown));
  }

  async function lag(): Promise<GroupLag> {
    // What the sink has taken is no lag, though its settlement still gathers.
    await Promise.all([...slots.values()].map((slot) => slot.reader?.writeNow()));
    const its = await log.lag(group, stream);
    const sum = (of: (one: Lag) => number) => its.reduce((total, one) => total + of(one), 0);
    return {
      items: sum((one) => one.items),
      bytes: sum((one) => one.bytes),
      oldestMs: its.reduce((oldest, one) => Math.max(oldest, one.oldestMs), 0),
      partitions: its,
    };
  }

  async function pause(): Promise<void> {
    if (state === 'running') state = 'paused';
    await Promise.all([...slots.values()].map((slot) => slot.pause()));
  }

  async function resume({ parkHalted = false }: { readonly parkHalted?: boolean } = {}): Promise<void> {
    if (state === 'paused') state = 'running';
    if (state !== 'running') return;
    const all = [...slots.values()];
    if (parkHalted) await Promise.all(all.map((slot) => slot.reader?.parkHalted()));
    await Promise.all(all.map((slot) => slot.resume()));
  }

  async function seek(to: StartAt, partition?: number): Promise<readonly Position[]> {
    const those = partition === undefined ? Array.from({ length: partitions }, (_, i) => i) : [partition];
    return Promise.all(
      those.map(async (one) => {
        const { cursor } = await membership.between(one, () => log.seek(group, stream, one, to));
        slots.get(one)?.moved(cursor);
        return { partition: one, offset: cursor };
      }),
    );
  }

  async function skipDamage(): Promise<number> {
    const skipped = await Promise.all([...slots.values()].map((slot) => slot.reader?.skipDamage()));
    return skipped.filter((one) => one === true).length;
  }

  let draining: Promise<ConsumerReport> | undefined;
  let hurry: ((deadlineMs: number) => void) | undefined;

  /** `upTo`: deliver what is in the log at this moment, or nothing more than what has left already. */
  function drain(deadlineMs: number, upTo: 'end' | 'now'): Promise<ConsumerReport> {
    hurry?.(deadlineMs);
    draining ??= drainOnce(deadlineMs, upTo);
    return draining;
  }

  async function drainOnce(deadlineMs: number, upTo: 'end' | 'now'): Promise<ConsumerReport> {
    state = 'draining';
    const deadline = createDeadline(clock, deadlineMs);
    hurry = deadline.shorten;
    const had = [...slots.keys()];
    // A log that cannot say where it ends keeps nobody in the group: what has left may end.
    if (upTo === 'end') await Promise.race([readToTheEnd().catch(() => {}), deadline.passed]);
    const unanswered = deadline.isPassed() ? engine.tally().inFlight : 0;
    // What has left may end; at the deadline the engine lets go of it.
    const closed = Promise.all([...slots.values()].map((slot) => slot.close(upTo === 'now' ? Number.POSITIVE_INFINITY : 0)));
    await Promise.race([closed, deadline.passed]);
    deadline.cancel();
    await engine.close(0);
    await closed;
    state = 'stopped';
    stopListening();
    const { partitions: cursors } = statusOf();
    membership.leave();
    const left = await log.lag(group, stream);
    const parts = cursors
      .filter(({ partition }) => had.includes(partition))
      .map(({ partition, cursor }) => ({ partition, cursor, leftInLog: left[partition]?.items ?? 0 }));
    const leftInLog = parts.reduce((sum, part) => sum + part.leftInLog, 0);
    return { ...counts, leftInLog, partitions: parts, unanswered };
  }

  async function readToTheEnd(): Promise<void> {
    const ends = new Map(
      (await log.streams()).filter((info) => info.stream === stream).map((info) => [info.partition, info.nextOffset]),
    );
    const reading = [...slots.entries()].flatMap(([partition, { reader }]) => {
      reader?.finishAt(ends.get(partition) ?? 0);
      return reader === undefined ? [] : [reader.done];
    });
    void engine.flush();
    await Promise.all(reading);
    await engine.flush();
  }

  function statusOf(): ConsumerStatus {
    const each = [...slots.values()].map((slot) => slot.status()).sort((a, b) => a.partition - b.partition);
    return {
      state: broken !== undefined ? 'stopped' : state === 'running' && assigned?.length === 0 ? 'idle' : state,
      partitions: each,
      tally: engine.tally(),
      aheadBytes: each.reduce((sum, one) => sum + one.aheadBytes, 0),
      maxAheadBytes: settings.maxAheadBytes,
      problem: each.find((one) => one.problem !== undefined)?.problem ?? sinkProblem,
      broken,
    };
  }

  return {
    stream,
    group,
    failed,
    settled,
    settledAll,
    status: statusOf,
    lag,
    pause,
    resume,
    probe: () => probe(),
    seek,
    skipDamage,
    drain: ({ deadlineMs }) => drain(deadlineMs, 'end'),
  };
}

function isBehind(position: GroupPosition | undefined, offset: number): boolean {
  return position !== undefined && (offset < position.cursor || holds(position.settledAbove, offset));
}
