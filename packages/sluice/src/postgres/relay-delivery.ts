/** relay-delivery: hands a page to the sink: tried until it succeeds, a bad event alone taken out, the order of a key kept. */

import { createBatch } from '../core/batch.js';
import type { Dispatcher, Sink } from '../core/dispatcher.js';
import { asFailure, type SluiceError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { EngineItem } from '../engine/item.js';
import type { Env } from '../env/env.js';
import { bisect } from '../layers/bisect.js';
import { type RetryOptions, retry } from '../layers/retry.js';
import { timeout } from '../layers/timeout.js';
import type { NewOutboxLetter, OutboxRecord } from './relay-pages.js';

/** What became of a page. */
export interface Delivered {
  /** Every event is with the sink, or is a letter. Without, the page is read and sent again. */
  readonly complete: boolean;
  readonly letters: readonly NewOutboxLetter[];
}

/** Hands events on. */
export interface Delivery {
  deliver(records: readonly OutboxRecord[], signal: AbortSignal): Promise<Delivered>;
}

/** A delivery to this sink, one call at a time. */
export function createDelivery(
  sink: Sink<OutboxRecord, unknown>,
  options: { readonly timeoutMs: number; readonly retry: Pick<RetryOptions, 'baseMs' | 'maxDelayMs' | 'jitter'> },
  env: Env,
): Delivery {
  const layers = [
    // For ever: the events are safe in their table. What is given up on is parked though the sink may come back.
    retry<OutboxRecord, unknown>({
      maxDelayMs: 5_000,
      ...options.retry,
      maxAttempts: Number.POSITIVE_INFINITY,
      holdBlocked: true,
    }),
    bisect<OutboxRecord, unknown>({ maxExtraCalls: Number.POSITIVE_INFINITY }),
    timeout<OutboxRecord, unknown>({ timeoutMs: options.timeoutMs, maxAbandoned: 1 }),
  ];
  const dispatcher: Dispatcher<OutboxRecord, unknown> = stack(layers, sinkDispatcher(counting(sink, env), env), env);
  let batches = 0;

  async function send(records: readonly OutboxRecord[], signal: AbortSignal): Promise<Delivered> {
    const items = records.map((record) => new OutboxItem(record, record.payload.byteLength));
    const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
    const batch = createBatch(`outbox-${++batches}`, '', items, bytes, 'size');
    const outcomes = await dispatcher.dispatch(batch, {
      signal,
      deadlineAt: Number.POSITIVE_INFINITY,
      attempt: 1,
      idempotent: sink.idempotent === true,
    });
    const letters: NewOutboxLetter[] = [];
    let complete = true;
    outcomes.forEach((outcome, i) => {
      if (outcome.kind === 'ok') return;
      if (isUndone(outcome, signal)) complete = false;
      else letters.push(letterOf(items[i]!, outcome.failure, env));
    });
    return { complete, letters };
  }

  return {
    async deliver(records, signal) {
      const letters: NewOutboxLetter[] = [];
      for (const wave of sink.atomic === true ? [records] : wavesOf(records)) {
        const sent = await send(wave, signal);
        if (!sent.complete) return { complete: false, letters: [] };
        letters.push(...sent.letters);
      }
      return { complete: true, letters };
    },
  };
}

/** An event with what a dead letter must know of its failures. */
class OutboxItem extends EngineItem<OutboxRecord> {
  attempts = 0;
  firstTriedAt = 0;
}

/** What was cut off by the relay's end was not given up on. */
function isUndone(outcome: Exclude<Outcome<unknown>, { kind: 'ok' }>, signal: AbortSignal): boolean {
  return outcome.failure.class === 'rejected' || (signal.aborted && outcome.failure.class !== 'permanent');
}

/**
 * In turn, with at most one event of a key each: a sink that may take a part of a call would else write the second event of a key
 * where the first has failed.
 */
function wavesOf(records: readonly OutboxRecord[]): OutboxRecord[][] {
  const waves: OutboxRecord[][] = [];
  const seen = new Map<string, number>();
  for (const record of records) {
    const wave = record.key === undefined ? 0 : (seen.get(record.key) ?? 0);
    if (record.key !== undefined) seen.set(record.key, wave + 1);
    waves[wave] ??= [];
    waves[wave].push(record);
  }
  return waves;
}

/** Counts the attempts of each event. A sink that says "never tried" is asked again: nothing else would deliver the event. */
function counting(sink: Sink<OutboxRecord, unknown>, env: Env): Sink<OutboxRecord, unknown> {
  return {
    async write(records, context) {
      const now = env.clock.wall();
      for (const item of context.entries as unknown as readonly OutboxItem[]) {
        item.attempts++;
        if (item.firstTriedAt === 0) item.firstTriedAt = now;
      }
      try {
        const results = await sink.write(records, context);
        return Array.isArray(results)
          ? results.map((result) => (result instanceof Error ? tryAgain(result, 'permanent') : result))
          : results;
      } catch (thrown) {
        throw tryAgain(thrown, 'transient');
      }
    },
  };
}

/** Refused by the log before it was tried, and refused again however often. */
const hopeless: readonly string[] = ['INVALID_VALUE', 'ITEM_TOO_LARGE'];

function tryAgain(problem: unknown, fallback: 'permanent' | 'transient'): SluiceError {
  const failure = asFailure(problem, fallback);
  if (failure.class !== 'rejected') return failure;
  return asFailure(failure, fallback, { class: hopeless.includes(failure.code) ? 'permanent' : 'transient' });
}

function letterOf(item: OutboxItem, failure: SluiceError, env: Env): NewOutboxLetter {
  const { code, class: failureClass, message } = failure;
  return {
    ...item.value,
    code,
    class: failureClass,
    message,
    attempts: item.attempts,
    firstFailedAt: item.firstTriedAt,
    lastFailedAt: env.clock.wall(),
  };
}
