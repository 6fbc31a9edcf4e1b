/**
 * Events of orders, sent after the commit: a batcher with retries and dead letters. Compare with outbox.ts. Needs DATABASE_URL, a
 * PostgreSQL that you may write to.
 */

import pg from 'pg';
import { createBatcher, failure } from 'sluice';
import { deadLetter, memoryDeadLetterStore, retry } from 'sluice/layers';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await pool.query('DROP TABLE IF EXISTS demo_orders; CREATE TABLE demo_orders (id int PRIMARY KEY, total int)');

let calls = 0;
const sink = {
  async write(events: readonly { readonly order: number }[]) {
    if (++calls === 1) throw failure('down at first', { class: 'transient' });
    return events.map(({ order }) => (order === 3 ? failure('refused', { code: 'REFUSED' }) : undefined));
  },
};
const letters = memoryDeadLetterStore();
const events = createBatcher({ sink, layers: [deadLetter({ store: letters }), retry({ baseMs: 5 })] });

for (const order of [1, 2, 3, 4]) {
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query('INSERT INTO demo_orders VALUES ($1, $2)', [order, order * 10]);
  if (order === 2) {
    await client.query('ROLLBACK');
  } else {
    await client.query('COMMIT');
    // Here the process dies with order 4: it is committed, and nobody will ever send its event.
    if (order !== 4) events.offer({ order });
  }
  client.release();
}

const { ok, dead } = await events.close();
const { rows } = await pool.query('SELECT count(*)::int AS orders FROM demo_orders');
console.log(`orders ${rows[0].orders}, events ${ok}, dead letters ${dead}, lost ${rows[0].orders - ok - dead}`);
await pool.query('DROP TABLE demo_orders');
await pool.end();
