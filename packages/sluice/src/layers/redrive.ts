/** redrive: sends dead letters again, under a rate and a bound, and keeps each until its item is written. */

import type { DeadLetterStore, Letter, LetterFilter } from '../core/dead-letter-store.js';
import { asFailure, invalidOption } from '../core/errors.js';
import { checkNames, numberOption } from '../core/options.js';
import type { Env } from '../env/env.js';
import { systemEnv } from '../env/system.js';
import { pacer } from './pacer.js';

/** Options of {@link redrive}. */
export interface RedriveOptions<T> {
  /** Sends one item again and resolves once it is written, such as `(value) => batcher.push(value)`. */
  readonly push: (value: T, letter: Letter<T>) => Promise<unknown>;
  /** Which letters. Default: all that are parked when it begins. */
  readonly filter?: LetterFilter;
  /** Only counts what it would send. Default false. */
  readonly dryRun?: boolean;
  /** Letters begun a second, more than 0; `Infinity` for no bound. Default 100. */
  readonly perSecond?: number;
  /** Letters on their way at once, 1 or more. Default 500. */
  readonly maxInFlight?: number;
  /** Stops it: what is on its way is waited for, the rest stays parked. Default none. */
  readonly signal?: AbortSignal;
  /** Where the time comes from. Default: the system's. */
  readonly env?: Pick<Env, 'clock'>;
}

/** What a redrive did, in letters: `matched = redriven + deadAgain + failed + left`. */
export interface RedriveReport {
  /** Letters that fitted the filter. */
  readonly matched: number;
  /** Written: their letters are gone. */
  readonly redriven: number;
  /** Parked again as new letters: their old letters are gone. */
  readonly deadAgain: number;
  /** Neither: their letters stay. */
  readonly failed: number;
  /** Not begun: a dry run, a stop, or another redrive has them. Their letters stay. */
  readonly left: number;
}

/**
 * Sends dead letters again, the oldest first. A letter is removed only after its item was written, or became a new letter: a crash in
 * between sends it twice at worst, never not at all. Two redrives at once do not send the same letter.
 *
 * @throws SluiceError `INVALID_OPTION`, and what the store throws.
 */
export async function redrive<T>(store: DeadLetterStore<T>, options: RedriveOptions<T>): Promise<RedriveReport> {
  checkNames('redrive', options, ['push', 'filter', 'dryRun', 'perSecond', 'maxInFlight', 'signal', 'env']);
  const { push, filter, dryRun = false, signal } = options;
  if (typeof push !== 'function') throw invalidOption('redrive needs a function push(value, letter).');
  const perSecond = numberOption('redrive.perSecond', options.perSecond, 100, { least: 1e-6, infinite: true });
  const maxInFlight = numberOption('redrive.maxInFlight', options.maxInFlight, 500, { least: 1, whole: true, infinite: true });
  const { clock } = options.env ?? systemEnv();
  const letters = await store.list(filter);
  const report = { matched: letters.length, redriven: 0, deadAgain: 0, failed: 0, left: 0 };
  if (dryRun) return { ...report, left: letters.length };

  const onTheirWay = new Set<Promise<void>>();
  const broken: unknown[] = [];
  const pace = pacer(perSecond, clock, signal);
  for (const letter of letters) {
    await pace();
    while (onTheirWay.size >= maxInFlight) await Promise.race(onTheirWay);
    // A store that fails stops it; what is on its way is still waited for.
    if (signal?.aborted || broken.length > 0 || !(await store.mark(letter.id, 'redriving'))) {
      report.left++;
      continue;
    }
    const sent = sendAgain(store, push, letter).then(
      (end) => {
        report[end]++;
      },
      (thrown) => {
        report.failed++;
        broken.push(thrown);
      },
    );
    onTheirWay.add(sent);
    void sent.then(() => onTheirWay.delete(sent));
  }
  await Promise.all(onTheirWay);
  if (broken.length > 0) throw broken[0];
  return report;
}

async function sendAgain<T>(
  store: DeadLetterStore<T>,
  push: RedriveOptions<T>['push'],
  letter: Letter<T>,
): Promise<'redriven' | 'deadAgain' | 'failed'> {
  let end: 'redriven' | 'deadAgain' | 'failed' = 'redriven';
  try {
    await push(letter.value, letter);
  } catch (thrown) {
    end = asFailure(thrown, 'transient').deadLetterId === undefined ? 'failed' : 'deadAgain';
  }
  if (end === 'failed') await store.mark(letter.id, 'parked');
  else await store.purge({ ids: [letter.id] });
  return end;
}
