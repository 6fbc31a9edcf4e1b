/** A service in this process that relays an outbox of the configuration: from a transaction, through the log, into a table, once. */

import pg from 'pg';
import { createOutbox, type OutboxEvent } from 'sluice/postgres';
import { describe, expect, it } from 'vitest';
import { configSchema } from '../src/config/config.js';
import type { Service } from '../src/service/service.js';
import { debianPostgres15, skipDebianPostgres15, usePostgres } from './support/postgres.js';
import { query } from './support/query.js';
import { sluice, useRunning } from './support/running.js';

describe.each([
  ['the embedded PostgreSQL', undefined, false],
  ["Debian's PostgreSQL 15", debianPostgres15, skipDebianPostgres15],
])('on %s', (_name, binDir, skip) => {
  describe.skipIf(skip)('the outboxes of a service', () => {
    const postgres = usePostgres(binDir === undefined ? {} : { binDir });
    const outbox = createOutbox({ table: 'shop_outbox' });
    const world = useRunning();

    function start(database: string, fields: object = {}): Promise<Service> {
      return world.startWith({
        database,
        outboxes: { shop: { table: 'shop_outbox', pollMs: 50, ...fields } },
        pipelines: {
          orders: {
            sink: { type: 'postgres', table: 'orders', columns: { id: 'id', n: 'payload.n' }, effectivelyOnce: true },
            window: { maxDelayMs: 5 },
          },
        },
      });
    }

    async function transaction(database: string, events: readonly OutboxEvent[], end = 'COMMIT'): Promise<void> {
      const client = new pg.Client({ connectionString: database });
      await client.connect();
      try {
        await client.query('BEGIN');
        await outbox.enqueue(client, events);
        await client.query(end);
      } finally {
        await client.end();
      }
    }

    const orders = (database: string) => query<{ id: string; n: number }>(database, 'SELECT id, n FROM orders ORDER BY n, id');
    const ready = async () => (await fetch(`${world.service.controlUrl}/readyz`)).json() as Promise<{ reasons: string[] }>;

    it('R-124: what commits is in the table once, over a restart of the service; what is rolled back has never been', async () => {
      const database = await postgres.freshDatabase();
      await query(database, 'CREATE TABLE orders (id text, n int)');
      await start(database);
      await transaction(database, [
        { id: 'a', stream: 'orders', key: 'k', payload: { n: 1 } },
        { id: 'b', stream: 'orders', key: 'k', payload: { n: 2 } },
      ]);
      await transaction(database, [{ id: 'never', stream: 'orders', payload: { n: 3 } }], 'ROLLBACK');
      await expect.poll(() => orders(database), { timeout: 20_000 }).toHaveLength(2);
      await world.service.stop(10_000);
      await transaction(database, [{ id: 'c', stream: 'orders', payload: { n: 4 } }]);
      // As if it had died before it could write down what it had relayed: the log knows the ids.
      await query(database, "UPDATE shop_outbox_shards SET delivered = '1:1:', upto = NULL, after_seq = NULL");
      await start(database);
      await expect.poll(() => orders(database), { timeout: 20_000 }).toHaveLength(3);
      await world.service.stop(10_000);
      expect(await orders(database)).toEqual([
        { id: 'a', n: 1 },
        { id: 'b', n: 2 },
        { id: 'c', n: 4 },
      ]);
    });

    it('an event whose payload is not JSON is a dead letter of its outbox; the others of its transaction go to the stream that is given', async () => {
      const database = await postgres.freshDatabase();
      await query(database, 'CREATE TABLE orders (id text, n int)');
      await start(database, { stream: 'orders' });
      expect(await ready()).toMatchObject({ reasons: [] });
      await transaction(database, [
        { id: 'a', payload: { n: 1 } },
        { id: 'bad', payload: '{"secret":' },
        { id: 'not text', payload: Buffer.from([0x22, 0xff, 0x22]) },
        { id: 'b', stream: 'elsewhere', payload: { n: 2 } },
      ]);
      await expect.poll(() => orders(database), { timeout: 20_000 }).toHaveLength(2);
      const client = new pg.Client({ connectionString: database });
      await client.connect();
      const read = () => outbox.deadLetters(client);
      await expect.poll(read, { timeout: 20_000 }).toHaveLength(2);
      const letters = await read();
      await client.end();
      expect(letters.map(({ id, code }) => [id, code])).toEqual([
        ['bad', 'INVALID_VALUE'],
        ['not text', 'INVALID_VALUE'],
      ]);
      expect(letters.map(({ message }) => message).join()).not.toContain('secret');
      const metrics = async () => (await fetch(`${world.service.controlUrl}/metrics`)).text();
      await expect.poll(metrics, { timeout: 20_000 }).toMatch(/^sluice_outbox_events_total\{outbox="shop",outcome="dead"\} 2$/m);
      expect(await metrics()).toMatch(/^sluice_outbox_relaying\{outbox="shop"\} 1$/m);
      expect(world.service.live.diff({ ...world.service.live.loaded, config: configSchema.parse({}) })).toContainEqual(
        expect.objectContaining({ path: 'outboxes.shop', needsRestart: true }),
      );
    });

    it('its lag is measured; its dead letters are listed, put back and removed', async () => {
      const database = await postgres.freshDatabase();
      await query(database, 'CREATE TABLE orders (id text, n int)');
      await start(database, { stream: 'orders' });
      await transaction(database, [
        { id: 'a', payload: { n: 1 } },
        { id: 'bad', payload: 'not JSON' },
        { id: 'worse', payload: '{' },
      ]);
      const outboxes = (...args: string[]) => sluice('outboxes', ...args, '--control', world.service.controlUrl);
      const ids = async (...args: string[]) =>
        (await outboxes('letters', 'shop', '--json', ...args)).out
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line).id);
      await expect.poll(() => ids(), { timeout: 20_000 }).toEqual(['bad', 'worse']);
      expect(await ids('--limit', '1')).toEqual(['bad']);
      expect((await outboxes('letters', 'shop')).out).not.toContain('not JSON');
      expect((await outboxes('letters', 'shop', '--payload')).out).toContain('bad: not JSON');
      await query(database, "UPDATE shop_outbox_dead SET payload = '{\"n\": 2}' WHERE id = 'bad'");
      expect(await outboxes('redrive', 'shop', '--id', 'bad')).toMatchObject({
        code: 0,
        out: '1 letter put back into the outbox.\n',
      });
      await expect.poll(() => orders(database), { timeout: 20_000 }).toHaveLength(2);
      expect((await outboxes('purge', 'shop', '--all')).code).toBe(2);
      expect((await outboxes('purge', 'shop', '--yes')).code).toBe(2);
      expect((await outboxes('purge', 'nope', '--all', '--yes')).err).toContain('there is no outbox of this name; there is shop');
      expect(await ids()).toEqual(['worse']);
      expect((await outboxes('purge', 'shop', '--code', 'INVALID_VALUE', '--yes')).out).toBe('1 letter removed.\n');
      expect(await ids()).toEqual([]);
      const metrics = async () => (await fetch(`${world.service.controlUrl}/metrics`)).text();
      await expect.poll(metrics, { timeout: 30_000 }).toMatch(/^sluice_outbox_lag_items\{outbox="shop"\} 0$/m);
      expect((await outboxes('ls')).out).toMatch(/^OUTBOX .*\nshop +0 +- +2 +2\n$/);
    });

    it('is looked at over one connection that stays, and its lag is counted to a bound', async () => {
      const database = await postgres.freshDatabase();
      await query(database, 'CREATE TABLE orders (id text, n int)');
      await start(database, { createTable: true });
      const looks = () =>
        query<{ pid: number; since: string }>(
          database,
          "SELECT pid, query_start::text AS since FROM pg_stat_activity WHERE application_name = 'sluice outbox' AND datname = current_database()",
        );
      await expect.poll(looks, { timeout: 20_000 }).toHaveLength(1);
      const [first] = await looks();
      await expect.poll(async () => (await looks())[0]?.since, { timeout: 20_000 }).not.toBe(first!.since);
      expect((await looks()).map(({ pid }) => pid)).toEqual([first!.pid]);
      // Its relays stop at a row that they cannot have, so that all that is enqueued is left.
      await query(
        database,
        "BEGIN; UPDATE shop_outbox_shards SET epoch = epoch + 1, owner = gen_random_uuid(), until = clock_timestamp() + interval '1 hour'; COMMIT",
      );
      await query(database, "INSERT INTO shop_outbox (stream, payload) SELECT 'orders', '{}' FROM generate_series(1, 10050)");
      const metrics = async () => (await fetch(`${world.service.controlUrl}/metrics`)).text();
      await expect.poll(metrics, { timeout: 30_000 }).toMatch(/^sluice_outbox_lag_items\{outbox="shop"\} 10000$/m);
      const { out } = await sluice('outboxes', 'ls', '--control', world.service.controlUrl);
      expect(out).toMatch(/^shop +10000\+ /m);
    }, 90_000);

    it('an event that could not come in by HTTP, for its stream, its text or the length of its key, is a dead letter; those beside it are not', async () => {
      const database = await postgres.freshDatabase();
      await query(database, 'CREATE TABLE orders (id text, n int)');
      await start(database);
      await transaction(database, [
        { id: 'a', stream: 'orders', payload: { n: 1 } },
        { id: 'dots', stream: '..', payload: {} },
        { id: 'slash', stream: 'a/b c', payload: {} },
        { id: 'nul', stream: 'orders', payload: { n: 2, text: 'a\0' } },
        { id: 'half', stream: 'orders', payload: '{"text":"\\ud83d"}' },
        { id: 'escaped', stream: 'orders', payload: { n: 3, text: '\\u0000' } },
        { id: 'large', stream: 'orders', payload: { n: 4, text: 'x'.repeat(2 << 20) } },
      ]);
      const insert = `INSERT INTO shop_outbox (id, stream, key, payload) VALUES`;
      await query(database, `${insert} ('long key', 'orders', repeat('k', 600), '{}'), ('b', 'orders', 'k', '{"n": 5}')`);
      await query(database, 'NOTIFY shop_outbox');
      const ids = async () => (await orders(database)).map(({ id }) => id);
      await expect.poll(ids, { timeout: 20_000 }).toEqual(['a', 'escaped', 'large', 'b']);
      const letters = () => query<{ id: string; code: string }>(database, 'SELECT id, code FROM shop_outbox_dead ORDER BY id');
      await expect
        .poll(letters, { timeout: 20_000 })
        .toEqual(['dots', 'half', 'long key', 'nul', 'slash'].map((id) => ({ id, code: 'INVALID_VALUE' })));
      const streams = (await world.service.log.streams()).map(({ stream }) => stream);
      expect([...new Set(streams)]).toEqual(['orders']);
    });

    it('a database that lacks the tables is waited for, and said', async () => {
      const database = await postgres.freshDatabase();
      await query(database, 'CREATE TABLE orders (id text, n int)');
      await start(database, { createTable: false });
      await expect
        .poll(async () => (await ready()).reasons, { timeout: 20_000 })
        .toEqual([expect.stringMatching(/^the outbox shop is not relayed: .*; its events are kept in their table$/)]);
      expect(await sluice('outboxes', 'letters', 'shop', '--control', world.service.controlUrl)).toEqual({
        code: 1,
        out: '',
        err: expect.stringMatching(
          /^sluice outboxes: the database of the outbox refuses this: .*"shop_outbox_dead" does not exist \(PG_42P01\); make its tables/,
        ),
      });
      const client = new pg.Client({ connectionString: database });
      await client.connect();
      await outbox.migrate(client);
      await client.end();
      await transaction(database, [{ id: 'a', stream: 'orders', payload: { n: 1 } }]);
      await expect.poll(() => orders(database), { timeout: 30_000 }).toHaveLength(1);
      await expect.poll(async () => (await ready()).reasons, { timeout: 20_000 }).toEqual([]);
    });
  });
});
