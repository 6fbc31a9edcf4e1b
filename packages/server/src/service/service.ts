/** Service: everything that `sluice up` runs, started in order and stopped in order. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Env, systemEnv } from 'sluice';
import { createKeyValueClient } from 'sluice/http';
import { openLmdbLog } from 'sluice/lmdb';
import { type Consumer, createConsumer, type Log } from 'sluice/log';
import { startBackend } from '../backend/backend.js';
import { type Control, createControl } from '../control/control.js';
import { startEmbeddedPostgres } from '../embedded/postgres.js';
import { createGateway, type Gateway, type Readiness } from '../gateway/gateway.js';
import { createMetrics, type Metrics } from '../metrics/metrics.js';
import { eventsSink } from '../pipelines/events-table.js';
import { takeDataFolder } from './data-folder.js';
import type { Settings } from './settings.js';
import { createUndo, type Undo } from './undo.js';

/** The one stream that has a pipeline, and the name of its cursor. */
const stream = 'events';
const group = 'postgres';

/** Sink calls, and so connections, at once. */
const maxInFlight = 4;

/** What a stop reports. */
export interface StopReport {
  /** Records delivered to the database, and parked as dead letters, since the start. */
  readonly delivered: number;
  readonly dead: number;
  /** Records that stay in the log: safe, delivered after the next start. */
  readonly leftInLog: number;
  /** Events that existed in memory alone when time was up: lost. */
  readonly lost: number;
  readonly durationMs: number;
}

/** A service that runs. */
export interface Service {
  readonly url: string;
  readonly controlUrl: string;
  readonly backendUrl: string;
  readonly databaseUrl: string;
  readonly databaseIsEmbedded: boolean;
  /** Why the database could not be used at the start, if so: events are kept in the log until it can. */
  readonly databaseProblem: string | undefined;
  readonly dataDir: string;
  readonly log: Log;
  readonly consumer: Consumer;
  /** Resolves with a sentence when something it cannot work without has stopped. */
  readonly broken: Promise<string>;
  /** Stops the intake, puts what was accepted into the log, delivers it until the deadline, and closes everything. Idempotent. */
  stop(deadlineMs: number): Promise<StopReport>;
  /** What is at stake at this instant: for an exit that cannot wait. Also stops the embedded database at once. */
  abandon(): { readonly memoryOnly: number };
}

/**
 * Starts a service: data folder, log, read backend, gateway, control plane, database, pipeline, in this order, so that it takes
 * traffic before the database is up.
 *
 * @throws SluiceError with one sentence that says what to do; what was started until then is stopped.
 */
