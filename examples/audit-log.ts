/**
 * An audit log for 50,000 events a second at peak, each on disk in PostgreSQL within 100 ms for 99 of 100. Needs DATABASE_URL, a
 * PostgreSQL that you may write to; PEAK and SECONDS change the load.
 */

import pg from 'pg';
import { createBatcher } from 'sluice';
import { breaker, deadLetter, memoryDeadLetterStore, retry } from 'sluice/layers';
import { postgresSink } from 'sluice/postgres';

const perSecond = Number(process.env.PEAK ?? 50_000);
const seconds = Number(process.env.SECONDS ?? 5);

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
const letters = memoryDeadLetterStore({ maxLetters: 100_000 });
const audit = createBatcher({
  sink: postgresSink({
    pool,
    table: 'demo_audit',
    createTable: `CREATE TABLE demo_audit (id text PRIMARY KEY, at timestamptz NOT NULL, actor text NOT NULL, action text NOT NULL,
      target text NOT NULL, detail jsonb NOT NULL)`,
    columns: ['id', 'at', 'actor', 'action', 'target', 'detail'],
  }),
  window: { maxDelayMs: 60 }, // 100 would be the whole budget
  maxItems: 500,
  maxInFlight: 4, // four writers
  maxHeldItems: 8_192, // 160 ms of peak: a full queue is an overload, not a reserve
  overflow: 'reject',
  timeoutMs: 5_000,
  layers: [
    deadLetter({ store: letters }),
    retry({ maxAttempts: 4, baseMs: 50, maxDelayMs: 1_000 }), // three retries
    breaker({ maxFailures: 5, cooldownMs: 2_000 }),
  ],
});

const waits: number[] = [];
function record(n: number): void {
  const acceptedAt = performance.now();
  audit
    .push({
      id: `e${n}`,
      at: new Date(),
      actor: 'user-7',
      action: 'login',
      target: 'console',
      detail: { ip: '10.0.0.1', ok: true },
    })
    .then(
      () => waits.push(performance.now() - acceptedAt),
      () => {},
    );
}

await pool.query('DROP TABLE IF EXISTS demo_audit');
const startedAt = performance.now();
for (let sent = 0; sent < perSecond * seconds; ) {
  // Clients that were held up do not all come at once: 50 ms of them at most.
  const due = Math.min(perSecond * seconds, sent + perSecond / 20, ((performance.now() - startedAt) / 1000) * perSecond);
  while (sent < due) record(sent++);
  await new Promise((resolve) => setTimeout(resolve, 1));
}
await audit.close({ deadlineMs: 30_000 });
const tookMs = performance.now() - startedAt;

waits.sort((a, b) => a - b);
const p = (share: number) => Math.round(waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? 0);
const { rows } = await pool.query('SELECT count(*)::int AS n FROM demo_audit');
console.log(
  `asked for ${perSecond}/s; written ${Math.round((rows[0].n * 1000) / tookMs)}/s; p50 ${p(0.5)} ms, p99 ${p(0.99)} ms`,
);
const { ok, failed, dead, dropped, rejected } = audit.stats();
console.log(
  `ok ${ok}, in the table ${rows[0].n}, refused for want of room ${rejected}, failed ${failed}, dead ${dead}, dropped ${dropped}`,
);
await pool.query('DROP TABLE demo_audit');
await pool.end();
