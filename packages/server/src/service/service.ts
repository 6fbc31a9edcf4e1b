/** Service: everything that `sluice up` runs, started in order and stopped in order. */

import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pino } from 'pino';
import { type SluiceEvent, systemEnv } from 'sluice';
import { openLmdbLog } from 'sluice/lmdb';
import type { Log } from 'sluice/log';
import { noteLogEnds } from 'sluice/postgres';
import { startBackend } from '../backend/backend.js';
import type { Config } from '../config/config.js';
import type { Loaded } from '../config/load.js';
import { createMetrics } from '../metrics/metrics.js';
import { startOutboxes } from '../outboxes/outboxes.js';
import { plainMessage } from '../pipelines/plain-message.js';
import { createAlarms } from './alarms.js';
import { takeDataFolder } from './data-folder.js';
import { type Database, startDatabase, writesToServiceDatabase } from './database.js';
import { defineStreams } from './define-streams.js';
import { createLive, type Live } from './live.js';
import { watchLogBound } from './log-bound.js';
import { withTrail } from './log-trail.js';
import { withParkedWarnings } from './parked-warnings.js';
import { type Pipelines, startPipelines } from './pipelines.js';
import { startPlanes } from './planes.js';
import { createReads } from './reads.js';
import { type StopReport, stopService } from './stop.js';
import { streamRules } from './stream-rules.js';
import { createUndo, type Undo } from './undo.js';

/** A service that runs. */
export interface Service {
  readonly url: string;
  readonly controlUrl: string;
  readonly backendUrl: string;
  /** `undefined` when no pipeline needs one. */
  readonly databaseUrl: string | undefined;
  readonly databaseIsEmbedded: boolean;
  /** Why pipelines did not deliver at the start, if so: events are kept in the log until they do. */
  readonly problems: readonly string[];
  readonly dataDir: string;
  readonly log: Log;
  readonly pipelines: Pipelines;
  /** Its configuration, which may be changed while it runs. */
  readonly live: Live;
  /** Resolves when an operator wants it to stop in order. */
  readonly drainWanted: Promise<void>;
  /** Resolves with a sentence when it cannot take events any more. */
  readonly broken: Promise<string>;
  /** Stops the intake, puts what was accepted into the log, delivers it until the deadline, and closes everything. Idempotent. */
  stop(deadlineMs: number): Promise<StopReport>;
  /** What is at stake at this instant: for an exit that cannot wait. Also stops the embedded database at once. */
  abandon(): { readonly memoryOnly: number };
}

/**
 * Starts a service: data folder, log, read backend, gateway, control plane, database, pipelines, outboxes, in this order, so that it takes
 * traffic before the database is up.
 *
 * @throws SluiceError with one sentence that says what to do; what was started until then is stopped.
 */
