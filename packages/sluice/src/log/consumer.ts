/** Consumer: reads a stream from its group's cursor, batches its records into a sink, and settles them in the log. */

import type { Sink } from '../core/dispatcher.js';
import { asFailure, invalidOption, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Tally } from '../core/tally.js';
import type { Window } from '../core/window.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import type { RetryOptions } from '../layers/retry.js';
import type { Log } from './log.js';
import type { Lag } from './position.js';
import { countOf } from './ranges.js';
import type { LogRecord } from './record.js';
import { deadRecord, RecordItem, recordEngine } from './record-engine.js';
import { createSettler, type SettledHow } from './settler.js';

/** Options of {@link createConsumer}. */
export interface ConsumerOptions {
  /** Where the records come from, and where their settlements go. */
  readonly log: Log;
  /** The stream that is read. */
  readonly stream: string;
  /** Names the cursor: two groups on one stream are independent. */
  readonly group: string;
  /** Where the records go. Idempotent, or a timed-out batch is parked rather than tried again. */
  readonly sink: Sink<LogRecord, unknown>;
  /** When a batch is due. Default `{ maxDelayMs: 50 }`. */
  readonly window?: Window;
  /** Records a batch. Default 2,000. */
  readonly maxItems?: number;
  /** Payload bytes a batch. Default 4 MiB. */
  readonly maxBytes?: number;
  /** Sink calls that run at once. Default 4. */
  readonly maxInFlight?: number;
  /** Records held in memory at most. Default 20,000. */
  readonly maxHeldItems?: number;
  /** Payload bytes held in memory at most. Default 64 MiB. */
  readonly maxHeldBytes?: number;
  /** How far reading may run ahead of the cursor, in records, so that one stuck batch bounds what is settled above it. Default 50,000. */
  readonly maxAhead?: number;
  /** Longest time of one sink call, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /** Pauses between attempts. Transient and blocked failures are tried until they succeed: the records are safe in the log. Default `{ maxDelayMs: 1_000 }`. */
  readonly retry?: Pick<RetryOptions, 'baseMs' | 'maxDelayMs' | 'jitter'>;
  /** Time, randomness, observation. Default: the system's. */
  readonly env?: Env;
}

/** What a drain reports. */
export interface ConsumerReport {
  /** Records that the sink took, since the consumer was started. */
  readonly ok: number;
  /** Records parked as dead letters, since the consumer was started. */
  readonly dead: number;
  /** Records that stay in the log: safe, and delivered after the next start. */
  readonly leftInLog: number;
}

/** How a consumer is doing. */
export interface ConsumerStatus {
  readonly state: 'running' | 'draining' | 'stopped';
  readonly cursor: number;
  readonly tally: Tally;
  /** What the sink last failed with, while it has not succeeded since: records are held, not lost. */
  readonly problem:
    | { readonly code: string; readonly class: string; readonly message: string; readonly since: number }
    | undefined;
  /** What stopped it for good, if anything did: it cannot read the log, or not settle in it. The records stay in the log. */
  readonly broken: SluiceError | undefined;
}

/** Reads one stream for one group. */
export interface Consumer {
  readonly stream: string;
  readonly group: string;
  /** Resolves with `'ok'` or `'dead'` once the record at this offset is settled; at once when it is already. Rejects with `CANCELLED` on `signal`. */
  settled(offset: number, signal: AbortSignal): Promise<SettledHow>;
  status(): ConsumerStatus;
  lag(): Promise<Lag>;
  /** Resolves with the error that stopped it, if one ever does: the log refused a settlement. Nothing is lost; the records stay in the log. */
  readonly failed: Promise<SluiceError>;
  /**
   * Delivers what is in the log at this moment, then stops; at the deadline it stops all the same and says what is left.
   * Nothing is lost either way.
   */
  drain(options: { readonly deadlineMs: number }): Promise<ConsumerReport>;
}

const optionNames = [
  'log',
  'stream',
  'group',
  'sink',
  'window',
  'maxItems',
  'maxBytes',
  'maxInFlight',
  'maxHeldItems',
  'maxHeldBytes',
  'maxAhead',
  'timeoutMs',
  'retry',
  'env',
]; // prettier-ignore

/** The partition that it reads. */
const onlyPartition = 0;

/** Bounds of one read from the log. */
const page = { maxItems: 2000, maxBytes: 4 << 20 };

/**
 * Starts a consumer: it delivers each record of the stream at least once, and settles it in the log. A record that the sink refuses
 * for good is taken out of its batch and parked as a dead letter, so that it never stops the stream.
 *
 * @throws SluiceError `INVALID_OPTION`, or what the log says when it cannot tell the group's position.
 */
