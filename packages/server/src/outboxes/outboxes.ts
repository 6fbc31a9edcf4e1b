/** Outboxes: the tables that a service relays into its log, each by a relay of its own, made once its database answers. */

import type { Cancel, Env } from 'sluice';
import type { Log } from 'sluice/log';
import {
  createOutbox,
  createRelay,
  type OutboxLag,
  type OutboxLetter,
  type OutboxLetterFilter,
  type Relay,
  type RelayStats,
} from 'sluice/postgres';
import type { Config } from '../config/config.js';
import { plainMessage } from '../pipelines/plain-message.js';
import { prepareSink } from '../pipelines/preparation.js';
import { outboxFeed } from './outbox-feed.js';
import { watchLag } from './outbox-lag.js';
import { outboxPool } from './outbox-pool.js';

/** What outboxes are relayed with. */
export interface OutboxParts {
  readonly log: Log;
  readonly databaseUrl: string | undefined;
  readonly isLogFull: () => boolean;
  /** Called again and again while the service's own database cannot be reached. */
  readonly revive: () => void;
  readonly env: Env;
}

/** An outbox that is relayed. */
export interface RunningOutbox {
  readonly name: string;
  /** `undefined` until its database has answered. */
  stats(): RelayStats | undefined;
  /** Why its events do not come at this moment; `undefined` while they do. */
  problem(): string | undefined;
  /** How far all relays of its table are behind, as it was a few seconds ago; `undefined` until its database has answered. */
  lag(): OutboxLag | undefined;
  /** Its dead letters, the oldest first. Throws what the database says, as the two below. */
  letters(filter: OutboxLetterFilter): Promise<readonly OutboxLetter[]>;
  /** Puts dead letters back into the outbox; how many. */
  redrive(filter: OutboxLetterFilter): Promise<number>;
  /** Removes dead letters for good; how many. */
  purge(filter: OutboxLetterFilter): Promise<number>;
  close(deadlineMs: number): Promise<void>;
}

/** The outboxes of a service. */
export interface Outboxes {
  readonly all: readonly RunningOutbox[];
  /** What keeps them from being relayed, each with its name. */
  problems(): string[];
  /** Ends the relays: what they have read is appended, the rest stays in its table. */
  close(deadlineMs: number): Promise<void>;
}

/** To count more would cost the database more than anybody learns from it: a lag that large is told by its age. */
const mostCounted = 10_000;

/** How often to look whether the database answers. */
const reviveMs = 1_000;

/** Starts to relay; waits a few seconds at most for their databases. */
export async function startOutboxes(configs: Config['outboxes'], parts: OutboxParts): Promise<Outboxes> {
  const all = await Promise.all(Object.entries(configs).map(([name, config]) => startOutbox(name, config, parts)));
  return {
    all,
    problems: () =>
      all.flatMap(({ name, problem }) => {
        const text = problem();
        return text === undefined ? [] : [`the outbox ${name} is not relayed: ${text}; its events are kept in their table`];
      }),
    close: async (deadlineMs) => void (await Promise.all(all.map((outbox) => outbox.close(deadlineMs)))),
  };
}

async function startOutbox(name: string, config: Config['outboxes'][string], parts: OutboxParts): Promise<RunningOutbox> {
  const { table, shards, partitionMs, keepMs, maxItems, maxBytes, pollMs, stream } = config;
  const { log, isLogFull, env } = parts;
  // A service with an outbox has a database.
  const connectionString = config.url ?? parts.databaseUrl!;
  const outbox = createOutbox({ table, shards, partitionMs, keepMs });
  const pool = outboxPool(connectionString);
  let relay: Relay | undefined;
  let closed = false;
  const preparation = prepareSink(
    {
      async prepare() {
        if (config.createTable) await outbox.migrate(pool);
        if (closed) return;
        const sink = outboxFeed({ log, stream, isLogFull });
        // Its events are no pipeline's: they would count as the log's.
        const silent = { ...env, neutral: env.neutral, observe: () => {} };
        relay = createRelay({ outbox, connectionString, sink, maxItems, maxBytes, pollMs, env: silent });
      },
    },
    env,
  );
  // Whatever keeps the tables from being made: to revive what lives does nothing.
  const isUnreachable = () => preparation.problem !== undefined || relay?.stats().problem?.code === 'PG_CONNECTION';
  // One with a server of its own can do nothing about it.
  const cancelWatch = config.url === undefined ? watch(env, isUnreachable, parts.revive) : () => {};
  await preparation.firstTry;
  const lag = watchLag(() => outbox.lag(pool, { maxItems: mostCounted }), env);
  return {
    name,
    stats: () => relay?.stats(),
    problem() {
      if (preparation.problem !== undefined) return `its tables cannot be used yet (${preparation.problem})`;
      const problem = relay?.stats().problem;
      return problem === undefined ? undefined : `${problem.code}: ${plainMessage(problem, 'its message may hold a payload')}`;
    },
    lag: () => lag.latest,
    letters: (filter) => outbox.deadLetters(pool, filter),
    redrive: (filter) => outbox.redrive(pool, filter),
    purge: (filter) => outbox.purge(pool, filter),
    async close(deadlineMs) {
      closed = true;
      cancelWatch();
      lag.stop();
      preparation.stop();
      await relay?.close({ deadlineMs });
      // A server that does not answer must not hold up the stop.
      void pool.end().catch(() => {});
    },
  };
}

/** Calls `act` once a period while `isDue`. */
function watch({ clock }: Env, isDue: () => boolean, act: () => void): Cancel {
  const look = () => {
    if (isDue()) act();
    cancel = clock.after(reviveMs, look);
  };
  let cancel = clock.after(reviveMs, look);
  return () => cancel();
}
