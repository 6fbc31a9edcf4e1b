/**
 * Events of orders, written in the transaction of the order, and relayed. Compare with after-commit.ts. Needs DATABASE_URL, a
 * PostgreSQL that you may write to.
 */

import pg from 'pg';
import { failure } from 'sluice';
import { createOutbox, createRelay } from 'sluice/postgres';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await pool.query(`DROP TABLE IF EXISTS demo_orders; CREATE TABLE demo_orders (id int PRIMARY KEY, total int);
  DROP SCHEMA IF EXISTS demo CASCADE; CREATE SCHEMA demo`);
const outbox = createOutbox({ table: 'demo.outbox' });
await outbox.migrate(pool);

for (const order of [1, 2, 3, 4]) {
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query('INSERT INTO demo_orders VALUES ($1, $2)', [order, order * 10]);
  await outbox.enqueue(client, { id: `order-${order}`, key: `${order}`, payload: { order } });
  await client.query(order === 2 ? 'ROLLBACK' : 'COMMIT');
  // Here the process dies with order 4: its event is committed too. Any relay, in any process, will send it.
  client.release();
}

let calls = 0;
const sink = {
  idempotent: true,
  async write(events: readonly { readonly id: string }[]) {
    if (++calls === 1) throw failure('down at first', { class: 'transient' });
    return events.map(({ id }) => (id === 'order-3' ? failure('refused', { code: 'REFUSED' }) : undefined));
  },
};
const relay = createRelay({ outbox, pool, sink, retry: { baseMs: 5 } });
while ((await outbox.lag(pool)).items > 0) await new Promise((resolve) => setTimeout(resolve, 20));

const { delivered, dead } = await relay.close();
const { rows } = await pool.query('SELECT count(*)::int AS orders FROM demo_orders');
console.log(`orders ${rows[0].orders}, events ${delivered}, dead letters ${dead}, lost ${rows[0].orders - delivered - dead}`);
await pool.query('DROP SCHEMA demo CASCADE; DROP TABLE demo_orders');
await pool.end();
