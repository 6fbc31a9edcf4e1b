/** A real PostgreSQL for integration tests: one server a test file, a fresh database for whoever asks. */

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/embedded/postgres.js';
import { query } from './query.js';

/** The programs of Debian's PostgreSQL 15. */
export const debianPostgres15 = '/usr/lib/postgresql/15/bin';

/** Debian's PostgreSQL 15 is absent and need not be there: tests of it may skip. */
export const skipDebianPostgres15 = !existsSync(debianPostgres15) && process.env.SLUICE_REQUIRE_TOOLS !== '1';

/** The test file's server. */
export interface TestPostgres {
  /** The server itself. Only inside tests and hooks. */
  readonly server: EmbeddedPostgres;
  /** Makes an empty database and gives its connection string. It goes with the server. */
  freshDatabase(): Promise<string>;
}

/**
 * Starts a server before the tests of this file (or `describe`) and removes every trace of it after them.
 *
 * @param options `binDir`: programs of another PostgreSQL than the embedded one.
 */
export function usePostgres(options: { readonly binDir?: string } = {}): TestPostgres {
  let server: EmbeddedPostgres | undefined;
  let dataDir: string | undefined;
  let databases = 0;
  const running = () => {
    if (server === undefined) throw new Error('usePostgres: the server runs inside tests and hooks only');
    return server;
  };

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'sluice-postgres-'));
    server = await startEmbeddedPostgres({ dataDir, ...options });
    // Nothing here must survive a power failure, and a fresh database a test costs many syncs.
    await query(server.connectionString, 'ALTER SYSTEM SET fsync = off');
    await query(server.connectionString, 'SELECT pg_reload_conf()');
  });
  afterAll(async () => {
    await server?.stop({ deadlineMs: 5_000 });
    if (server !== undefined) await rm(homeOf(server), { recursive: true, force: true });
    if (dataDir !== undefined) await rm(dataDir, { recursive: true, force: true });
  });

  return {
    get server() {
      return running();
    },
    async freshDatabase() {
      const name = `test_${++databases}`;
      await query(running().connectionString, `CREATE DATABASE ${name}`);
      const url = new URL(running().connectionString);
      url.pathname = `/${name}`;
      return url.href;
    },
  };
}

/** The folder that holds a server's data, which lies outside of the data folder when root started it. */
export function homeOf(server: EmbeddedPostgres): string {
  return dirname(server.directory);
}