export async function startService(settings: Settings): Promise<Service> {
  const undo = createUndo();
  try {
    return await start(settings, undo);
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function start(settings: Settings, undo: Undo): Promise<Service> {
  const metrics = createMetrics();
  const env = systemEnv({ observe: metrics.observe });
  const folder = takeDataFolder(settings.dataDir);
  undo.add(async () => folder.release());
  mkdirSync(join(folder.path, 'log'), { recursive: true });
  const log = await openLmdbLog({ path: join(folder.path, 'log'), env });
  undo.add(() => log.close());

  const backend = settings.readUpstream === undefined ? await startReferenceBackend() : undefined;
  if (backend !== undefined) undo.add(() => backend.close());
  const backendUrl = settings.readUpstream ?? `http://127.0.0.1:${backend!.port}/read`;
  const reads = createKeyValueClient({ url: backendUrl, windowMs: settings.readWindowMs, maxAttempts: 3, env });
  undo.add(async () => void (await reads.close({ deadlineMs: 0 })));

  const planes = await startPlanes(settings, { log, metrics, reads: (keys, signal) => reads.readMany(keys, { signal }) });
  undo.add(() => planes.gateway.close());
  undo.add(() => planes.control.close());

  const database = await startDatabase(settings, folder.path);
  undo.add(() => database.stop(0));
  const sink = eventsSink(database.url, maxInFlight);
  undo.add(() => sink.close());
  const databaseProblem = await prepared(sink, env);
  const consumer = await createConsumer({ log, stream, group, sink, maxInFlight, window: { maxDelayMs: 20 }, env });
  planes.attach(consumer);

  const running = { settings, env, log, consumer, ...planes, reads, backend, database, sink, folder };
  let stopping: Promise<StopReport> | undefined;
  return {
    url: `http://${urlHost(settings.host)}:${planes.gateway.port}`,
    controlUrl: `http://127.0.0.1:${planes.control.port}`,
    backendUrl,
    databaseUrl: database.url,
    databaseIsEmbedded: database.embedded,
    databaseProblem,
    dataDir: folder.path,
    log,
    consumer,
    broken: Promise.race([
      log.stopped.then((error) => `the log has stopped: ${error.message}`),
      consumer.failed.then((error) => `the pipeline has stopped: ${error.message}`),
    ]),
    stop(deadlineMs) {
      stopping ??= stopAll(running, deadlineMs);
      return stopping;
    },
    abandon() {
      database.kill();
      folder.release();
      return { memoryOnly: log.memoryOnly };
    },
  };
}

/** Port 9000 when it is free, so that its address is easy to remember; else any. */
async function startReferenceBackend() {
  const options = { host: '127.0.0.1', data: { foo: 12, bar: 100 }, latencyMs: 0 };
  try {
    return await startBackend({ ...options, port: 9000 });
  } catch {
    return startBackend({ ...options, port: 0 });
  }
}

interface Planes {
  readonly gateway: Gateway;
  readonly control: Control;
  attach(consumer: Consumer): void;
}

interface PlaneParts {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly reads: (keys: readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, number>>;
}

async function startPlanes(settings: Settings, { log, metrics, reads }: PlaneParts): Promise<Planes> {
  let consumer: Consumer | undefined;
  let gateway: Gateway | undefined;
  let attach!: (consumer: Consumer) => void;
  const attached = new Promise<Consumer>((resolve) => {
    attach = (started) => {
      consumer = started;
      resolve(started);
    };
  });
  const ready = (): Readiness => readiness(consumer);
  gateway = await createGateway({
    log,
    host: settings.host,
    port: settings.port,
    read: reads,
    ready,
    settled: (name) =>
      name === stream ? async (_partition, offset, signal) => (await attached).settled(offset, signal) : undefined,
  });
  try {
    const sources = { log, consumer: () => consumer, gateway: () => gateway };
    const control = await createControl({
      log,
      consumer: () => consumer,
      ready,
      metrics: { contentType: metrics.contentType, text: () => metrics.text(sources) },
      host: '127.0.0.1',
      port: settings.controlPort,
    });
    return { gateway, control, attach };
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

function readiness(consumer: Consumer | undefined): Readiness {
  if (consumer === undefined) return { ok: false, reasons: ['the pipeline has not started yet; events are kept in the log'] };
  const { problem, state } = consumer.status();
  if (state !== 'running') return { ok: false, reasons: [`the pipeline is ${state}`] };
  if (problem === undefined) return { ok: true, reasons: [] };
  return {
    ok: false,
    reasons: [`PostgreSQL does not take events (${problem.code}: ${problem.message}); they are kept in the log`],
  };
}

interface Database {
  readonly url: string;
  readonly embedded: boolean;
  stop(deadlineMs: number): Promise<void>;
  kill(): void;
}

async function startDatabase(settings: Settings, dataDir: string): Promise<Database> {
  if (settings.databaseUrl !== undefined) {
    return { url: settings.databaseUrl, embedded: false, stop: async () => {}, kill: () => {} };
  }
  const server = await startEmbeddedPostgres({ dataDir });
  return {
    url: server.connectionString,
    embedded: true,
    stop: (deadlineMs) => server.stop({ deadlineMs }),
    kill: () => process.kill(server.pid, 'SIGQUIT'),
  };
}

/** How long the start waits for the database; the pipeline goes on trying. */
const prepareMs = 3_000;

/** Creates the table now, so that it is there before the first event; the problem, if it cannot. */
async function prepared(sink: { prepare(): Promise<void> }, env: Env): Promise<string | undefined> {
  let problem: string | undefined = `no answer within ${prepareMs / 1000} s`;
  const preparing = sink.prepare().then(
    () => {
      problem = undefined;
    },
    (error: unknown) => {
      problem = (error as Error).message;
    },
  );
  await settledWithin(env, prepareMs, preparing);
  return problem;
}

interface Running extends Planes {
  readonly env: Env;
  readonly log: Log;
  readonly consumer: Consumer;
  readonly reads: { close(options: { readonly deadlineMs: number }): Promise<unknown> };
  readonly backend: { close(): Promise<void> } | undefined;
  readonly database: Database;
  readonly sink: { close(): Promise<void> };
  readonly folder: { release(): void };
}

/** Part of the deadline that requests under way may use; the rest is for the records. */
const intakeShare = 1 / 3;

/** What closing may take beyond the deadline, for all parts together. */
const closingMs = 900;

async function stopAll(running: Running, deadlineMs: number): Promise<StopReport> {
  const { env, gateway, log, consumer, reads, control, backend, database, sink, folder } = running;
  const { clock } = env;
  const startedAt = clock.now();
  const left = () => Math.max(0, deadlineMs - (clock.now() - startedAt));
  const within = (ms: number, work: Promise<unknown>) => settledWithin(env, ms, work);

  await within(left(), gateway.stopIntake(Math.min(10_000, deadlineMs * intakeShare)));
  // What was accepted in memory goes into the log before anything else: from then on it is safe.
  await within(left(), log.flushed());
  const report = await consumer.drain({ deadlineMs: left() });
  const closeBy = clock.now() + Math.max(left(), closingMs);
  const share = (part: number) => Math.max(0, closeBy - clock.now()) * part;
  await within(
    share(0.3),
    Promise.all([gateway.close(), control.close(), reads.close({ deadlineMs: 0 }), backend?.close(), sink.close()]),
  );
  await within(share(0.5), log.close());
  await within(share(1), database.stop(share(0.5)));
  folder.release();
  return {
    delivered: report.ok,
    dead: report.dead,
    leftInLog: report.leftInLog,
    lost: log.memoryOnly,
    durationMs: clock.now() - startedAt,
  };
}

/** Waits for work that may hang, and no longer than that; what it fails with does not stop the stop. */
function settledWithin(env: Env, ms: number, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const cancel = env.clock.after(ms, resolve);
    const done = () => {
      cancel();
      resolve();
    };
    work.then(done, done);
  });
}

function urlHost(host: string): string {
  return host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
}