export async function startService(loaded: Loaded): Promise<Service> {
  const undo = createUndo();
  try {
    return await start(loaded, undo);
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function start(loaded: Loaded, undo: Undo): Promise<Service> {
  const { config, folder: base } = loaded;
  // To standard error: standard output is for people.
  const logger = pino({ name: 'sluice', level: process.env.LOG_LEVEL ?? 'warn' }, pino.destination({ dest: 2, sync: true }));
  const metrics = createMetrics();
  const alarm = createAlarms(logger, () => env.clock);
  const env = systemEnv({ observe: (event) => metrics.observe(event) });
  const observe = (pipeline: string, event: SluiceEvent) => {
    metrics.observe(event, pipeline);
    alarm(pipeline, event);
    if (event.type === 'retry' && serverIsGone.test(event.code)) database?.revive();
  };
  let database: Database | undefined;
  let pipelines: Pipelines | undefined;
  let wantDrain!: () => void;
  const drainWanted = new Promise<void>((resolve) => {
    wantDrain = resolve;
  });
  const folder = await takeDataFolder(resolve(base, config.dataDir));
  undo.add(async () => folder.release());
  mkdirSync(join(folder.path, 'log'), { recursive: true, mode: 0o700 });
  const opened = withTrail(openLmdbLog({ path: join(folder.path, 'log'), env, ...logOptions(config.log) }), logger);
  const log = withParkedWarnings(opened, logger, env.clock);
  undo.add(() => log.close());
  await defineStreams(log, config.streams);
  // Before anybody can append: a log that was restored from a backup soon looks as long as the ledger says.
  await noteLogEnds(log);

  const bound = watchLogBound({ log, bounds: () => config.log, logger, clock: env.clock });
  undo.add(async () => bound.stop());

  const { upstreams } = config.reads;
  const backend = upstreams === undefined ? await startReferenceBackend() : undefined;
  if (backend !== undefined) undo.add(() => backend.close());
  const backendUrl = upstreams?.[0] ?? `http://127.0.0.1:${backend!.port}/read`;
  const reads = createReads(upstreams ?? [backendUrl], config.reads, env);
  undo.add(() => reads.close({ deadlineMs: 0 }));

  const planes = await startPlanes({
    config,
    streams: await streamRules(config.streams, base),
    log,
    metrics,
    logger,
    read: reads.read,
    drain: wantDrain,
    bound,
    env,
  });
  undo.add(() => planes.gateway.close());
  undo.add(() => planes.control.close());

  const started = await startDatabase(config, {
    ...{ dataDir: folder.path, logger, clock: env.clock },
    onBack: () => pipelines?.probe(writesToServiceDatabase),
  });
  database = started;
  undo.add(() => started.stop(0));
  const parts = { log, databaseUrl: started.url, streams: config.streams, folder: base, env, observe };
  const all = await startPipelines(config.pipelines, parts, ({ name, consumer }) => {
    void consumer.failed.then((error) =>
      logger.error(
        { code: error.code },
        `the pipeline ${name} has stopped: ${plainMessage(error)} Events are still kept in the log.`,
      ),
    );
  });
  pipelines = all;
  const outboxes = await startOutboxes(config.outboxes, {
    ...{ log, databaseUrl: started.url, env },
    isLogFull: () => bound.isFull,
    revive: started.revive,
  });
  const live = createLive(loaded, { log, planes, pipelines: all });
  planes.attach(all, outboxes, live);

  const running = { env, log, bound, pipelines: all, outboxes, ...planes, reads, backend, database: started, folder };
  let stopping: Promise<StopReport> | undefined;
  return {
    url: `http://${urlHost(config.gateway.host)}:${planes.gateway.port}`,
    controlUrl: `http://${urlHost(config.control.host)}:${planes.control.port}`,
    backendUrl,
    databaseUrl: started.url,
    databaseIsEmbedded: started.embedded,
    problems: [...all.problems(), ...outboxes.problems()],
    dataDir: folder.path,
    log,
    pipelines: all,
    live,
    drainWanted,
    broken: log.stopped.then((error) => `the log has stopped: ${error.message}`),
    stop(deadlineMs) {
      stopping ??= stopService(running, deadlineMs);
      return stopping;
    },
    abandon() {
      started.kill();
      folder.release();
      return { memoryOnly: log.memoryOnly };
    },
  };
}

/** No connection (SQLSTATE class 08 is the same, told by the other side), or a server that ends. */
const serverIsGone = /^PG_(CONNECTION$|08|57P0)/;

/** Port 9000 when it is free, so that its address is easy to remember; else any. */
async function startReferenceBackend() {
  const options = { host: '127.0.0.1', data: { foo: 12, bar: 100 }, latencyMs: 0 };
  try {
    return await startBackend({ ...options, port: 9000 });
  } catch {
    return startBackend({ ...options, port: 0 });
  }
}

function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

function logOptions({ maxHeldItems, maxHeldBytes, reserveBytes, flushTimeoutMs, deadLetters }: Config['log']) {
  const { maxAgeMs = Number.POSITIVE_INFINITY, ...bounds } = deadLetters;
  return { maxHeldItems, maxHeldBytes, reserveBytes, flushTimeoutMs, deadLetters: { ...bounds, maxAgeMs } };
}
