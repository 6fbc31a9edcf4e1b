/** Database: a PostgreSQL that is killed, or stands still. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { startEmbeddedPostgres } from '../../packages/server/src/embedded/postgres.js';
import { query } from '../../packages/server/test/support/query.js';

/** A server of a soak. */
export interface SoakedDatabase {
  readonly url: string;
  query<R extends pg.QueryResultRow>(sql: string): Promise<R[]>;
  /** Kills it as a lack of memory does, and starts it again after a while. */
  kill(forMs: number): Promise<void>;
  /** Stops all of its processes that serve clients, as a frozen machine does, and lets them go on after a while. */
  freeze(forMs: number): Promise<void>;
  remove(): Promise<void>;
}

/** Starts one with its files beneath a folder. */
export async function startDatabase(folder: string): Promise<SoakedDatabase> {
  const server = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres') });
  const ask = <R extends pg.QueryResultRow>(sql: string) => query<R>(server.connectionString, sql);
  return {
    url: server.connectionString,
    query: ask,
    async kill(forMs) {
      process.kill(server.pid, 'SIGKILL');
      await sleep(forMs);
      await server.ensureRunning();
    },
    async freeze(forMs) {
      const backends = await ask<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      );
      const frozen = [server.pid, ...backends.map(({ pid }) => pid)].filter((pid) => signal(pid, 'SIGSTOP'));
      try {
        await sleep(forMs);
      } finally {
        for (const pid of frozen) signal(pid, 'SIGCONT');
      }
    },
    async remove() {
      await server.stop({ deadlineMs: 5_000 });
      await rm(join(server.directory, '..'), { recursive: true, force: true });
    },
  };
}

/** Whether there was such a process. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
