/** Redrive: appends dead letters to a stream again, as a job that may be looked at, slowed down and cancelled at any time. */

import { asFailure, type SluiceError } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Clock, Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import { pacer } from '../layers/pacer.js';
import type { DeadLetter, DeadLetterFilter } from './dead-letter.js';
import type { Log } from './log.js';
import type { NewEvent } from './record.js';

/** Options of {@link redriveLetters}. */
export interface RedriveLettersOptions {
  /** Which letters, of those that are parked when it begins. Default: all. With `state: 'redriven'`, those that were sent before are sent once more. */
  readonly filter?: DeadLetterFilter;
  /** The stream that they are appended to. Default: each letter's own. */
  readonly target?: string;
  /** Only counts what it would send. Default false. */
  readonly dryRun?: boolean;
  /** Most letters that it sends, 1 or more: send a few first, and look. Default `Infinity`. */
  readonly limit?: number;
  /** Letters a second, more than 0; `Infinity` for no bound. Default 100. */
  readonly perSecond?: number;
  /** Letters an append, 1 to 10,000. Default 100. */
  readonly batchItems?: number;
  /** Cancels it, as {@link RedriveJob.cancel} does. Default none. */
  readonly signal?: AbortSignal;
  /** Where the time comes from. Default: the system's. */
  readonly env?: Pick<Env, 'clock'>;
}

/** How far a redrive has come, in letters: `matched = redriven + duplicates + left`, unless others purge or redrive them meanwhile. */
export interface RedriveProgress {
  readonly state: 'running' | 'done' | 'cancelled' | 'failed';
  /** Letters that fitted the filter when it began, up to the limit. */
  readonly matched: number;
  /** Appended durably, then marked as redriven. */
  readonly redriven: number;
  /** Not appended, since they had been: a redrive before this one died between append and mark. They are marked now. */
  readonly duplicates: number;
  /** Not sent: they stay parked. */
  readonly left: number;
}

/** A redrive that runs. */
export interface RedriveJob {
  progress(): RedriveProgress;
  /** Sends nothing more once the append under way has been marked. What has not been sent stays parked. */
  cancel(): void;
  /**
   * Resolves with what it did. Rejects with what the log says when that fails; the letters are in the log then, parked or redriven, and the
   * same redrive may be started again.
   */
  readonly done: Promise<RedriveProgress>;
}

