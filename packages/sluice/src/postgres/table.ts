/** table: creates the target when it is absent, once, however many start at the same time. */

import type { PoolClient } from 'pg';

/** Runs `ddl` in a transaction when `target` (quoted) does not exist. */
export async function createTableIfAbsent(client: PoolClient, target: string, ddl: string): Promise<void> {
  if (await exists(client, target)) return;
  await client.query('BEGIN');
  try {
    // CREATE TABLE IF NOT EXISTS alone is not safe: two that run at once can both find nothing, and one of them fails.
    await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`sluice ${target}`]);
    if (!(await exists(client, target))) await client.query(ddl);
    await client.query('COMMIT');
  } catch (thrown) {
    await client.query('ROLLBACK').catch(() => {});
    throw thrown;
  }
}

async function exists(client: PoolClient, target: string): Promise<boolean> {
  const { rows } = await client.query<{ present: boolean }>('SELECT to_regclass($1) IS NOT NULL AS present', [target]);
  return rows[0]?.present === true;
}
