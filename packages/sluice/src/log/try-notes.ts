/** Try notes: the layer that notes on each record how its tries ended, and the sink that says when its calls begin and end. */

import type { Layer, Sink, SinkAnswer } from '../core/dispatcher.js';
import { asFailure, type FailureClass, type SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import { type FailedTry, maxMessageChars } from './dead-letter.js';
import type { LogRecord } from './record.js';
import type { RecordItem, RecordOwner } from './record-item.js';

/**
 * Notes each try on the records of a batch, and whether a call has them at the moment. Stands outside the time-out, so that it sees what was cut off. What was never tried, or is
 * blocked, is no attempt.
 */
export function noteTries<R>(): Layer<LogRecord, R> {
  return (inner, { clock }) => ({
    ready: (lane) => inner.ready(lane),
    async dispatch(batch, context) {
      const items = batch.items as readonly RecordItem[];
      for (const item of items) item.isInCall = true;
      const outcomes = await inner.dispatch(batch, context);
      const notes = new Map<SluiceError, FailedTry>();
      const at = clock.wall();
      for (let i = 0; i < items.length; i++) {
        items[i]!.isInCall = false;
        note(items[i]!, outcomes[i]!, notes, at);
      }
      if (outcomes.some(mayPass)) for (const owner of new Set(items.map(({ owner }) => owner))) owner.wouldWait();
      return outcomes;
    },
  });
}

function mayPass(outcome: Outcome<unknown>): boolean {
  return outcome.kind === 'failed' && ['transient', 'unknown', 'blocked'].includes(outcome.failure.class);
}

function note(item: RecordItem, outcome: Outcome<unknown>, notes: Map<SluiceError, FailedTry>, at: number): void {
  if (outcome.kind !== 'failed') {
    item.isTaken = true;
    item.attempts++;
    return;
  }
  const { failure } = outcome;
  if (failure.class === 'rejected') return;
  if (failure.class !== 'blocked') item.attempts++;
  if (failure.code === 'TIMEOUT') item.timeouts++;
  let tried = notes.get(failure);
  if (tried === undefined) {
    const { code, class: failureClass, message } = failure;
    tried = { at, class: failureClass, code, message: message.slice(0, maxMessageChars) };
    notes.set(failure, tried);
  }
  item.fails(tried);
}

/**
 * A sink that tells the owners of the records which of them a call holds, from its beginning to its end, a time-out or not. One that says
 * "never tried" is asked again: nothing else would settle its records.
 */
export function markingCalls(sink: Sink<LogRecord, unknown>): Sink<LogRecord, unknown> {
  return {
    async write(records, context): Promise<SinkAnswer<unknown>> {
      const ends = await callBegins(context.entries as unknown as readonly RecordItem[]);
      try {
        const results = await sink.write(records, context);
        return Array.isArray(results)
          ? results.map((result) => (result instanceof Error ? askAgain(result, 'permanent') : result))
          : results;
      } catch (thrown) {
        throw askAgain(thrown, 'transient');
      } finally {
        for (const end of ends) end();
      }
    },
  };
}

async function callBegins(items: readonly RecordItem[]): Promise<(() => void)[]> {
  const byOwner = new Map<RecordOwner, number[]>();
  let owner: RecordOwner | undefined;
  let offsets: number[] = [];
  for (const item of items) {
    if (item.owner !== owner) {
      owner = item.owner;
      offsets = byOwner.get(owner) ?? [];
      byOwner.set(owner, offsets);
    }
    offsets.push(item.value.offset);
  }
  const begun = await Promise.allSettled([...byOwner].map(([one, its]) => one.begins(its)));
  const ends = begun.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const refusal = begun.find((one) => one.status === 'rejected');
  if (refusal === undefined) return ends;
  for (const end of ends) end();
  throw askAgain(refusal.reason, 'transient');
}

function askAgain(problem: unknown, fallback: FailureClass): SluiceError {
  const failure = asFailure(problem, fallback);
  // Not sent because of what stands before it: to ask again for it alone would let it pass.
  if (failure.code === 'HALTED') return failure;
  return failure.class === 'rejected' ? asFailure(failure, 'transient', { class: 'transient' }) : failure;
}
