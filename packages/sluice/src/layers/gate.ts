/** Gate: the line of batches before a policy that may hold them back, and the askers who want to know when to come. */

import { Advice } from '../core/advice.js';
import type { Batch } from '../core/batch.js';
import type { DispatchContext, Dispatcher } from '../core/dispatcher.js';
import { allFailed, type Outcome } from '../core/outcome.js';
import type { Env } from '../env/env.js';
import { whileWaiting } from './waiting.js';

/** What a policy decides, and does, about the batches at its gate. */
export interface GatePolicy<I, R> {
  /** Whether one more call may start now. */
  mayStart(): boolean;
  /** Starts the call; `mayStart` was true in this same turn. */
  start(batch: Batch<I>, context: DispatchContext): Promise<readonly Outcome<R>[]>;
  /** Told when somebody begins to wait: the policy sees to it that `admit` is called when that may help. */
  waits(): void;
  /** Told when the last who waited has left: nothing need run for anybody. */
  rests(): void;
}

/** A gate before a policy. */
export interface Gate<I, R> extends Dispatcher<I, R> {
  /** Whether a batch or an asker waits. */
  readonly isWaitedFor: boolean;
  /** Lets in those in line, first come first served, then wakes askers, as long as calls may start. */
  admit(): void;
}

/**
 * A gate. Batches in line (retries, halves of a bisected batch) go before fresh ones, which only ask; a batch in line leaves when its
 * signal is aborted or its time is up. It reserves nothing for whom it wakes.
 */
export function createGate<I, R>(inner: Dispatcher<I, R>, env: Env, policy: GatePolicy<I, R>): Gate<I, R> {
  const line = new Set<() => void>();
  const askers = new Advice();

  const standInLine = (batch: Batch<I>, context: DispatchContext) =>
    new Promise<readonly Outcome<R>[]>((resolve) => {
      const enter = () => {
        line.delete(enter);
        stopWatching();
        resolve(policy.start(batch, context));
      };
      let left = false;
      const stopWatching = whileWaiting(env, context, (problem) => {
        left = true;
        line.delete(enter);
        resolve(allFailed(batch.items.length, problem));
        // It may have kept others out.
        if (line.size === 0) admit();
        if (line.size === 0 && !askers.isAwaited) policy.rests();
      });
      if (left) return;
      line.add(enter);
      policy.waits();
    });

  const admit = () => {
    for (const enter of line) {
      if (!policy.mayStart()) return;
      enter();
    }
    // They only ask again, and who finds no place asks anew.
    if (policy.mayStart()) askers.give();
  };

  return {
    get isWaitedFor() {
      return line.size > 0 || askers.isAwaited;
    },
    admit,
    ready(lane) {
      if (line.size === 0 && policy.mayStart()) return inner.ready(lane);
      const later = askers.later();
      policy.waits();
      return later;
    },
    dispatch: (batch, context) =>
      line.size === 0 && policy.mayStart() ? policy.start(batch, context) : standInLine(batch, context),
  };
}
