/** Retry room: how many batches may wait for a retry, and how many retries may be made: what keeps retries from making things worse. */

import { checkNames, numberOption } from '../core/options.js';
import type { Clock } from '../env/env.js';
import { tokenBucket } from './token-bucket.js';

/**
 * How many retries may be made in relation to first calls. After Twitter Finagle's RetryBudget; gRPC's retry throttling (proposal A6)
 * is alike.
 */
export interface RetryBudgetOptions {
  /** Retries that each first call earns: 0 or more. Default 0.2: a sink that is down gets at most a fifth more calls. */
  readonly ratio?: number;
  /** Retries a second that are allowed however few first calls there are: 0 or more. Default 1. */
  readonly minPerSecond?: number;
  /** Retries that may be saved up: 1 or more. Default 10. */
  readonly burst?: number;
}

/** The bounds on retries that batches share. */
export interface RetryRoom {
  /** A first call begins: it earns its share of the budget. */
  begins(): void;
  /** A batch has ended. */
  ends(): void;
  /** Lets one batch wait for its retry, or says what is used up. */
  enter(): 'entered' | 'RETRY_OVERFLOW' | 'RETRY_BUDGET';
  /** Its pause is over. */
  leave(): void;
  /** As good as a fresh one: no batch is on its way, and the budget is full. */
  isFresh(): boolean;
}

/**
 * Checks the options of a budget, and gives them their defaults.
 *
 * @throws SluiceError `INVALID_OPTION`
 */
export function retryBudget(options: RetryBudgetOptions | undefined): Required<RetryBudgetOptions> | undefined {
  if (options === undefined) return undefined;
  checkNames('retry.budget', options, ['ratio', 'minPerSecond', 'burst']);
  return {
    ratio: numberOption('retry.budget.ratio', options.ratio, 0.2, { least: 0 }),
    minPerSecond: numberOption('retry.budget.minPerSecond', options.minPerSecond, 1, { least: 0 }),
    burst: numberOption('retry.budget.burst', options.burst, 10, { least: 1 }),
  };
}

/** The room that the batches of one retry layer, or of one lane, share. A budget begins full. */
export function retryRoom(maxWaiting: number, budget: Required<RetryBudgetOptions> | undefined, clock: Clock): RetryRoom {
  const bucket = budget && tokenBucket(budget.minPerSecond, budget.burst, budget.burst, clock.now());
  let running = 0;
  let waiting = 0;
  return {
    begins() {
      running++;
      bucket?.put(budget!.ratio);
    },
    ends: () => {
      running--;
    },
    enter() {
      if (waiting >= maxWaiting) return 'RETRY_OVERFLOW';
      bucket?.refill(clock.now());
      if (bucket !== undefined && !bucket.hasToken()) return 'RETRY_BUDGET';
      bucket?.take(1);
      waiting++;
      return 'entered';
    },
    leave: () => {
      waiting--;
    },
    isFresh() {
      bucket?.refill(clock.now());
      return running === 0 && (bucket === undefined || bucket.isFull());
    },
  };
}
