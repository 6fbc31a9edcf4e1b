/** Database: the one that the settings name, or the embedded one. */

import { startEmbeddedPostgres } from '../embedded/postgres.js';
import type { Settings } from './settings.js';

/** A PostgreSQL to write to. */
export interface Database {
  readonly url: string;
  readonly embedded: boolean;
  /** Stops it if it is ours. */
  stop(deadlineMs: number): Promise<void>;
  /** Stops it at once if it is ours, without waiting; it recovers at its next start. */
  kill(): void;
}

/**
 * Takes the database of the settings, or starts the embedded one.
 *
 * @throws SluiceError what the embedded PostgreSQL cannot start for.
 */
export async function startDatabase(settings: Settings, dataDir: string): Promise<Database> {
  if (settings.databaseUrl !== undefined) {
    return { url: settings.databaseUrl, embedded: false, stop: async () => {}, kill: () => {} };
  }
  const server = await startEmbeddedPostgres({ dataDir });
  return {
    url: server.connectionString,
    embedded: true,
    stop: (deadlineMs) => server.stop({ deadlineMs }),
    kill() {
      try {
        process.kill(server.pid, 'SIGQUIT');
      } catch {
        // It is gone already.
      }
    },
  };
}
