/** cancel: asks the server to stop the running statement of a connection that we are about to drop. */

import type { EventEmitter } from 'node:events';
import type { Pool, PoolClient } from 'pg';
import type { Env } from '../env/env.js';

/**
 * Sends a CancelRequest for the statement that `client` runs, over a connection of its own; returns at once and reports nothing.
 *
 * Best effort by design of the protocol (manual, "Canceling Requests in Progress"): without it a statement that waits for a lock
 * would hold its server process until the lock is free, and then commit.
 */
export function cancelStatement(pool: Pool, client: PoolClient, env: Env): void {
  const { processID, secretKey } = client as unknown as BackendKey;
  if (typeof processID !== 'number' || typeof secretKey !== 'number') return;
  const Client = client.constructor as new (
    options: object,
  ) => { readonly host: string; readonly port: number; readonly connection: unknown };
  const messenger = new Client(pool.options);
  const connection = messenger.connection as WireConnection;
  const stopWaiting = env.clock.after(giveUpMs, () => connection.stream.destroy());
  const send = () => connection.cancel(processID, secretKey);
  connection.on('error', () => connection.stream.destroy());
  connection.once('end', stopWaiting);
  connection.once('sslconnect', send);
  connection.once('connect', () => {
    if (connection.ssl === false) send();
    else if (connection.sslNegotiation !== 'direct') connection.requestSsl();
  });
  if (messenger.host.startsWith('/')) connection.connect(`${messenger.host}/.s.PGSQL.${messenger.port}`);
  else connection.connect(messenger.port, messenger.host);
}

const giveUpMs = 5_000;

/** What `pg` keeps of the server's BackendKeyData; not in its type declarations. */
interface BackendKey {
  readonly processID?: unknown;
  readonly secretKey?: unknown;
}

/** The connection beneath a `pg` client, before it logs in. */
interface WireConnection extends EventEmitter {
  readonly ssl: unknown;
  readonly sslNegotiation?: string;
  readonly stream: { destroy(): void };
  connect(portOrPath: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processID: number, secretKey: number): void;
}
