/** The engine of a consumer: a record on its way from the log to the sink, and how it is settled. */

import type { Sink } from '../core/dispatcher.js';
import { asFailure, type SluiceError } from '../core/errors.js';
import type { SluiceEvent } from '../core/event.js';
import { numberOption } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { Engine } from '../engine/engine.js';
import { EngineItem } from '../engine/item.js';
import type { Env } from '../env/env.js';
import { bisect } from '../layers/bisect.js';
import { limit } from '../layers/limit.js';
import { retry } from '../layers/retry.js';
import { timeout } from '../layers/timeout.js';
import type { ConsumerOptions } from './consumer.js';
import { type FailedTry, maxTries } from './dead-letter.js';
import type { LogRecord } from './record.js';
import type { Settlement, Settler } from './settler.js';

/** A record on its way, with what a dead letter must know of its failures. */
export class RecordItem extends EngineItem<LogRecord> {
  attempts = 0;
  timeouts = 0;
  firstTriedAt = 0;
  readonly tries: FailedTry[] = [];

  constructor(record: LogRecord) {
    super(record, record.payload.byteLength);
  }
}

/** Notes a failed try; of many, the first and the latest are kept. */
function noteTry(item: RecordItem, { class: failureClass, code, message }: SluiceError, at: number): void {
  if (item.tries.length === maxTries) item.tries.splice(maxTries / 4, 1);
  item.tries.push({ at, class: failureClass, code, message });
}

/** The engine of a consumer: retry until it succeeds, bisect what is refused, limit, time-out, sink. */
export function recordEngine(
  options: ConsumerOptions,
  env: Env,
  settler: Settler,
  observe: (event: SluiceEvent) => void,
): Engine<LogRecord, unknown, RecordItem> {
  const at = (name: string) => `createConsumer: ${name}`;
  const count = { least: 1, whole: true };
  const maxInFlight = numberOption(at('maxInFlight'), options.maxInFlight, 4, count);
  const layers = [
    // The pauses stay short: a database that is back is to be used at once, by a drain too. What waits for a retry is bounded by
    // maxHeldItems; given up, it would be parked though the sink may come back.
    retry<LogRecord, unknown>({
      maxDelayMs: 1_000,
      ...options.retry,
      maxAttempts: Number.POSITIVE_INFINITY,
      maxWaiting: Number.POSITIVE_INFINITY,
      holdBlocked: true,
    }),
    // Without a bound but its own, two calls an item: a good record is never parked for its neighbours.
    bisect<LogRecord, unknown>({ maxExtraCalls: Number.POSITIVE_INFINITY }),
    limit<LogRecord, unknown>({ maxInFlight }),
    timeout<LogRecord, unknown>({
      timeoutMs: numberOption(at('timeoutMs'), options.timeoutMs, 30_000, { least: 1 }),
      maxAbandoned: maxInFlight,
    }),
  ];
  const watched: Env = {
    clock: env.clock,
    random: env.random,
    neutral: env.neutral,
    observe(event) {
      observe(event);
      env.observe(event);
    },
  };
  return new Engine<LogRecord, unknown, RecordItem>({
    name: `${options.group}/${options.stream}`,
    env: watched,
    window: options.window ?? { maxDelayMs: 50 },
    maxItems: numberOption(at('maxItems'), options.maxItems, 2000, count),
    maxBytes: numberOption(at('maxBytes'), options.maxBytes, 4 << 20, count),
    maxHeldItems: numberOption(at('maxHeldItems'), options.maxHeldItems, 20_000, count),
    maxHeldBytes: numberOption(at('maxHeldBytes'), options.maxHeldBytes, 64 << 20, count),
    maxWaiting: 1,
    idempotent: options.sink.idempotent === true,
    dispatcher: (engineEnv) => stack(layers, sinkDispatcher(countingAttempts(options.sink, env), engineEnv), engineEnv),
    settle: (item, outcome) => settleRecord(item, outcome, settler, env),
  });
}

/** Counts the attempts of each record. A sink that says "never tried" is asked again: nothing else would settle the record. */
function countingAttempts(sink: Sink<LogRecord, unknown>, env: Env): Sink<LogRecord, unknown> {
  return {
    async write(records, context) {
      const now = env.clock.wall();
      const items = context.entries as unknown as readonly RecordItem[];
      for (const item of items) {
        item.attempts++;
        if (item.firstTriedAt === 0) item.firstTriedAt = now;
      }
      try {
        const results = await sink.write(records, context);
        if (!Array.isArray(results)) return results;
        return results.map((result, i) => {
          if (!(result instanceof Error)) return result;
          const problem = tryAgain(asFailure(result, 'permanent'));
          const item = items[i];
          if (item !== undefined) noteTry(item, problem, env.clock.wall());
          return problem;
        });
      } catch (thrown) {
        const problem = tryAgain(thrown);
        for (const item of items) noteTry(item, problem, env.clock.wall());
        throw problem;
      }
    },
  };
}

function tryAgain(problem: unknown): SluiceError {
  const failure = asFailure(problem, 'transient');
  return failure.class === 'rejected' ? asFailure(failure, 'transient', { class: 'transient' }) : failure;
}

function settleRecord(item: RecordItem, outcome: Outcome<unknown>, settler: Settler, env: Env): void {
  const record = item.value;
  if (outcome.kind === 'ok') {
    settler.settle({ offset: record.offset, kind: 'ok' });
    return;
  }
  const { failure } = outcome;
  // What was never tried, or was cut off by a shutdown, stays in the log; what retry has given up on is parked.
  if (failure.class === 'rejected' || failure.code === 'SHUTDOWN_TIMEOUT') return;
  if (failure.code === 'TIMEOUT') item.timeouts++;
  settler.settle(deadRecord(record, failure, item, item.firstTriedAt, env));
}

/** The settlement that parks a record. */
export function deadRecord(
  record: LogRecord,
  failure: SluiceError,
  { attempts, timeouts, tries }: Pick<RecordItem, 'attempts' | 'timeouts' | 'tries'>,
  firstFailedAt: number,
  env: Env,
): Settlement {
  const { code, class: failureClass, message } = failure;
  return {
    offset: record.offset,
    kind: 'dead',
    letter: {
      ...{ record, code, class: failureClass, message, attempts, timeouts, crashes: 0, tries },
      firstFailedAt,
      lastFailedAt: env.clock.wall(),
    },
  };
}
