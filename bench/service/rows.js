/** Rows: what has arrived in the table of a pipeline. */

import pg from 'pg';

/** How many rows a table has. */
export async function rowsIn(databaseUrl, table) {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query(`select count(*) as n from ${table}`);
    return Number(rows[0].n);
  } finally {
    await client.end();
  }
}
