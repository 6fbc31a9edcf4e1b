/** Context: what travels with a batch, made so that a signal which nobody reads is never made. */

import type { Abortable, Aborter } from './aborter.js';
import type { Batch } from './batch.js';
import type { DispatchContext, SinkContext } from './dispatcher.js';

const aborterOf = Symbol('aborter');
const batchOf = Symbol('batch');

/** Whoever spreads a context gets a plain signal. One getter for all: one each would be a hidden class each. */
const lazySignal: PropertyDescriptor & ThisType<LazyContext> = {
  enumerable: true,
  get() {
    return this[aborterOf].signal;
  },
};

/** The items are made when the sink looks at them, as few do. */
const lazyEntries: PropertyDescriptor & ThisType<LazySinkContext> = {
  enumerable: true,
  get() {
    return this[batchOf].items;
  },
};

/** A class, by which a context that still has its own signal is told from a copy that a layer has changed. */
class LazyContext implements DispatchContext {
  declare readonly signal: AbortSignal;
  readonly deadlineAt: number;
  readonly attempt: number;
  readonly idempotent: boolean;
  readonly [aborterOf]: Aborter;

  constructor(aborter: Aborter, { deadlineAt, attempt, idempotent }: Omit<DispatchContext, 'signal'>) {
    this.deadlineAt = deadlineAt;
    this.attempt = attempt;
    this.idempotent = idempotent;
    this[aborterOf] = aborter;
    Object.defineProperty(this, 'signal', lazySignal);
  }
}

class LazySinkContext extends LazyContext implements SinkContext {
  declare readonly entries: SinkContext['entries'];
  readonly batchId: string;
  readonly lane: string;
  readonly [batchOf]: Batch<unknown>;

  constructor(aborter: Aborter, context: DispatchContext, batch: Batch<unknown>) {
    super(aborter, context);
    this.batchId = batch.id;
    this.lane = batch.lane;
    this[batchOf] = batch;
    Object.defineProperty(this, 'entries', lazyEntries);
  }
}

/** A context whose signal is that of `aborter`. */
export function contextWith(aborter: Aborter, rest: Omit<DispatchContext, 'signal'>): DispatchContext {
  return new LazyContext(aborter, rest);
}

/** What a sink is told beside the values of a batch. */
export function sinkContext(context: DispatchContext, batch: Batch<unknown>): SinkContext {
  if (context instanceof LazyContext) return new LazySinkContext(context[aborterOf], context, batch);
  const told: Omit<SinkContext, 'entries'> = { ...context, batchId: batch.id, lane: batch.lane };
  return Object.defineProperty(Object.assign(told, { [batchOf]: batch }), 'entries', lazyEntries) as unknown as SinkContext;
}

/** Whether a context's call was aborted, and why, without making its signal. */
export function abortionOf(context: DispatchContext): Abortable {
  return context instanceof LazyContext ? context[aborterOf] : context.signal;
}
