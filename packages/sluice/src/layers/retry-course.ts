/** Retry course: what is known of each item of a batch over its attempts, and who of them may be tried again. */

import type { Batch } from '../core/batch.js';
import { abortionOf } from '../core/context.js';
import type { DispatchContext } from '../core/dispatcher.js';
import { failure, type SluiceError } from '../core/errors.js';
import { type FailedTry, failed, maxHistory, type Outcome } from '../core/outcome.js';
import type { Clock } from '../env/env.js';

/** What decides whether an item may be tried again. */
export interface RetryRule {
  readonly maxAttempts: number;
  readonly holdBlocked: boolean;
  /** Whether what may have been written is sent again beside the others though nobody waits for it any more. */
  readonly resendsGone: boolean;
}

/** The course of one batch. Items are named by their index in it. */
export interface RetryCourse<R> {
  /** The attempt that comes next, 1 for the first. */
  attempt(): number;
  /** Takes in the outcomes of an attempt with these items; answers who may be tried again. */
  learn(indexes: readonly number[], outcomes: readonly Outcome<R>[]): number[];
  /** The last failures of these items. */
  failures(indexes: readonly number[]): SluiceError[];
  /** Those of these items whose deadlines are later than `time`. */
  withTimeAfter(indexes: readonly number[], time: number): number[];
  /**
   * Those of these items that are sent again: whom somebody still waits for, and beside them what may have been written. The others
   * are settled as cancelled.
   */
  staying(indexes: readonly number[]): number[];
  /** These are not tried again, for want of room or budget: their failures get this code, and keep their class. */
  giveUp(indexes: readonly number[], code: 'RETRY_OVERFLOW' | 'RETRY_BUDGET'): void;
  /** The outcome of each item; a failure says how often its item was tried. */
  end(): readonly Outcome<R>[];
}

/** Longest message of a failed try that is kept, in UTF-16 units. */
const maxMessageChars = 2_000;

/** Begins the course of a batch. */
export function retryCourse<R>(
  batch: Batch<unknown>,
  rule: RetryRule,
  context: DispatchContext,
  clock: Pick<Clock, 'wall'>,
): RetryCourse<R> {
  const { items } = batch;
  const settled = new Array<Outcome<R>>(items.length);
  const tries = new Array<number>(items.length).fill(0);
  const histories = new Array<History>(items.length).fill(noHistory);
  /** Items that may have been written by an attempt whose reply was lost. */
  const unsure = new Set<number>();
  let counted = 0;

  const mayTryAgain = (outcome: Outcome<R>, tried: number): boolean => {
    if (outcome.kind !== 'failed' || abortionOf(context).aborted) return false;
    const { class: failureClass } = outcome.failure;
    if (failureClass === 'blocked') return rule.holdBlocked;
    if (tried >= rule.maxAttempts) return false;
    return failureClass === 'transient' || (failureClass === 'unknown' && context.idempotent);
  };

  return {
    attempt: () => context.attempt + counted,
    learn(indexes, outcomes) {
      const add = historian(clock.wall());
      return indexes.filter((index, i) => {
        const outcome = outcomes[i]!;
        settled[index] = moreTelling(settled[index], outcome);
        if (outcome.kind === 'failed' && outcome.failure.class === 'unknown') unsure.add(index);
        if (outcome.kind !== 'ok' && outcome.failure.class !== 'blocked') counted = Math.max(counted, ++tries[index]!);
        if (outcome.kind !== 'ok') histories[index] = add(histories[index]!, outcome.failure);
        return mayTryAgain(outcome, tries[index]!);
      });
    },
    failures: (indexes) => indexes.map((index) => (settled[index] as { failure: SluiceError }).failure),
    withTimeAfter: (indexes, time) =>
      time >= context.deadlineAt ? [] : indexes.filter((index) => items[index]!.deadlineAt > time),
    staying(indexes) {
      // Who left during the pause needs no further attempt, unless it may have been written together with others that are sent again.
      // Those alone would be written over it, though they came before it, and under an id that the sink has not seen.
      const awaited = rule.resendsGone && indexes.some((index) => !items[index]!.gone);
      const leaves = (index: number) => items[index]!.gone && !(awaited && unsure.has(index));
      for (const index of indexes) if (leaves(index)) settled[index] = failed(gone());
      return indexes.filter((index) => !leaves(index));
    },
    giveUp(indexes, code) {
      const once = new Map<SluiceError, Outcome<R>>();
      for (const index of indexes) {
        const { failure: last } = settled[index] as { failure: SluiceError };
        const known = once.get(last) ?? failed(givenUp(code, last));
        once.set(last, known);
        settled[index] = known;
      }
    },
    end: () => withTries(settled, tries, histories),
  };
}

/** An attempt that was not begun says nothing of those before it, which may have happened: their failure stands. */
function moreTelling<R>(before: Outcome<R> | undefined, now: Outcome<R>): Outcome<R> {
  return before !== undefined && now.kind === 'failed' && now.failure.class === 'rejected' ? before : now;
}

type History = readonly FailedTry[];

const noHistory: History = [];

/** Adds failures of one moment to histories: the same failure after the same history gives the same one, so that items go on sharing it. */
function historian(at: number): (before: History, problem: SluiceError) => History {
  let lastBefore: History | undefined;
  let lastProblem: SluiceError | undefined;
  let after = noHistory;
  return (before, problem) => {
    if (before === lastBefore && problem === lastProblem) return after;
    const { code, class: failureClass, message } = problem;
    const tried = { at, code, class: failureClass, message: message.slice(0, maxMessageChars) };
    [lastBefore, lastProblem] = [before, problem];
    after = before.length < maxHistory ? [...before, tried] : [...before.slice(0, 5), ...before.slice(6), tried];
    return after;
  };
}

/** Items that shared one outcome and one history go on sharing one: layers above know by it that the batch failed as a whole. */
function withTries<R>(
  settled: readonly Outcome<R>[],
  tries: readonly number[],
  histories: readonly History[],
): readonly Outcome<R>[] {
  let last: Outcome<R> | undefined;
  let lastIndex = -1;
  let lastGiven: Outcome<R> | undefined;
  return settled.map((outcome, i) => {
    if (outcome.kind !== 'failed' || outcome.failure.class === 'rejected' || tries[i] === 0) return outcome;
    const same = outcome === last && tries[i] === tries[lastIndex] && histories[i] === histories[lastIndex];
    if (!same) {
      last = outcome;
      lastIndex = i;
      const history = histories[i]!;
      lastGiven = { ...outcome, tries: { attempts: tries[i]!, firstFailedAt: history[0]!.at, history } };
    }
    return lastGiven!;
  });
}

function givenUp(code: 'RETRY_OVERFLOW' | 'RETRY_BUDGET', last: SluiceError): SluiceError {
  const why = code === 'RETRY_OVERFLOW' ? 'too many batches wait for a retry' : 'the retry budget is used up';
  return failure(`not tried again, ${why}; the last failure: ${last.message}`, {
    code,
    class: last.class,
    cause: last,
    ...(last.retryAfterMs === undefined ? {} : { retryAfterMs: last.retryAfterMs }),
  });
}

function gone(): SluiceError {
  return failure('nobody waits for this item any more.', { code: 'CANCELLED', class: 'rejected' });
}
