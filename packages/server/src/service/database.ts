/** Database: the one that the configuration names, or the embedded one. */

import type { Config } from '../config/config.js';
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

/**
 * Takes the database of the configuration, or starts the embedded one.
 *
 * @throws SluiceError what the embedded PostgreSQL cannot start for.
 */
export async function startDatabase(
  { database: url, pipelines, outboxes }: Config,
  dataDir: string,
  logger: AlarmLogger,
): Promise<Database> {
  if (url !== undefined || !isNeeded(pipelines, outboxes)) {
    return { url, embedded: false, revive: () => {}, stop: async () => {}, kill: () => {} };
  }
  const server = await startEmbeddedPostgres({ dataDir });
  return {
    url: server.connectionString,
    embedded: true,
    revive: reviveOnce(() => server.ensureRunning(), logger),
    stop: (deadlineMs) => server.stop({ deadlineMs }),
    kill: () => server.kill(),
  };
}

/** Starts a database again that has died; whoever asks while that goes on is not answered, nor told in the log, a second time. */
export function reviveOnce(ensureRunning: () => Promise<string>, logger: AlarmLogger): () => void {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    ensureRunning()
      .then(
        (state) => {
          if (state === 'restarted') logger.warn({}, 'the embedded PostgreSQL had died and was started again.');
        },
        // Being stopped is why it may not start again; anything else is tried again with the next failure of a pipeline or an outbox.
        (error: unknown) => {
          const { code, message } = error as { code?: string; message: string };
          if (code !== 'CLOSED') logger.warn({ code }, `the embedded PostgreSQL cannot be started again: ${message}`);
        },
      )
      .finally(() => {
        isAsked = false;
      });
  };
}

/** A sink of PostgreSQL, or an outbox, that names no server of its own. */
function isNeeded(pipelines: Config['pipelines'], outboxes: Config['outboxes']): boolean {
  if (Object.values(outboxes).some(({ url }) => url === undefined)) return true;
  return Object.values(pipelines).some(({ sink, branches }) =>
    [sink, ...Object.values(branches)].some((one) => one.type === 'postgres' && one.url === undefined),
  );
}
