/** Planes: the gateway and the control plane, which take traffic before the pipelines have started. */

import type { Env } from 'sluice';
import type { Log } from 'sluice/log';
import type { Config } from '../config/config.js';
import { type Control, createControl } from '../control/control.js';
import { createAdmission } from '../gateway/admission.js';
import { createCallers } from '../gateway/caller.js';
import type { Settled } from '../gateway/committed.js';
import type { StreamRules } from '../gateway/events-route.js';
import { createGateway, type Gateway, type GatewayLogger, type Readiness } from '../gateway/gateway.js';
import type { ReadKeys } from '../gateway/read.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Outboxes } from '../outboxes/outboxes.js';
import { version } from '../version.js';
import type { Live } from './live.js';
import type { LogBound } from './log-bound.js';
import type { Pipelines } from './pipelines.js';

/** What the planes are made of. */
export interface PlaneParts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly logger: GatewayLogger;
  readonly read: ReadKeys;
  readonly streams: ReadonlyMap<string, StreamRules>;
  /** Called when an operator wants the service to stop in order. */
  readonly drain: () => void;
  readonly bound: Pick<LogBound, 'fullForMs' | 'problem'>;
  readonly env: Env;
}

/** Both planes. */
export interface Planes {
  readonly gateway: Gateway;
  readonly control: Control;
  /** Tells them of the pipelines and outboxes: until then `ack=committed` waits, and they are not ready. */
  attach(pipelines: Pipelines, outboxes: Outboxes, live: Live): void;
  /** Takes other limits, keys, tenants and stream rules from now on. */
  configure(config: Config, rules: ReadonlyMap<string, StreamRules>): void;
}

/**
 * Starts both planes.
 *
 * @throws SluiceError `LISTEN_FAILED`
 */
export async function startPlanes(parts: PlaneParts): Promise<Planes> {
  const { log, metrics, logger, read, drain, bound, env } = parts;
  let { config, streams } = parts;
  let pipelines: Pipelines | undefined;
  let outboxes: Outboxes | undefined;
  let live: Live | undefined;
  const settledBy =
    (stream: string): Settled =>
    (records, givenUp) =>
      pipelines?.settled(stream)?.(records, givenUp) ?? settledLater(stream, records, givenUp);
  /** Its pipeline starts, or is being changed. */
  const settledLater = async (stream: string, ...[records, givenUp]: Parameters<Settled>): ReturnType<Settled> => {
    let isGivenUp = false;
    let lookAgain = () => {};
    givenUp(() => {
      isGivenUp = true;
      lookAgain();
    });
    while (!isGivenUp) {
      await new Promise<void>((resolve) => {
        lookAgain = resolve;
        env.clock.after(pauseMs, resolve);
      });
      const settled = pipelines?.settled(stream);
      if (settled !== undefined) return settled(records, givenUp);
    }
    return records.map(() => undefined);
  };
  // One wait a stream, made once: each request asks for it.
  let waits = settledWaits(config, settledBy);
  const ready = () => readiness(bound.problem, pipelines, outboxes);
  const all = () => pipelines?.all ?? [];
  const callers = createCallers(config.keys);
  const admission = createAdmission({ tenants: config.tenants, maxHeldItems: config.log.maxHeldItems, clock: env.clock });
  const gateway = await createGateway({
    ...{ log, callers, admission, version, read, ready, logger },
    logFullForMs: () => bound.fullForMs,
    ...gatewaySettings(config),
    streams: (stream) => streams.get(stream),
    settled: (stream) => waits.get(stream),
    groups: (stream) => all().flatMap((pipeline) => (pipeline.stream === stream ? [pipeline.group] : [])),
  });
  const sources = () => ({
    ...{ log, pipelines: all(), outboxes: outboxes?.all ?? [], gateway, admission, ready: ready().ok },
    restartDue: live?.restartDue.length ?? 0,
    // Those that the log was opened with: another bound needs a restart.
    bounds: { maxHeldItems: parts.config.log.maxHeldItems, maxLetters: parts.config.log.deadLetters.maxItems },
  });
  try {
    const control = await createControl({
      ...{ log, ready, live: () => live, pipelines: all, outboxes: () => outboxes?.all ?? [], admission, drain },
      callers: () => (config.keys.some(({ scopes }) => scopes.includes('admin')) ? callers : undefined),
      metrics: { contentType: metrics.contentType, text: () => metrics.text(sources()) },
      ...config.control,
    });
    return {
      ...{ gateway, control },
      attach(started, itsOutboxes, itsLive) {
        pipelines = started;
        outboxes = itsOutboxes;
        live = itsLive;
      },
      configure(next, rules) {
        config = next;
        streams = rules;
        waits = settledWaits(next, settledBy);
        callers.configure(next.keys);
        admission.configure(next.tenants);
        gateway.configure(gatewaySettings(next));
      },
    };
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

/** Streams that pipelines read, and how to wait for these. */
function settledWaits({ pipelines }: Config, settledBy: (stream: string) => Settled): ReadonlyMap<string, Settled> {
  const streams = Object.entries(pipelines).map(([name, { stream = name }]) => stream);
  return new Map(streams.map((stream) => [stream, settledBy(stream)]));
}

function gatewaySettings({ gateway }: Config) {
  const { host, port, ackTimeoutMs, maxConnections, publicWithoutKeys: _said, ...limits } = gateway;
  return { host, port, ackTimeoutMs, maxConnections, limits };
}

/** How soon to look again for a pipeline, in milliseconds. */
const pauseMs = 50;

function readiness(full: string | undefined, pipelines: Pipelines | undefined, outboxes: Outboxes | undefined): Readiness {
  const problems = pipelines === undefined ? ['the pipelines have not started yet'] : pipelines.problems();
  const reasons = [
    ...(full === undefined ? [] : [full]),
    ...problems.map((problem) => `${problem}; events are kept in the log`),
    ...(outboxes?.problems() ?? []),
  ];
  return { ok: reasons.length === 0, reasons };
}
