/** madeBatch: a batch and a context without an engine, for tests of layers and dispatchers. */

import { type Batch, createBatch } from '../core/batch.js';
import type { DispatchContext } from '../core/dispatcher.js';
import { EngineItem } from '../engine/item.js';

/** A batch `b` in lane `''` of these values, one byte each. */
export function batchOf<T>(...values: T[]): Batch<T> {
  const items = values.map((value) => new EngineItem(value, 1));
  return createBatch('b', '', items, values.length, 'size');
}

/** A batch `b` in this lane of these values, one byte each. */
export function laneBatchOf<T>(lane: string, ...values: T[]): Batch<T> {
  const items = values.map((value) => new EngineItem(value, 1));
  return createBatch('b', lane, items, values.length, 'size');
}

/** The context of a first attempt that nobody aborts and that has no deadline, with these members replaced. */
export function contextOf(overrides: Partial<DispatchContext> = {}): DispatchContext {
  const signal = new AbortController().signal;
  return { signal, deadlineAt: Number.POSITIVE_INFINITY, attempt: 1, idempotent: false, ...overrides };
}
