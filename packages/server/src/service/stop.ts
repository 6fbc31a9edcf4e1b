/** Stop: the drain of a service, in order, within a deadline. */

import type { Env } from 'sluice';
import type { Log } from 'sluice/log';
import type { Outboxes } from '../outboxes/outboxes.js';
import { plainMessage } from '../pipelines/plain-message.js';
import type { Database } from './database.js';
import type { Pipelines } from './pipelines.js';
import type { Planes } from './planes.js';
import { settledWithin } from './settled-within.js';

/** What a stop reports. */
export interface StopReport {
  /** Records delivered by all pipelines, and parked as dead letters, since the start. */
  readonly delivered: number;
  readonly dead: number;
  /** Records that stay in the log: safe, delivered after the next start. */
  readonly leftInLog: number;
  /** Records of streams that no pipeline reads: safe, and never delivered. */
  readonly unread: number;
  /** Why pipelines had stopped before, if some had: then what is left in the log is kept, but not delivered by a start alone. */
  readonly pipelineProblem: string | undefined;
  /** Events that existed in memory alone when time was up: lost. */
  readonly lost: number;
  readonly durationMs: number;
}

/** The parts of a service that runs. */
export interface Running extends Pick<Planes, 'gateway' | 'control'> {
  readonly env: Env;
  readonly log: Log;
  readonly pipelines: Pipelines;
  readonly outboxes: Pick<Outboxes, 'close'>;
  readonly bound: { stop(): void };
  readonly reads: { close(options: { readonly deadlineMs: number }): Promise<unknown> };
  readonly backend: { close(): Promise<void> } | undefined;
  readonly database: Database;
  readonly folder: { release(): void };
}

/** Part of the deadline that requests under way may use; the rest is for the records. */
const intakeShare = 1 / 3;

/** What closing may take beyond the deadline, for all parts together. */
const closingMs = 900;

/**
 * Stops a service: intake, memory into the log, log into the database, then everything else: the database, the folder and the
 * control plane last. Nothing that hangs
 * holds it up beyond the deadline and the {@link closingMs} after it.
 */
export async function stopService(running: Running, deadlineMs: number): Promise<StopReport> {
  const { env, gateway, log, bound, pipelines, outboxes, reads, control, backend, database, folder } = running;
  const { clock } = env;
  const startedAt = clock.now();
  bound.stop();
  const left = () => Math.max(0, deadlineMs - (clock.now() - startedAt));
  const within = (ms: number, work: Promise<unknown>) => settledWithin(env, ms, work);

  const intakeMs = Math.min(10_000, deadlineMs * intakeShare);
  await within(left(), Promise.all([gateway.stopIntake(intakeMs), outboxes.close(intakeMs)]));
  // What was accepted in memory goes into the log before anything else: from then on it is safe.
  await within(left(), log.flushed());
  const report = await pipelines.drain(left());
  const read = new Set(pipelines.all.map(({ stream }) => stream));
  const unread = (await log.streams()).reduce(
    (sum, info) => sum + (read.has(info.stream) ? 0 : info.nextOffset - info.firstOffset),
    0,
  );
  const closeBy = clock.now() + Math.max(left(), closingMs);
  const share = (part: number) => Math.max(0, closeBy - clock.now()) * part;
  await within(
    share(0.3),
    Promise.all([gateway.close(), control.endAnswers(), reads.close({ deadlineMs: 0 }), backend?.close(), pipelines.close()]),
  );
  await within(share(0.5), log.close());
  const lost = log.memoryOnly;
  await within(share(0.9), database.stop(share(0.5)));
  // Whoever waits for the stop from afar (`sluice drain --wait`) takes a control plane that is gone for a folder that is free.
  folder.release();
  await within(share(1), control.close());
  return {
    ...report,
    unread,
    lost,
    pipelineProblem: brokenOf(pipelines),
    durationMs: clock.now() - startedAt,
  };
}

function brokenOf({ all }: Pipelines): string | undefined {
  const broken = all.flatMap(({ name, consumer }) => {
    const { broken: error } = consumer.status();
    return error === undefined ? [] : [`${name}: ${plainMessage(error)}`];
  });
  return broken.length === 0 ? undefined : broken.join('; ');
}
