/** The engine of a consumer: lanes that keep the order, retry, bisect, limit, time-out, sink. */

import type { Layer } from '../core/dispatcher.js';
import type { SluiceEvent } from '../core/event.js';
import type { Outcome } from '../core/outcome.js';
import { shardOf } from '../core/shard-of.js';
import { sinkDispatcher, stack } from '../core/stack.js';
import { Engine } from '../engine/engine.js';
import { haltAtFailure } from '../engine/halts.js';
import type { Lane } from '../engine/lane.js';
import { manyLanes } from '../engine/lanes.js';
import type { Env } from '../env/env.js';
import { bisect } from '../layers/bisect.js';
import { breakerOfOwned } from '../layers/breaker.js';
import { limit } from '../layers/limit.js';
import { observe } from '../layers/observe.js';
import { rate } from '../layers/rate.js';
import { retryOfOwned } from '../layers/retry.js';
import { timeout } from '../layers/timeout.js';
import type { ConsumerOptions, ConsumerSettings } from './consumer-options.js';
import { deadLetterId } from './dead-letter.js';
import type { LogRecord } from './record.js';
import type { RecordItem } from './record-item.js';
import { markingCalls, noteTries } from './try-notes.js';

/** The engine of a consumer. */
export type ConsumerEngine = Engine<LogRecord, unknown, RecordItem>;

/** The lane of a partition under strict order. */
export function laneOfPartition(partition: number): string {
  return `p${partition}`;
}

const unbounded = { maxHeldItems: Number.POSITIVE_INFINITY, maxHeldBytes: Number.POSITIVE_INFINITY };

/** What an engine tells its consumer. */
export interface ConsumerEngineEvents {
  settle(item: RecordItem, outcome: Outcome<unknown>): void;
  /** After a batch, or what a drain has dropped. */
  settled(): void;
  observe(event: SluiceEvent): void;
  /** Where it has a breaker: `probe` makes that call the sink again at once. */
  mayProbe(probe: () => void): void;
  /** A batch of a lane has been cut. */
  cut(lane: Lane<LogRecord>): void;
  /** Stands beneath retry. */
  readonly calls: Layer<LogRecord, unknown>;
}

/**
 * Makes the engine of a consumer. What it may hold is bounded by what its readers read ahead.
 *
 * Order: with `strict` each partition is a lane, else the keys are spread over lanes; such a lane has one batch unsettled at a time. Records
 * without a key share a lane that has no such bound.
 */
export function consumerEngine(
  options: ConsumerOptions,
  settings: ConsumerSettings,
  env: Env,
  events: ConsumerEngineEvents,
): ConsumerEngine {
  const { strict, shards } = settings;
  const { sink, group, stream } = options;
  const watched: Env = {
    clock: env.clock,
    random: env.random,
    neutral: (fn) => env.neutral(fn),
    observe(event) {
      events.observe(event);
      env.observe(event);
    },
  };
  const layers = layersOf(options, settings, events);
  const atomic = sink.atomic === true;
  return new Engine<LogRecord, unknown, RecordItem>({
    name: `${group}/${stream}`,
    env: watched,
    window: settings.window,
    maxItems: strict !== undefined && !atomic ? 1 : settings.maxItems,
    maxBytes: settings.maxBytes,
    ...unbounded,
    idempotent: sink.idempotent === true,
    lanes: manyLanes({
      laneOf: (record) => {
        if (strict !== undefined) return laneOfPartition(record.partition);
        return record.key === null ? '' : `k${shardOf(record.key, shards)}`;
      },
      maxLanes: Number.POSITIVE_INFINITY,
      weightOf: () => 1,
      maxInFlightOf: (lane) => (lane === '' ? Number.POSITIVE_INFINITY : 1),
      held: unbounded,
    }),
    // A part of a batch may fail, and be tried again behind the rest of it: then no two records of a key may travel together.
    ...(atomic || strict !== undefined ? {} : { orderKeyOf: (record: LogRecord) => record.key ?? undefined }),
    onCounted: strict === 'halt' ? haltAtFailure : undefined,
    dispatcher: (engineEnv) => stack(layers, sinkDispatcher(markingCalls(sink), engineEnv), engineEnv),
    onCut: (items) => events.cut(items[0]!.lane!),
    settle: events.settle,
    onSettled: events.settled,
  });
}

function layersOf(
  options: ConsumerOptions,
  settings: ConsumerSettings,
  { mayProbe, calls }: ConsumerEngineEvents,
): Layer<LogRecord, unknown>[] {
  const { strict, maxInFlight, timeoutMs } = settings;
  return [
    ...(strict === 'halt' ? [] : [countAsDead(options.group)]),
    // The pauses stay short: a database that is back is to be used at once, by a drain too. What waits for a retry is bounded by what is
    // read ahead; given up, it would be parked though the sink may come back.
    // What goes to another owner must not come from here once more: it is refused, with all that is sent beside it, or comes too late.
    retryOfOwned<LogRecord, unknown>({
      maxDelayMs: 1_000,
      maxAttempts: Number.POSITIVE_INFINITY,
      ...settings.retry,
      maxWaiting: Number.POSITIVE_INFINITY,
      holdBlocked: true,
    }),
    calls,
    // Without a bound but its own, two calls an item: a good record is never parked for its neighbours.
    bisect<LogRecord, unknown>({
      maxExtraCalls: Number.POSITIVE_INFINITY,
      inOrder: strict === 'halt' ? 'halt' : 'goOn',
    }),
    ...(options.breaker === undefined
      ? []
      : [breakerOfOwned<LogRecord, unknown>({ ...options.breaker, open: 'wait' }, mayProbe)]),
    // Beneath breaker and retry: how long batches wait for a call, of which the pool of the sink may be the reason.
    observe<LogRecord, unknown>({ label: 'sink' }),
    limit<LogRecord, unknown>({ maxInFlight }),
    ...(options.rate === undefined ? [] : [rate<LogRecord, unknown>(options.rate)]),
    noteTries<unknown>(),
    timeout<LogRecord, unknown>({ timeoutMs, maxAbandoned: maxInFlight }),
  ];
}

/** What retry has given up will be parked: it counts as dead, not as failed. What was never tried is neither. */
function countAsDead(group: string): Layer<LogRecord, unknown> {
  return (inner) => ({
    ready: (lane) => inner.ready(lane),
    async dispatch(batch, context) {
      const outcomes = await inner.dispatch(batch, context);
      if (outcomes.every((outcome) => outcome.kind === 'ok')) return outcomes;
      return outcomes.map((outcome, i): Outcome<unknown> => {
        if (outcome.kind !== 'failed' || outcome.failure.class === 'rejected') return outcome;
        const { stream, partition, offset } = batch.items[i]!.value;
        const deadLetter = deadLetterId(group, stream, partition, offset);
        return { kind: 'dead', failure: outcome.failure, deadLetterId: deadLetter };
      });
    },
  });
}
