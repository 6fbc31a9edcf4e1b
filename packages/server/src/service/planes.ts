/** Planes: the gateway and the control plane, which take traffic before the pipeline has started. */

import type { Consumer, Log } from 'sluice/log';
import { type Control, createControl } from '../control/control.js';
import { createGateway, type Gateway, type GatewayLogger, type Readiness } from '../gateway/gateway.js';
import type { ReadKeys } from '../gateway/read.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Preparation } from './preparation.js';
import type { Settings } from './settings.js';

/** What the planes are made of. */
export interface PlaneParts {
  readonly settings: Settings;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly logger: GatewayLogger;
  readonly read: ReadKeys;
  /** The stream that has a pipeline. */
  readonly stream: string;
}

/** The pipeline, once it runs. */
export interface Pipeline {
  readonly consumer: Consumer;
  readonly preparation: Preparation;
}

/** Both planes. */
export interface Planes {
  readonly gateway: Gateway;
  readonly control: Control;
  /** Tells them of the pipeline: until then `ack=committed` waits, and they are not ready. */
  attach(pipeline: Pipeline): void;
}

/**
 * Starts both planes.
 *
 * @throws SluiceError `LISTEN_FAILED`
 */
export async function startPlanes({ settings, log, metrics, logger, read, stream }: PlaneParts): Promise<Planes> {
  let pipeline: Pipeline | undefined;
  let attach!: (started: Pipeline) => void;
  const attached = new Promise<Pipeline>((resolve) => {
    attach = (started) => {
      pipeline = started;
      resolve(started);
    };
  });
  const ready = () => readiness(pipeline);
  const gateway = await createGateway({
    log,
    host: settings.host,
    port: settings.port,
    read,
    ready,
    logger,
    settled: (name) =>
      name === stream
        ? async (partition, offset, signal) => (await attached).consumer.settled(partition, offset, signal)
        : undefined,
  });
  try {
    const consumer = () => pipeline?.consumer;
    const text = () => metrics.text({ log, consumer, gateway: () => gateway });
    const control = await createControl({
      log,
      consumer,
      ready,
      metrics: { contentType: metrics.contentType, text },
      host: '127.0.0.1',
      port: settings.controlPort,
    });
    return { gateway, control, attach };
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

function readiness(pipeline: Pipeline | undefined): Readiness {
  const notReady = (reason: string) => ({ ok: false, reasons: [`${reason}; events are kept in the log`] });
  if (pipeline === undefined) return notReady('the pipeline has not started yet');
  const { problem, state, broken } = pipeline.consumer.status();
  if (broken !== undefined) return notReady(`the pipeline has stopped (${broken.message})`);
  if (state !== 'running') return notReady(`the pipeline is ${state}`);
  if (problem !== undefined) return notReady(`PostgreSQL does not take events (${problem.code}: ${problem.message})`);
  if (pipeline.preparation.problem !== undefined)
    return notReady(`PostgreSQL cannot be used yet (${pipeline.preparation.problem})`);
  return { ok: true, reasons: [] };
}
