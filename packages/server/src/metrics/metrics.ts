/** Metrics in the Prometheus format, derived from the library's events and from what log, pipelines and gateway say of themselves. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type SluiceEvent, tallyImbalance } from 'sluice';
import type { Log } from 'sluice/log';
import type { Gateway } from '../gateway/gateway.js';
import type { Pipeline } from '../pipelines/pipeline.js';

/** What the metrics are read from, at each scrape. */
export interface MetricSources {
  readonly log: Log;
  readonly pipelines: readonly Pipeline[];
  readonly gateway: Gateway;
}

/** The metrics of a service. */
export interface Metrics {
  readonly contentType: string;
  /** The library's events go here. */
  observe(event: SluiceEvent): void;
  /** The text of one scrape. */
  text(sources: MetricSources): Promise<string>;
}

const prefix = 'sluice_';

/**
 * Makes the metrics of one service.
 *
 * @param pipelineOf the pipeline whose consumer gives its events this name.
 */
export function createMetrics(pipelineOf: (consumer: string) => string = (name) => name): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const labelNames = ['pipeline'];
  const batchSize = new Histogram({
    name: `${prefix}batch_size`,
    help: 'Items in a batch when it was cut.',
    labelNames,
    registers,
    buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000],
  }); // prettier-ignore
  const flushDuration = new Histogram({
    name: `${prefix}flush_duration_seconds`,
    help: 'From cut to settle of a batch, retries included.',
    labelNames,
    registers,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  }); // prettier-ignore
  const flushReason = new Counter({
    name: `${prefix}flush_reason_total`,
    help: 'Batches by the bound that cut them.',
    labelNames: ['pipeline', 'reason'],
    registers,
  });
  const retries = new Counter({
    name: `${prefix}retries_total`,
    help: 'Batches that were tried again, by failure class.',
    labelNames: ['class'],
    registers,
  });
  const abandoned = new Gauge({
    name: `${prefix}abandoned_calls`,
    help: 'Sink calls that still run after their time-out.',
    registers,
  });

  const gauge = (name: string, help: string) => new Gauge({ name: `${prefix}${name}`, help, registers });
  const ofPipeline = (name: string, help: string) => new Gauge({ name: `${prefix}${name}`, help, labelNames, registers });
  const queueDepth = ofPipeline('queue_depth', 'Records held in memory by the pipeline, not yet dispatched.');
  const inFlight = ofPipeline('in_flight', 'Records dispatched and not settled.');
  const lagItems = ofPipeline('lag_items', 'Records in the log that the pipeline has not settled.');
  const lagSeconds = ofPipeline('lag_seconds', 'Age of the oldest record that the pipeline has not settled.');
  const memoryOnly = gauge('log_memory_only_items', 'Events that exist in memory alone.');
  const deadLetters = gauge('dead_letters', 'Dead letters parked in the log.');
  const imbalance = ofPipeline('tally_imbalance', 'How far the tally is from its balance. Always 0.');
  const readInvalid = new Counter({
    name: `${prefix}read_invalid_total`,
    help: 'Keys of GET /read left out because the backend gave no number.',
    registers,
  });
  const items = new Counter({
    name: `${prefix}items_total`,
    help: 'Records by outcome since the start.',
    labelNames: ['pipeline', 'outcome'],
    registers,
  });
  const ingested = new Counter({
    name: `${prefix}ingested_items_total`,
    help: 'Items received over HTTP since the start, by what became of them.',
    labelNames: ['result'],
    registers,
  });

  return {
    contentType: registry.contentType,
    observe(event) {
      if (event.type === 'cut') {
        batchSize.observe({ pipeline: pipelineOf(event.name) }, event.items);
        flushReason.inc({ pipeline: pipelineOf(event.name), reason: event.reason });
      } else if (event.type === 'settled') flushDuration.observe({ pipeline: pipelineOf(event.name) }, event.durationMs / 1000);
      else if (event.type === 'retry') retries.inc({ class: event.failureClass });
      else if (event.type === 'abandoned') abandoned.inc();
      else if (event.type === 'late') abandoned.dec();
    },
    async text({ log, pipelines, gateway }) {
      for (const { name: pipeline, consumer } of pipelines) {
        const { tally } = consumer.status();
        const lag = await consumer.lag();
        queueDepth.set({ pipeline }, tally.held);
        inFlight.set({ pipeline }, tally.inFlight);
        lagItems.set({ pipeline }, lag.items);
        lagSeconds.set({ pipeline }, lag.oldestMs / 1000);
        imbalance.set({ pipeline }, tallyImbalance(tally));
        for (const outcome of ['ok', 'failed', 'dead', 'cancelled', 'dropped'] as const)
          setCounter(items, { pipeline, outcome }, tally[outcome]);
      }
      const { counters } = gateway;
      setCounter(readInvalid, {}, counters.readInvalid);
      for (const result of ['accepted', 'duplicates', 'rejected'] as const) setCounter(ingested, { result }, counters[result]);
      memoryOnly.set(log.memoryOnly);
      deadLetters.set(log.letters.items);
      return registry.metrics();
    },
  };
}

/** The count is kept elsewhere: the counter takes it over as it is. */
function setCounter<L extends string>(counter: Counter<L>, labels: Record<L, string>, value: number): void {
  counter.remove(labels);
  counter.inc(labels, value);
}
