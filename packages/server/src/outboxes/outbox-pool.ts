/** Outbox pool: the connection by which a service looks at an outbox, kept open, and a second one while two things are asked at once. */

import pg from 'pg';

/** How long a statement may take: what a table of millions of dead letters is asked must not go on for ever. */
const statementTimeoutMs = 30_000;

/** Longer than the pause between two looks at the lag. */
const idleTimeoutMs = 60_000;

/** Connects when it is first asked. */
export function outboxPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({
    connectionString,
    max: 2,
    idleTimeoutMillis: idleTimeoutMs,
    connectionTimeoutMillis: 10_000,
    statement_timeout: statementTimeoutMs,
    fallback_application_name: 'sluice outbox',
  });
  // What breaks while nothing is asked would end the process; the next question connects anew.
  pool.on('error', () => {});
  return pool;
}
