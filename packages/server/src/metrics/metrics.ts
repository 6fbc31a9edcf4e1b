/** Metrics in the Prometheus format, derived from the library's events and from what log, pipelines and gateway say of themselves. */

import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { SluiceEvent } from 'sluice';
import type { Admission } from '../gateway/admission.js';
import type { Gateway } from '../gateway/gateway.js';
import type { RunningOutbox } from '../outboxes/outboxes.js';
import type { Pipeline } from '../pipelines/pipeline.js';
import { version } from '../version.js';
import { gatewayMetrics } from './gateway-metrics.js';
import { type LogSources, logMetrics } from './log-metrics.js';
import { outboxMetrics } from './outbox-metrics.js';
import { pipelineMetrics } from './pipeline-metrics.js';

/** What the metrics are read from, at each scrape. */
export interface MetricSources extends LogSources {
  readonly pipelines: readonly Pipeline[];
  readonly outboxes: readonly RunningOutbox[];
  readonly gateway: Gateway;
  readonly admission: Admission;
  readonly ready: boolean;
  /** Options that wait for a restart. */
  readonly restartDue: number;
}

/** The metrics of a service. */
export interface Metrics {
  readonly contentType: string;
  /** The library's events go here; those of a pipeline with its name. */
  observe(event: SluiceEvent, pipeline?: string): void;
  /** The text of one scrape. */
  text(sources: MetricSources): Promise<string>;
}

/** Makes the metrics of one service. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  // Among them the lag of the event loop, the heap and the garbage collector.
  collectDefaultMetrics({ register: registry });
  // Gauges with the ending of a counter: promtool refuses them. Without the ending there is the same by type.
  for (const kind of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${kind}_total`);
  const registers = [registry];
  const ready = new Gauge({
    name: 'sluice_ready',
    help: '1 while every pipeline delivers, and every outbox is relayed.',
    registers,
  });
  const restartDue = new Gauge({
    name: 'sluice_restart_due',
    help: 'Options that a reload has changed and that are not in use before a restart.',
    registers,
  });
  new Gauge({ name: 'sluice_info', help: 'Always 1; its label is the version.', labelNames: ['version'], registers }).set(
    { version },
    1,
  );
  const readGateway = gatewayMetrics(registry);
  const ofLog = logMetrics(registry);
  const ofPipelines = pipelineMetrics(registry);
  const readOutboxes = outboxMetrics(registry);
  return {
    contentType: registry.contentType,
    observe(event, pipeline) {
      if (pipeline === undefined) ofLog.observe(event);
      else ofPipelines.observe(pipeline, event);
    },
    async text(sources) {
      ready.set(sources.ready ? 1 : 0);
      restartDue.set(sources.restartDue);
      readGateway(sources.gateway, sources.admission);
      readOutboxes(sources.outboxes);
      await ofLog.read(sources);
      await ofPipelines.read(sources.pipelines);
      return registry.metrics();
    },
  };
}
