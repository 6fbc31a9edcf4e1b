/** running: a server that was started, kept at its address until it is stopped. */

import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from 'sluice';
import type { Programs } from './binaries.js';
import type { Place } from './place.js';
import { isPostmasterOf, type Postmaster, readPostmaster } from './postmaster.js';
import { adoptRunning, startServer, stopServer } from './server.js';

/** A server and what can be done with it. */
export interface RunningServer {
  /** Process id of the server; another one after a restart. */
  readonly pid: number;
  /**
   * Starts the server again, at the same address, where its process is gone (`kill -9`, out of memory); it recovers what was
   * committed. One start at a time: who asks meanwhile gets its result. It says nothing of whether a running server answers.
   *
   * @throws SluiceError `POSTGRES_START` when it does not start, its port being taken by another process among the reasons: ask
   * again later; `CLOSED` after `stop` or `kill`.
   */
  ensureRunning(): Promise<'running' | 'restarted'>;
  /** Stops it: no new connections, open transactions rolled back; after `deadlineMs` without a checkpoint, to recover at the next start. Idempotent. */
  stop(options: { readonly deadlineMs: number }): Promise<void>;
  /**
   * Stops it at once and waits for nothing, to recover at the next start; never throws, and leaves alone another process that has its
   * id by now. A start under way is not stopped: its server is adopted at the next one.
   */
  kill(): void;
}

/** What a server is started with. */
export interface RunningOptions {
  readonly place: Place;
  readonly programs: Programs;
  readonly password: string;
  readonly log: (line: string) => void;
}

/** Keeps a server that runs now. */
export function keepRunning(first: Postmaster, options: RunningOptions): RunningServer {
  const { place, programs, log } = options;
  let server = first;
  let closed = false;
  let restarting: Promise<'restarted'> | undefined;
  let stopped: Promise<void> | undefined;

  const restart = async (): Promise<'restarted'> => {
    log(`PostgreSQL is gone (process ${server.pid}); starting it again`);
    server = await startAgain(server.port, options);
    return 'restarted';
  };

  const stop = async (deadlineMs: number): Promise<void> => {
    const until = Date.now() + deadlineMs;
    if (restarting !== undefined) await Promise.race([restarting.catch(() => {}), sleep(deadlineMs, undefined, { ref: false })]);
    // A start that takes too long has a process already.
    const last = (await readPostmaster(place.cluster)) ?? server;
    await stopServer(place, programs, last, Math.max(0, until - Date.now()));
  };

  return {
    get pid() {
      return server.pid;
    },
    async ensureRunning() {
      if (closed) throw new SluiceError('The embedded PostgreSQL has been stopped.', { code: 'CLOSED', class: 'rejected' });
      if (restarting !== undefined) return restarting;
      if (isPostmasterOf(place.cluster, server)) return 'running';
      restarting = restart().finally(() => {
        restarting = undefined;
      });
      return restarting;
    },
    stop({ deadlineMs }) {
      closed = true;
      stopped ??= stop(deadlineMs);
      return stopped;
    },
    kill() {
      closed = true;
      try {
        if (isPostmasterOf(place.cluster, server)) process.kill(server.pid, 'SIGQUIT');
      } catch {
        // It has ended in between.
      }
    },
  };
}

/** Somebody else may have started it meanwhile: that one serves as well, if it is at our address. */
async function startAgain(port: number, { place, programs, password, log }: RunningOptions): Promise<Postmaster> {
  const found = await adoptRunning(place, programs, password, log);
  if (found === undefined) return startServer(place, programs, log, port);
  if (found.port === port) return found;
  throw new SluiceError(
    `The embedded PostgreSQL was started by somebody else, on port ${found.port} instead of ${port}; stop it (process ${found.pid}).`,
    { code: 'POSTGRES_START', class: 'blocked' },
  );
}
