/** server: starts, adopts and stops the PostgreSQL of a place. */

import { realpathSync } from 'node:fs';
import { readFile, rename, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { SluiceError } from 'sluice';
import type { Programs } from './binaries.js';
import { tail, userName } from './cluster.js';
import type { Place } from './place.js';
import { choosePort, freePort, rememberPort } from './port.js';
import { disownLock, isPostmasterOf, type Postmaster, readPostmaster } from './postmaster.js';
import { type RunResult, run } from './program.js';

/** The address of a server's database, for any client on this machine. */
export function connectionStringOf(port: number, password: string, database = userName): string {
  return `postgres://${userName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
}

/**
 * The server of this place, if it runs and answers. One that runs but does not answer is stopped; a lock file without a server is
 * made harmless.
 */
export async function adoptRunning(
  place: Place,
  programs: Programs,
  password: string,
  log: (line: string) => void,
): Promise<Postmaster | undefined> {
  const running = await readPostmaster(place.cluster);
  if (running === undefined) return undefined;
  if (!isPostmasterOf(place.cluster, running)) {
    log('PostgreSQL was not stopped properly; it recovers now');
    await disownLock(place.cluster);
    return undefined;
  }
  const began = Date.now();
  for (let now: Postmaster | undefined = running; now?.pid === running.pid && isPostmasterOf(place.cluster, running); ) {
    if (await answers(place, running, password)) {
      log(`adopting the PostgreSQL that is running already (process ${running.pid})`);
      return running;
    }
    if (Date.now() - began > (now.ready ? readyAnswersWithinMs : changesWithinMs)) {
      log(`the PostgreSQL that is running already (process ${running.pid}) does not answer; starting it anew`);
      await stopServer(place, programs, running, 1_000);
      return undefined;
    }
    await sleep(50);
    now = await readPostmaster(place.cluster);
  }
  return undefined;
}

/** One that says it is ready answers in a moment, or not at all. */
const readyAnswersWithinMs = 2_000;

/** One that starts may be recovering from a crash, one that stops is writing what it holds: both take as long as they take. */
const changesWithinMs = 120_000;

/**
 * Starts the server and waits until it accepts connections.
 *
 * @param ownPort the only port to start it on. Default: the one of last time, or another where that is taken.
 * @throws SluiceError `POSTGRES_START`
 */
export async function startServer(
  place: Place,
  programs: Programs,
  log: (line: string) => void,
  ownPort?: number,
): Promise<Postmaster> {
  await turnLog(place);
  const until = Date.now() + startWithinMs;
  for (let port = ownPort ?? (await choosePort(place)); ; ) {
    const logged = await bytesOf(place.logFile);
    // -w waits for "ready", crash recovery included. The place is passed by the environment and the folder it runs in, because pg_ctl builds a shell command.
    const { code, output } = await control(place, programs, [
      'start',
      '-w',
      '-t',
      '120',
      '-l',
      basename(place.logFile),
      '-o',
      `-p ${port}`,
    ]);
    const server = await readPostmaster(place.cluster);
    if (code === 0 && server !== undefined) {
      await rememberPort(place, server.port);
      return server;
    }
    const said = await readFrom(place.logFile, logged);
    if (Date.now() > until) throw startFailure(place, said || output);
    if (ownPort === undefined && /could not bind|could not create any TCP/.test(said)) port = await freePort();
    else if (/shared memory block|lock file "postmaster.pid" already exists/.test(said)) await sleep(100);
    else throw startFailure(place, said || output);
    log('PostgreSQL did not start at the first try; trying again');
  }
}

/** Longest time to wait for the processes of a killed server to notice that it is gone. */
const startWithinMs = 15_000;

/** Makes our database where it does not exist yet: the one start that makes it may have been cut short. */
export async function ensureDatabase(port: number, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: connectionStringOf(port, password, 'postgres') });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [userName]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${userName}`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SluiceError(`The embedded PostgreSQL runs but cannot be used: ${reason}`, {
      code: 'POSTGRES_START',
      class: 'blocked',
      cause,
    });
  } finally {
    await client.end();
  }
}

/**
 * Stops the server: fast until the deadline, then at once, then by force; after the latter two it recovers at the next start.
 *
 * @throws SluiceError `POSTGRES_STOP` when even that does not end it.
 */
export async function stopServer(place: Place, programs: Programs, server: Postmaster, deadlineMs: number): Promise<void> {
  const steps = [
    [deadlineMs, () => control(place, programs, ['stop', '-W', '-m', 'fast'])],
    [2_000, () => control(place, programs, ['stop', '-W', '-m', 'immediate'])],
    [5_000, () => process.kill(server.pid, 'SIGKILL')],
  ] as const;
  for (const [waitMs, end] of steps) {
    if (waitMs <= 0) continue;
    if (!isPostmasterOf(place.cluster, server)) return;
    const until = Date.now() + waitMs;
    await end();
    while (Date.now() < until) {
      if (!isPostmasterOf(place.cluster, server)) return;
      await sleep(20);
    }
  }
  throw new SluiceError(
    `The embedded PostgreSQL (process ${server.pid}) does not stop, not even by kill -9; look for a disk that does not answer.`,
    {
      code: 'POSTGRES_STOP',
      class: 'unknown',
    },
  );
}

function control(place: Place, programs: Programs, args: readonly string[]): Promise<RunResult> {
  return run(join(programs.binDir, 'pg_ctl'), args, {
    account: place.account,
    cwd: place.cluster,
    env: { PGDATA: place.cluster },
  });
}

/** Ours: it takes our password and serves our folder. */
async function answers(place: Place, { port }: Postmaster, password: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: connectionStringOf(port, password, 'postgres'),
    connectionTimeoutMillis: 2_000,
    query_timeout: 2_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ folder: string }>(`SELECT current_setting('data_directory') AS folder`);
    return rows[0] !== undefined && realpathSync(rows[0].folder) === realpathSync(place.cluster);
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

/** The log grows by a few lines a start; one generation is kept. */
async function turnLog(place: Place): Promise<void> {
  if ((await bytesOf(place.logFile)) > 10 * 1024 * 1024) await rename(place.logFile, `${place.logFile}.old`);
}

async function bytesOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}

async function readFrom(file: string, start: number): Promise<string> {
  const log = await readFile(file).catch(() => Buffer.alloc(0));
  return log.subarray(start).toString();
}

function startFailure(place: Place, said: string): SluiceError {
  return new SluiceError(`The embedded PostgreSQL does not start: ${tail(said)} (its log: ${place.logFile})`, {
    code: 'POSTGRES_START',
    class: 'blocked',
  });
}
