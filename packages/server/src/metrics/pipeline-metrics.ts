/** Pipeline metrics: what each pipeline does with its batches, and how far behind it is. */

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type SluiceEvent, tallyImbalance } from 'sluice';
import type { Pipeline } from '../pipelines/pipeline.js';
import { setCounter } from './set-counter.js';

/** The metrics of all pipelines. */
export interface PipelineMetrics {
  observe(pipeline: string, event: SluiceEvent): void;
  read(pipelines: readonly Pipeline[]): Promise<void>;
}

const breakerStates = { closed: 0, halfOpen: 1, open: 2 } as const;

/** Registers them. */
export function pipelineMetrics(registry: Registry): PipelineMetrics {
  const counted = counters(registry);
  const shown = gauges(registry);
  return {
    observe(pipeline, event) {
      switch (event.type) {
        case 'cut':
          counted.batchSize.observe({ pipeline }, event.items);
          counted.flushReason.inc({ pipeline, reason: event.reason });
          return;
        case 'settled':
          return counted.flushDuration.observe({ pipeline }, event.durationMs / 1000);
        case 'called':
          return counted.calls.observe({ pipeline, result: event.ok ? 'ok' : 'failed' }, event.durationMs / 1000);
        case 'begun':
          if (event.slotWaitMs > 0) counted.slotWait.observe({ pipeline }, event.slotWaitMs / 1000);
          return;
        case 'retry':
          counted.retries.inc({ pipeline, class: event.failureClass });
          return counted.retriedItems.inc({ pipeline }, event.items);
        case 'bisect':
          return counted.bisected.inc({ pipeline });
        case 'abandoned':
          return shown.abandoned.inc({ pipeline });
        case 'late':
          return shown.abandoned.dec({ pipeline });
        case 'breaker':
          return shown.breaker.set({ pipeline }, breakerStates[event.state]);
        case 'alarm':
          return counted.alarms.inc({ pipeline, code: event.code });
        default:
      }
    },
    async read(pipelines) {
      shown.forget(new Set(pipelines.map(({ name }) => name)));
      for (const { name: pipeline, consumer, state, problem } of pipelines) {
        const { tally, aheadBytes, maxAheadBytes } = consumer.status();
        const lag = await consumer.lag();
        shown.queueDepth.set({ pipeline }, tally.held);
        shown.inFlight.set({ pipeline }, tally.inFlight);
        shown.lagItems.set({ pipeline }, lag.items);
        shown.lagBytes.set({ pipeline }, lag.bytes);
        shown.lagSeconds.set({ pipeline }, lag.oldestMs / 1000);
        shown.imbalance.set({ pipeline }, tallyImbalance(tally));
        shown.ahead.set({ pipeline }, aheadBytes / maxAheadBytes);
        shown.delivering.set({ pipeline }, problem() === undefined && state !== 'paused' && state !== 'changing' ? 1 : 0);
        for (const outcome of ['ok', 'failed', 'dead', 'cancelled', 'dropped'] as const)
          setCounter(counted.items, { pipeline, outcome }, tally[outcome]);
      }
    },
  };
}

const labelNames = ['pipeline'];
const name = (text: string) => `sluice_${text}`;
/** From a quick flush on loopback to a drain that takes its whole deadline. */
const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

function counters(registry: Registry) {
  const registers = [registry];
  return {
    batchSize: new Histogram({
      name: name('batch_size'),
      help: 'Items in a batch when it was cut. Near maxItems: throughput-bound, the size trigger fires; near 1: low traffic, the time trigger fires.',
      ...{ labelNames, registers },
      buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000],
    }),
    flushDuration: new Histogram({
      name: name('flush_duration_seconds'),
      help: 'From cut to settle of a batch, retries included.',
      ...{ labelNames, registers, buckets: seconds },
    }),
    calls: new Histogram({
      name: name('sink_call_seconds'),
      help: 'One call of the sink, by result.',
      ...{ labelNames: ['pipeline', 'result'], registers, buckets: seconds },
    }),
    slotWait: new Histogram({
      name: name('flush_slot_wait_seconds'),
      help: 'How long a batch that was due waited for a free call; its count is how often one had to. Grows when the sink or its pool is too small.',
      ...{ labelNames, registers, buckets: seconds },
    }),
    flushReason: new Counter({
      name: name('flush_reason_total'),
      help: 'Batches by the bound that cut them.',
      labelNames: ['pipeline', 'reason'],
      registers,
    }),
    retries: new Counter({
      name: name('retries_total'),
      help: 'Batches that were tried again, by failure class.',
      labelNames: ['pipeline', 'class'],
      registers,
    }),
    retriedItems: new Counter({
      name: name('retried_items_total'),
      help: 'Records that were tried again.',
      labelNames,
      registers,
    }),
    bisected: new Counter({
      name: name('bisects_total'),
      help: 'Batches that were split to find a bad record.',
      labelNames,
      registers,
    }),
    alarms: new Counter({
      name: name('alarms_total'),
      help: 'Times a pipeline began to hold records until somebody does something, by code.',
      labelNames: ['pipeline', 'code'],
      registers,
    }),
    items: new Counter({
      name: name('items_total'),
      help: 'Records by outcome since the start.',
      labelNames: ['pipeline', 'outcome'],
      registers,
    }),
  };
}

function gauges(registry: Registry) {
  const gauge = (text: string, help: string) => new Gauge({ name: name(text), help, labelNames, registers: [registry] });
  const all = {
    queueDepth: gauge('queue_depth', 'Records held in memory, not yet dispatched.'),
    inFlight: gauge('in_flight', 'Records dispatched and not settled.'),
    abandoned: gauge('abandoned_calls', 'Sink calls that still run after their time-out.'),
    breaker: gauge('breaker_state', 'The breaker: 0 closed, 1 half open, 2 open.'),
    lagItems: gauge('lag_items', 'Records in the log that the pipeline has not settled.'),
    lagBytes: gauge('lag_bytes', 'Their bytes.'),
    lagSeconds: gauge('lag_seconds', 'Age of the oldest of them: how stale the sink is.'),
    imbalance: gauge('tally_imbalance', 'How far the tally is from its balance. Always 0.'),
    ahead: gauge('read_ahead_used_ratio', 'Share of maxAheadBytes in use.'),
    delivering: gauge('pipeline_delivering', '1 while it delivers, 0 while it is paused or something keeps it from delivering.'),
  };
  const seen = new Set<string>();
  return {
    ...all,
    /** What was a pipeline and is none any more must not be shown for ever. */
    forget(present: ReadonlySet<string>) {
      for (const pipeline of seen) if (!present.has(pipeline)) for (const one of Object.values(all)) one.remove({ pipeline });
      seen.clear();
      for (const pipeline of present) seen.add(pipeline);
    },
  };
}
