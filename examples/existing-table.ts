/** An existing table: batches into it, duplicates skipped, a bad row told apart. Needs DATABASE_URL. */

import pg from 'pg';
import { createBatcher, type SluiceError } from 'sluice';
import { postgresSink } from 'sluice/postgres';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });

// Your table; here it is made for the example.
await pool.query(`DROP TABLE IF EXISTS requests; CREATE TABLE requests (
  id uuid PRIMARY KEY, received_at timestamptz NOT NULL, status int NOT NULL CHECK (status BETWEEN 100 AND 599), payload jsonb)`);

const sink = postgresSink({ pool, table: 'requests', conflict: { columns: ['id'], action: 'ignore' } });
await sink.prepare(); // a wrong password, table or column shows here

const requests = createBatcher({ sink, window: { maxDelayMs: 20 }, maxItems: 500, maxInFlight: 4 });
const request = (n: number, status: number) => ({
  id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
  receivedAt: new Date('2026-01-01T00:00:00Z'),
  status,
  payload: { n },
});

const pushes = [request(1, 200), request(2, 999), request(3, 404), request(1, 200)].map((item) =>
  requests.push(item).then(
    () => 'ok',
    (problem: SluiceError) => `${problem.code}: ${problem.message}`,
  ),
);
for (const outcome of await Promise.all(pushes)) console.log(outcome);
await requests.close();

const { rows } = await pool.query('SELECT status, payload FROM requests ORDER BY status');
for (const { status, payload } of rows) console.log(status, payload);
await pool.query('DROP TABLE requests');
await pool.end();
