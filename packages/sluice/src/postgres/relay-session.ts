/** relay-session: a connection of a relay: opened when it is needed, and dropped when it does not answer. */

import pg, { type Client, type Pool, type PoolConfig } from 'pg';
import { failure, type SluiceError } from '../core/errors.js';
import type { Env } from '../env/env.js';
import { classifyPostgresError } from './classify.js';

/** A connection that comes back. */
export interface RelaySession {
  /**
   * Runs one statement.
   *
   * @throws SluiceError as {@link classifyPostgresError} says; the next call connects again where the connection is gone.
   */
  query(text: string, values?: unknown[]): Promise<readonly object[]>;
  readonly connected: boolean;
  /** Ends the connection; statements fail from now on. */
  close(): Promise<void>;
}

/** What a session is opened with. */
export interface SessionOptions {
  readonly pool: Pool | undefined;
  readonly connectionString: string | undefined;
  /** Run once on each new connection. */
  readonly greeting: string;
  /** A statement that takes longer ends the connection, in milliseconds. */
  readonly timeoutMs: number;
  /** Something was enqueued, or may have been while nobody listened. */
  onNotified(): void;
  readonly env: Env;
}

/** A session that connects at its first statement. */
export function relaySession(options: SessionOptions): RelaySession {
  const { greeting, timeoutMs, onNotified, env } = options;
  let opening: Promise<Client> | undefined;
  let isConnected = false;
  let closed = false;

  function client(): Promise<Client> {
    if (closed) return Promise.reject(failure('the relay is closed.', { code: 'CLOSED', class: 'rejected' }));
    opening ??= open();
    return opening;
  }

  async function open(): Promise<Client> {
    const client = newClient(options);
    const attempt = opening;
    const lost = () => {
      if (opening !== attempt && attempt !== undefined) return;
      opening = undefined;
      isConnected = false;
      // Whoever waits for a notification looks now, and so connects again.
      onNotified();
    };
    // Told of each loss, once connected or not; without a listener it would end the process.
    client.on('error', lost);
    client.on('end', lost);
    client.on('notification', onNotified);
    try {
      await client.connect();
      await bounded(client, () => client.query(greeting));
    } catch (thrown) {
      opening = undefined;
      client.end().catch(() => {});
      throw thrown;
    }
    isConnected = true;
    return client;
  }

  /** A server that does not answer is as good as gone: the socket is cut, which fails the statement. */
  async function bounded<R>(client: Client, run: () => Promise<R>): Promise<R> {
    const cancel = env.clock.after(timeoutMs, () => socketOf(client).destroy(new Silence(timeoutMs)));
    try {
      return await run();
    } finally {
      cancel();
    }
  }

  return {
    get connected() {
      return isConnected;
    },
    async query(text, values) {
      try {
        const current = await client();
        return (await bounded(current, () => current.query<object>(text, values))).rows;
      } catch (thrown) {
        throw classifyPostgresError(thrown);
      }
    },
    async close() {
      closed = true;
      const current = await opening?.catch(() => undefined);
      isConnected = false;
      await current?.end().catch(() => {});
    },
  };
}

/** Of its own, not of the pool: it is kept for good, and a pool would count it. */
function newClient({ pool, connectionString }: SessionOptions): Client {
  const config: PoolConfig = pool?.options ?? { connectionString };
  const { Client } = pool === undefined ? pg : (pool as unknown as { readonly Client: typeof pg.Client });
  return new Client({ connectionTimeoutMillis: 10_000, keepAlive: true, fallback_application_name: 'sluice relay', ...config });
}

function socketOf(client: Client): { destroy(error: Error): void } {
  return (client as unknown as { readonly connection: { readonly stream: { destroy(error: Error): void } } }).connection.stream;
}

/** Why we cut a connection. */
class Silence extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
  }
}

/** The failure of a relay that cannot go on by itself. */
export function restoredFailure(table: string): SluiceError {
  return failure(
    `the outbox ${table} was restored from a dump: its transaction numbers are ahead of the server's. Run migrate(), which has what is in the table delivered again.`,
    { code: 'OUTBOX_RESTORED', class: 'blocked' },
  );
}
