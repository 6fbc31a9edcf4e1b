/** connection: lends a connection of the pool for one write, and never gives it back in a bad state. */

import type { Pool, PoolClient } from 'pg';
import { failure, type SluiceError } from '../core/errors.js';
import type { Env } from '../env/env.js';
import { cancelStatement } from './cancel.js';
import { isServerError } from './classify.js';

/**
 * Runs `use` with a connection of the pool.
 *
 * The connection goes back once `use` is done, or has failed with an error of the server's, after which the connection is idle again; in all other cases it is destroyed. An abort rejects at once: the running statement is cancelled on the server and the
 * connection is destroyed.
 */
export async function onConnection<R>(
  pool: Pool,
  signal: AbortSignal,
  env: Env,
  use: (client: PoolClient) => Promise<R>,
): Promise<R> {
  const client = await checkOut(pool, signal);
  // While a connection is lent, the pool does not listen: an error event without a listener would end the process.
  client.on('error', ignore);
  let state: 'lent' | 'returned' = 'lent';
  const giveBack = (healthy: boolean) => {
    if (state === 'returned') return;
    state = 'returned';
    // A destroyed connection keeps the listener: its socket may still report.
    if (healthy) client.off('error', ignore);
    client.release(!healthy);
  };
  return new Promise<R>((resolve, reject) => {
    const onAbort = () => {
      // Before the connection is destroyed: a server that waits for a lock does not notice that its client left.
      cancelStatement(pool, client, env);
      giveBack(false);
      reject(abortedFailure(signal));
    };
    const finish = (healthy: boolean) => {
      signal.removeEventListener('abort', onAbort);
      giveBack(healthy);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    use(client).then(
      (result) => {
        finish(true);
        resolve(result);
      },
      async (thrown: unknown) => {
        finish(isServerError(thrown) && (await isIdleAgain(client)));
        reject(thrown);
      },
    );
  });
}

/** The failure of a write that was aborted before it could commit. */
export function abortedFailure(signal: AbortSignal): SluiceError {
  const reason = signal.reason as { readonly code?: unknown } | undefined;
  const code = typeof reason?.code === 'string' ? reason.code : 'CANCELLED';
  return failure('the write was aborted before its commit was sent; nothing was written', {
    code,
    class: 'transient',
    cause: signal.reason,
  });
}

function checkOut(pool: Pool, signal: AbortSignal): Promise<PoolClient> {
  if (signal.aborted) return Promise.reject(abortedFailure(signal));
  if (pool.ending)
    return Promise.reject(failure('the pool of the PostgreSQL sink has ended.', { code: 'CLOSED', class: 'rejected' }));
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortedFailure(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    pool.connect().then(
      (client) => {
        signal.removeEventListener('abort', onAbort);
        if (signal.aborted) client.release();
        else resolve(client);
      },
      (thrown: unknown) => {
        signal.removeEventListener('abort', onAbort);
        reject(thrown);
      },
    );
  });
}

/** The server's error comes before its "ready": a query of our own comes back only once the connection can be used again. */
async function isIdleAgain(client: PoolClient): Promise<boolean> {
  try {
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  }
}

function ignore(): void {}
