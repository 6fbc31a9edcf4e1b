/** Query: rows from a server, for tests and for the programs that torture it. */

import pg from 'pg';

/** Rows of one query on a connection of its own. */
export async function query<R extends pg.QueryResultRow>(connectionString: string, sql: string): Promise<R[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}
