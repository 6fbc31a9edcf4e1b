/** Planes: the gateway and the control plane, which take traffic before the pipelines have started. */

import type { Env } from 'sluice';
import type { Log } from 'sluice/log';
import type { Config } from '../config/config.js';
import { type Control, createControl } from '../control/control.js';
import { createAdmission } from '../gateway/admission.js';
import { createCallers } from '../gateway/caller.js';
import type { StreamRules } from '../gateway/events-route.js';
import { createGateway, type Gateway, type GatewayLogger, type Readiness } from '../gateway/gateway.js';
import type { ReadKeys } from '../gateway/read.js';
import type { Settled } from '../gateway/receive.js';
import type { Metrics } from '../metrics/metrics.js';
import { version } from '../version.js';
import type { Pipelines } from './pipelines.js';

/** What the planes are made of. */
export interface PlaneParts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly logger: GatewayLogger;
  readonly read: ReadKeys;
  readonly streams: ReadonlyMap<string, StreamRules>;
  readonly env: Env;
}

/** Both planes. */
export interface Planes {
  readonly gateway: Gateway;
  readonly control: Control;
  /** Tells them of the pipelines: until then `ack=committed` waits, and they are not ready. */
  attach(pipelines: Pipelines): void;
}

/**
 * Starts both planes.
 *
 * @throws SluiceError `LISTEN_FAILED`
 */
export async function startPlanes({ config, streams, log, metrics, logger, read, env }: PlaneParts): Promise<Planes> {
  let pipelines: Pipelines | undefined;
  let attach!: (started: Pipelines) => void;
  const attached = new Promise<Pipelines>((resolve) => {
    attach = (started) => {
      pipelines = started;
      resolve(started);
    };
  });
  const readStreams = new Set(Object.entries(config.pipelines).map(([name, { stream = name }]) => stream));
  const waitForPipelines =
    (stream: string): Settled =>
    async (partition, offset, signal) => {
      const settled = (await attached).settled(stream)!;
      return settled(partition, offset, signal);
    };
  const ready = () => readiness(pipelines);
  const all = () => pipelines?.all ?? [];
  const { host, port, ackTimeoutMs, ...limits } = config.gateway;
  const callers = createCallers(config.keys);
  const admission = createAdmission({ tenants: config.tenants, maxHeldItems: config.log.maxHeldItems, clock: env.clock });
  const gateway = await createGateway({
    callers,
    admission,
    version,
    streams: (stream) => streams.get(stream),
    ...{ log, host, port, limits, ackTimeoutMs, read, ready, logger },
    settled: (stream) => pipelines?.settled(stream) ?? (readStreams.has(stream) ? waitForPipelines(stream) : undefined),
  });
  try {
    const text = () => metrics.text({ log, pipelines: all(), gateway });
    const control = await createControl({
      log,
      pipelines: all,
      ready,
      authorize: ({ headers }) => {
        if (config.keys.some(({ scopes }) => scopes.includes('admin'))) callers.of(headers, 'admin');
      },
      metrics: { contentType: metrics.contentType, text },
      ...config.control,
    });
    return { gateway, control, attach };
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

function readiness(pipelines: Pipelines | undefined): Readiness {
  const problems = pipelines === undefined ? ['the pipelines have not started yet'] : pipelines.problems();
  return { ok: problems.length === 0, reasons: problems.map((problem) => `${problem}; events are kept in the log`) };
}
