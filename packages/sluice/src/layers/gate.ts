/** Gate: the line of batches before a policy that may hold them back, and the askers who want to know when to come. */

import type { Batch } from '../core/batch.js';
import { Deque } from '../core/deque.js';
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
  const askers = new Deque<() => void>();

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
        if (line.size === 0 && askers.length === 0) policy.rests();
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
    // All of them: they only ask again, and who finds no place asks anew.
    for (let count = policy.mayStart() ? askers.length : 0; count > 0; count--) askers.shift()!();
  };

  return {
    get isWaitedFor() {
      return line.size > 0 || askers.length > 0;
    },
    admit,
    ready(lane) {
      if (line.size === 0 && policy.mayStart()) return inner.ready(lane);
      return new Promise<void>((resolve) => {
        askers.push(resolve);
        policy.waits();
      });
    },
    dispatch: (batch, context) =>
      line.size === 0 && policy.mayStart() ? policy.start(batch, context) : standInLine(batch, context),
  };
}
