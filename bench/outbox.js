/** Outbox: what enqueueing and relaying cost, on the same cores as PostgreSQL, fsync on. */

import { createOutbox, createRelay } from 'sluice/postgres';
import { withPostgres } from './postgres-server.js';
import { heading, median, percentile, report } from './support.js';

const events = 100_000;
const perTransaction = 100;

export async function benchOutbox() {
  heading(`outbox, ${events.toLocaleString('en')} events of 100 bytes, ${perTransaction} a transaction, 4 connections, fsync on`);
  await withPostgres(4, async (pool) => {
    const enqueued = [];
    const relayed = [];
    const delays = [];
    for (let round = 0; round < 3; round++) {
      await pool.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
      const outbox = createOutbox();
      await outbox.migrate(pool);
      enqueued.push(await rate(() => enqueueAll(pool, outbox)));
      relayed.push(await rate(() => relayAll(pool, outbox)));
      delays.push(...(await delaysOf(pool, outbox)));
    }
    report('events/s', { enqueue: median(enqueued), 'relay, backlog': median(relayed) }, 'enqueue', { higherIsBetter: true });
    console.log(
      `  from commit to sink, one at a time: p50 ${median(delays).toFixed(1)} ms, p99 ${percentile(delays, 0.99).toFixed(1)} ms`,
    );
  });
}

async function rate(run) {
  const startedAt = performance.now();
  await run();
  return (events * 1000) / (performance.now() - startedAt);
}

async function enqueueAll(pool, outbox) {
  let left = events / perTransaction;
  const payload = 'x'.repeat(100);
  const writer = async () => {
    const client = await pool.connect();
    while (left-- > 0) {
      const batch = Array.from({ length: perTransaction }, (_, i) => ({ key: `${(left * 31 + i) % 5_000}`, payload }));
      await client.query('BEGIN');
      await outbox.enqueue(client, batch);
      await client.query('COMMIT');
    }
    client.release();
  };
  await Promise.all([1, 2, 3, 4].map(writer));
}

async function relayAll(pool, outbox) {
  let left = events;
  let done = () => {};
  const finished = new Promise((resolve) => {
    done = resolve;
  });
  const sink = {
    atomic: true,
    idempotent: true,
    async write(records) {
      left -= records.length;
      if (left === 0) done();
    },
  };
  const relay = createRelay({ outbox, pool, sink });
  await finished;
  await relay.close();
}

async function delaysOf(pool, outbox) {
  const delays = [];
  let committedAt = 0;
  let next = () => {};
  const sink = {
    atomic: true,
    async write() {
      delays.push(performance.now() - committedAt);
      next();
    },
  };
  const relay = createRelay({ outbox, pool, sink });
  const client = await pool.connect();
  for (let i = 0; i < 200; i++) {
    const delivered = new Promise((resolve) => {
      next = resolve;
    });
    await client.query('BEGIN');
    await outbox.enqueue(client, { key: 'k', payload: 'x' });
    await client.query('COMMIT');
    committedAt = performance.now();
    await delivered;
  }
  client.release();
  await relay.close();
  return delays.slice(20);
}
