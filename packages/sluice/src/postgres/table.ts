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
  // Through pg_class: only the lock on a relation makes a session read what others changed since. to_regclass alone answers from the
  // session's cache, and would say "absent" once more after the wait for the advisory lock.
  const { rowCount } = await client.query('SELECT FROM pg_class WHERE oid = to_regclass($1)', [target]);
  return rowCount === 1;
}