/**
 * Appends dead letters to a stream again, by stream, partition and offset, so that those of a key keep their order among each other. Each is
 * appended durably before it is marked: a crash in between sends it again, and the window of ids knows it by (id, redrive id). The event keeps
 * its id, key, tenant, times and payload, and names the group whose letter it was: other groups of the stream pass it over. In another stream
 * all groups get it.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function redriveLetters(log: Log, options: RedriveLettersOptions = {}): RedriveJob {
  const names = ['filter', 'target', 'dryRun', 'limit', 'perSecond', 'batchItems', 'signal', 'env'];
  checkNames('redriveLetters', options, names);
  const at = (name: string) => `redriveLetters.${name}`;
  const limit = numberOption(at('limit'), options.limit, Number.POSITIVE_INFINITY, { least: 1, whole: true, infinite: true });
  const perSecond = numberOption(at('perSecond'), options.perSecond, 100, { least: 1e-6, infinite: true });
  const batchItems = Math.min(10_000, numberOption(at('batchItems'), options.batchItems, 100, { least: 1, whole: true }));
  const { clock } = options.env ?? systemEnv();
  const stop = new AbortController();
  const cancel = () => stop.abort();
  options.signal?.addEventListener('abort', cancel, { once: true });
  if (options.signal?.aborted) cancel();
  const progress = { state: 'running' as RedriveProgress['state'], matched: 0, redriven: 0, duplicates: 0, left: 0 };

  async function run(): Promise<RedriveProgress> {
    try {
      const now = clock.wall();
      // What dies again meanwhile has a new letter, which is not sent in circles.
      const before = Math.min(options.filter?.parkedBefore ?? Number.POSITIVE_INFINITY, now + 1);
      const filter: DeadLetterFilter = { state: 'parked', ...options.filter, parkedBefore: before };
      const matching = (await log.letters.groups(filter)).reduce((sum, group) => sum + group.items, 0);
      progress.matched = Math.min(limit, matching);
      progress.left = progress.matched;
      if (options.dryRun !== true) await send(filter);
      progress.state = stop.signal.aborted && progress.left > 0 ? 'cancelled' : 'done';
      return { ...progress };
    } catch (thrown) {
      progress.state = 'failed';
      throw asFailure(thrown, 'unknown');
    } finally {
      options.signal?.removeEventListener('abort', cancel);
    }
  }

  async function send(filter: DeadLetterFilter): Promise<void> {
    const pace = pacer(perSecond, clock, stop.signal);
    // As many as go within a tenth of a second: a slow redrive is seen to move, and a cancel leaves little behind it.
    const most = Math.max(1, Math.min(batchItems, Math.floor(perSecond / 10)));
    let after: string | undefined;
    do {
      const limited = Math.min(most, limit - (progress.redriven + progress.duplicates));
      if (limited <= 0) return;
      const page = await log.letters.page({ filter, limit: limited, ...(after === undefined ? {} : { after }) });
      for (let i = 0; i < page.letters.length && !stop.signal.aborted; i++) await pace();
      if (stop.signal.aborted) return;
      await sendPage(page.letters);
      after = page.next;
    } while (after !== undefined);
  }

  async function sendPage(letters: readonly DeadLetter[]): Promise<void> {
    for (const [stream, its] of byTarget(letters, options.target)) {
      const events = its.map((letter) => eventOf(letter, stream));
      const appended = await appendWhenThereIsRoom(log, stream, events, clock, stop.signal);
      if (appended === undefined) return;
      // First on disk, then marked: the other way round, a crash in between would lose the letter.
      await log.letters.markRedriven(its, clock.wall());
      const duplicates = appended.filter((one) => one.duplicate).length;
      progress.duplicates += duplicates;
      progress.redriven += its.length - duplicates;
      progress.left = Math.max(0, progress.left - its.length);
    }
  }

  const done = run();
  // Whoever looks at the progress alone sees the state; a rejection that nobody awaits must not end the process.
  done.catch(() => {});
  return { progress: () => ({ ...progress }), cancel, done };
}

function byTarget(letters: readonly DeadLetter[], target: string | undefined): Map<string, DeadLetter[]> {
  const targets = new Map<string, DeadLetter[]>();
  for (const letter of letters) {
    const stream = target ?? letter.record.stream;
    const its = targets.get(stream);
    if (its === undefined) targets.set(stream, [letter]);
    else its.push(letter);
  }
  return targets;
}

/** In another stream it is for everybody: the groups there have not had it, and a namesake of the letter's group may not be among them. */
function eventOf(letter: DeadLetter, stream: string): NewEvent {
  const { id, tenant, key, time, receivedAt, trace, payload } = letter.record;
  const group = stream === letter.record.stream ? letter.group : null;
  return { id, tenant, key, time, receivedAt, trace, payload, redrive: { id: redriveIdOf(letter), group } };
}

/**
 * Names one sending of one letter: the same after a crash, so that it is known as sent; another for a letter that was marked and is sent once
 * more, or for one that was parked at the same place after a purge. The names are not escaped, which could make them too long: their lengths part them.
 */
function redriveIdOf({ group, record, firstParkedAt, redrives }: DeadLetter): string {
  const { stream, partition, offset } = record;
  return `${group.length}:${group}/${stream}/${partition}/${offset}@${firstParkedAt}#${redrives + 1}`;
}

/** How long a redrive waits when the log holds all that it may, in milliseconds. */
const roomMs = 100;

async function appendWhenThereIsRoom(log: Log, stream: string, events: readonly NewEvent[], clock: Clock, signal: AbortSignal) {
  for (;;) {
    try {
      return (await log.append(stream, events)).appended;
    } catch (thrown) {
      if ((thrown as Partial<SluiceError>).code !== 'OVERLOADED') throw thrown;
      await new Promise<void>((resolve) => void clock.after(roomMs, resolve));
      if (signal.aborted) return undefined;
    }
  }
}