export async function createConsumer(options: ConsumerOptions): Promise<Consumer> {
  checkNames('createConsumer', options, optionNames);
  if (typeof options.sink?.write !== 'function') throw invalidOption('createConsumer needs a sink with a write(items) function.');
  const { log, stream, group, env = systemEnv() } = options;
  const maxAhead = numberOption('createConsumer: maxAhead', options.maxAhead, 50_000, { least: 1, whole: true });
  const claim = await log.claim(group, stream, onlyPartition);
  const settler = createSettler(log, claim, env.clock);
  let state: ConsumerStatus['state'] = 'running';
  let problem: ConsumerStatus['problem'];
  let next = settler.watermark.cursor;
  let broken: SluiceError | undefined;

  const engine = recordEngine(options, env, settler, (event) => {
    if (event.type === 'retry') {
      problem = {
        code: event.code,
        class: event.failureClass,
        message: event.message,
        since: problem?.since ?? env.clock.wall(),
      };
    }
    if (event.type === 'called' && event.ok) problem = undefined;
  });

  const wakeUp = signalBell();
  const stopListening = log.onAppended(stream, wakeUp.ring);
  settler.onMoved(wakeUp.ring);
  void settler.failed.then((failure) => {
    broken = failure;
    stop();
  });
  const reading = readOn().catch(async (thrown) => {
    broken = asFailure(thrown, 'unknown');
    // What could be read is delivered before it stops.
    await engine.flush();
    await settler.idle();
    settler.fail(broken);
  });

  /** Reads pages, one ahead of what the engine holds, until it is told to stop. */
  async function readOn(): Promise<void> {
    while (state !== 'stopped') {
      const heard = wakeUp.next();
      const ahead = maxAhead - (next - settler.watermark.cursor);
      const bounds = { ...page, maxItems: Math.min(page.maxItems, ahead) };
      const records = ahead <= 0 ? [] : await log.read(stream, onlyPartition, next, bounds);
      for (const record of records) {
        next = record.offset + 1;
        if (settler.watermark.isSettled(record.offset)) continue;
        // Most records find room at once: no promise for those.
        const waiting = engine.accept(new RecordItem(record));
        const refused = waiting === undefined ? undefined : await refusalOf(waiting);
        if (refused?.code === 'CLOSED') return;
        if (refused !== undefined)
          settler.settle(deadRecord(record, refused, { attempts: 0, timeouts: 0, tries: [] }, env.clock.wall(), env));
      }
      if (state === 'draining') void engine.flush();
      if (records.length === 0) {
        if (state === 'draining' && next >= (await endOffset())) return;
        await heard;
      }
    }
  }

  async function endOffset(): Promise<number> {
    return (await log.streams()).find((info) => info.stream === stream && info.partition === onlyPartition)?.nextOffset ?? 0;
  }

  /** Records that are not settled. */
  async function behind(): Promise<number> {
    return Math.max(0, (await endOffset()) - settler.watermark.cursor - countOf(settler.watermark.settledAbove));
  }

  function stop(): void {
    state = 'stopped';
    wakeUp.ring();
    void engine.close(0);
  }

  async function drain(deadlineMs: number): Promise<ConsumerReport> {
    state = 'draining';
    wakeUp.ring();
    let expired = false;
    const cancel = env.clock.after(deadlineMs, () => {
      expired = true;
      stop();
    });
    await reading;
    if (!expired) await engine.flush();
    cancel();
    stop();
    await engine.close(0);
    stopListening();
    await settler.idle();
    if (broken === undefined) await log.release(claim);
    const { ok, dead } = settler.counts;
    // What the log does not know to be settled, it delivers again.
    return { ok, dead, leftInLog: (await behind()) + settler.unwritten };
  }

  let draining: Promise<ConsumerReport> | undefined;
  return {
    stream,
    group,
    failed: settler.failed,
    settled: (offset, signal) => settler.settled(offset, signal),
    status: () => ({ state, cursor: settler.watermark.cursor, tally: engine.tally(), problem, broken }),
    async lag() {
      const stored = (await log.lag(group, stream)).find((lag) => lag.partition === onlyPartition);
      return { partition: onlyPartition, bytes: 0, oldestMs: 0, ...stored, items: await behind() };
    },
    drain({ deadlineMs }) {
      draining ??= drain(deadlineMs);
      return draining;
    },
  };
}

/** What an item was refused with; undefined once it is accepted. */
function refusalOf(waiting: Promise<void>): Promise<SluiceError | undefined> {
  return waiting.then(
    () => undefined,
    (refusal: unknown) => asFailure(refusal, 'rejected'),
  );
}

/** A bell that is heard by whoever began to listen before it rang. */
function signalBell(): { ring(): void; next(): Promise<void> } {
  let listeners: (() => void)[] = [];
  return {
    ring() {
      for (const listener of listeners.splice(0)) listener();
    },
    next: () =>
      new Promise((resolve) => {
        listeners = [resolve];
      }),
  };
}
