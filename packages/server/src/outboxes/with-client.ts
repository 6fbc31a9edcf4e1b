/** With client: a connection for one task, closed whatever happens. */

import pg from 'pg';

/** How long a statement may take: a count of a large backlog must not go on for ever. */
const statementTimeoutMs = 30_000;

/** Connects, runs `use`, and closes the connection. */
export async function withClient<R>(connectionString: string, use: (client: pg.Client) => Promise<R>): Promise<R> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 10_000, statement_timeout: statementTimeoutMs });
  // What breaks while nothing is asked would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end().catch(() => {});
  }
}
