/** Database: the one that the configuration names, or the embedded one. */

import type { Cancel, Clock } from 'sluice';
import type { Config, PipelineConfig } from '../config/config.js';
import { startEmbeddedPostgres } from '../embedded/postgres.js';
import type { AlarmLogger } from './alarms.js';

/** A PostgreSQL to write to. */
export interface Database {
  /** `undefined`: there is none, since nothing needed one at the start. */
  readonly url: string | undefined;
  readonly embedded: boolean;
  /** Starts it again if it is ours and has died. Called whenever it cannot be reached. */
  revive(): void;
  /** Stops it if it is ours. */
  stop(deadlineMs: number): Promise<void>;
  /** Stops it at once if it is ours, without waiting; it recovers at its next start. Never throws. */
  kill(): void;
}

/** What a database is started with. */
export interface DatabaseParts {
  readonly dataDir: string;
  readonly logger: AlarmLogger;
  readonly clock: Clock;
  /** Ours had died and is there again. */
  readonly onBack: () => void;
}

/**
 * Takes the database of the configuration, or starts the embedded one.
 *
 * @throws SluiceError what the embedded PostgreSQL cannot start for.
 */
export async function startDatabase({ database: url, pipelines, outboxes }: Config, parts: DatabaseParts): Promise<Database> {
  if (url !== undefined || !isNeeded(pipelines, outboxes)) {
    return { url, embedded: false, revive: () => {}, stop: async () => {}, kill: () => {} };
  }
  const server = await startEmbeddedPostgres({ dataDir: parts.dataDir });
  const revival = createRevival(() => server.ensureRunning(), parts);
  return {
    url: server.connectionString,
    embedded: true,
    revive: revival.revive,
    stop(deadlineMs) {
      revival.stop();
      return server.stop({ deadlineMs });
    },
    kill() {
      revival.stop();
      server.kill();
    },
  };
}

/** Starts a database again that has died. */
export interface Revival {
  /** Looks, and starts it where it has died. Whoever asks while that goes on is not answered, nor told in the log, a second time. */
  readonly revive: () => void;
  stop(): void;
}

/** From one start that failed to the next: nobody else may ask again, as a breaker that is open asks nothing. */
const againMs = 1_000;

/** A revival that asks `ensureRunning` until that does not fail. */
export function createRevival(
  ensureRunning: () => Promise<'running' | 'restarted'>,
  { logger, clock, onBack }: Omit<DatabaseParts, 'dataDir'>,
): Revival {
  let state: 'idle' | 'reviving' | 'stopped' = 'idle';
  let cancel: Cancel = () => {};

  async function run(hasTold: boolean): Promise<void> {
    try {
      if ((await ensureRunning()) === 'restarted') {
        logger.warn({}, 'the embedded PostgreSQL had died and was started again.');
        if (state !== 'stopped') onBack();
      }
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      // Being stopped is why it may not start again.
      if (code !== 'CLOSED') {
        if (!hasTold) logger.warn({ code }, `the embedded PostgreSQL cannot be started again: ${message}`);
        if (state === 'reviving') cancel = clock.after(againMs, () => void run(true));
        return;
      }
    }
    if (state === 'reviving') state = 'idle';
  }

  return {
    revive() {
      if (state !== 'idle') return;
      state = 'reviving';
      void run(false);
    },
    stop() {
      state = 'stopped';
      cancel();
    },
  };
}

/** A sink of PostgreSQL, or an outbox, that names no server of its own. */
function isNeeded(pipelines: Config['pipelines'], outboxes: Config['outboxes']): boolean {
  if (Object.values(outboxes).some(({ url }) => url === undefined)) return true;
  return Object.values(pipelines).some(writesToServiceDatabase);
}

/** Whether a pipeline writes to the database of the service, and not only to others. */
export function writesToServiceDatabase({ sink, branches }: Pick<PipelineConfig, 'sink' | 'branches'>): boolean {
  return [sink, ...Object.values(branches)].some((one) => one.type === 'postgres' && one.url === undefined);
}
