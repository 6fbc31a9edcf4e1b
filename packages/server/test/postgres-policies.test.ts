/** Rows that a policy or a view's check option refuses, against real servers and real roles: their own failure, while a missing right blocks. */

import { type PostgresSinkOptions, postgresSink } from 'sluice/postgres';
import { afterEach, expect, test } from 'vitest';
import { context, describeOnEachPostgres, failed, failureOf } from './support/postgres-sink.js';

interface Row {
  readonly id: string;
  readonly tenant: string;
  readonly n?: unknown;
}

const table = 'CREATE TABLE events (id text PRIMARY KEY, tenant text NOT NULL, n int CHECK (n < 1000))';
const policy = `${table}; ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON events USING (tenant = 'ours') WITH CHECK (tenant = 'ours')`;
const ours = (count: number): Row[] => Array.from({ length: count }, (_, i) => ({ id: `id-${i}`, tenant: 'ours', n: i % 1000 }));
const stored = 'SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM events';

describeOnEachPostgres('a role under row-level security', 2, (world) => {
  const sinks: { close?(): Promise<void> }[] = [];
  afterEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.close?.()));
    await world.observer.query('DROP OWNED BY tenant; DROP ROLE tenant');
  });

  /** A sink that writes as a role to which the policies apply. */
  async function sinkOfTenant(ddl: string, rule: Partial<PostgresSinkOptions<Row>> = {}) {
    await world.observer.query(
      `${ddl}; CREATE ROLE tenant LOGIN PASSWORD 'tenant'; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO tenant`,
    );
    const url = new URL(world.connectionString);
    [url.username, url.password] = ['tenant', 'tenant'];
    const sink = postgresSink<Row>({ connectionString: url.href, table: 'events', maxConnections: 1, ...rule });
    sinks.push(sink);
    return sink;
  }

  const rules: readonly (readonly [how: string, rule: Partial<PostgresSinkOptions<Row>>])[] = [
    ['INSERT', {}],
    ['COPY through a temporary table', { conflict: { columns: ['id'], action: 'ignore' }, copyAboveRows: 0 }],
    ['INSERT ON CONFLICT', { conflict: { columns: ['id'], action: 'update' }, copyAboveRows: 1000 }],
  ];

  test.each(rules)('a row that breaks a policy fails alone, beside other bad rows, written by %s', async (_how, rule) => {
    const sink = await sinkOfTenant(policy, rule);
    const items = ours(150);
    items[3] = { ...items[3]!, tenant: 'theirs' };
    items[70] = { ...items[70]!, n: 'bad' };
    items[149] = { ...items[149]!, tenant: 'theirs' };
    const failures = failed(await sink.write(items, context()));
    expect(Object.keys(failures)).toEqual(['3', '70', '149']);
    const refused = {
      code: 'PG_42501',
      class: 'permanent',
      message: expect.stringMatching(/violates row-level security policy/),
    };
    expect(failures).toMatchObject({ 3: refused, 70: { code: 'PG_22P02' }, 149: refused });
    expect(await world.rows(stored)).toEqual([{ n: 147, ids: 147 }]);
  });

  test('an update of a row that the policy hides is the fault of its row alone', async () => {
    const sink = await sinkOfTenant(policy, { conflict: { columns: ['id'], action: 'update' } });
    await world.observer.query(`INSERT INTO events VALUES ('id-7', 'theirs', 1)`);
    const failures = failed(await sink.write(ours(150), context()));
    expect(Object.keys(failures)).toEqual(['7']);
    expect(failures[7]).toMatchObject({ code: 'PG_42501', class: 'permanent' });
    expect(await world.rows(`SELECT tenant FROM events WHERE id = 'id-7'`)).toEqual([{ tenant: 'theirs' }]);
    expect(await world.rows(stored)).toEqual([{ n: 150, ids: 150 }]);
  });

  test('is found from here, in halves, where no temporary table may be made; halt and refuse keep their word', async () => {
    const sink = await sinkOfTenant(
      `${policy}; DO $$BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM public', current_database()); END$$`,
    );
    const items = ours(100);
    items[60] = { ...items[60]!, tenant: 'theirs' };
    expect(Object.keys(failed(await sink.write(items, context())))).toEqual(['60']);
    expect(await world.rows(stored)).toEqual([{ n: 99, ids: 99 }]);
    await world.observer.query(
      `TRUNCATE events; DO $$BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO public', current_database()); END$$`,
    );
    const own = (badRows: 'halt' | 'refuse') => ({ table: 'events', badRows, maxConnections: 1 }) as const;
    const url = new URL(world.connectionString);
    [url.username, url.password] = ['tenant', 'tenant'];
    const halting = postgresSink<Row>({ connectionString: url.href, ...own('halt') });
    const refusing = postgresSink<Row>({ connectionString: url.href, ...own('refuse') });
    sinks.push(halting, refusing);
    expect(await failureOf(refusing.write(items, context()))).toMatchObject({ code: 'PG_42501', class: 'permanent' });
    expect(await world.rows(stored)).toEqual([{ n: 0, ids: 0 }]);
    const failures = failed(await halting.write(items, context()));
    expect(failures[60]).toMatchObject({ code: 'PG_42501', class: 'permanent' });
    expect(Object.keys(failures)).toHaveLength(40);
    expect(await world.rows(stored)).toEqual([{ n: 60, ids: 60 }]);
  });

  test.each(rules)('a missing right blocks the batch, also where a row is bad besides, and heals, by %s', async (_how, rule) => {
    const sink = await sinkOfTenant(table, rule);
    const items = ours(150);
    expect(failed(await sink.write(ours(5), context()))).toEqual({});
    await world.observer.query('TRUNCATE events; REVOKE INSERT, UPDATE ON events FROM tenant');
    items[9] = { ...items[9]!, n: 'bad' };
    expect(await failureOf(sink.write(items, context()))).toMatchObject({ code: 'PG_42501', class: 'blocked' });
    await world.observer.query('GRANT INSERT, UPDATE ON events TO tenant');
    expect(Object.keys(failed(await sink.write(items, context())))).toEqual(['9']);
    expect(await world.rows(stored)).toEqual([{ n: 149, ids: 149 }]);
  });

  test('a right that is missing further down, in a trigger, blocks as well', async () => {
    const sink = await sinkOfTenant(`${policy}; CREATE SEQUENCE seen;
      CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('seen'); RETURN NULL; END$$;
      CREATE TRIGGER counted AFTER INSERT ON events FOR EACH ROW WHEN (NEW.n = 7) EXECUTE FUNCTION note_it()`);
    const items = ours(100);
    items[70] = { ...items[70]!, n: 'bad' };
    expect(await failureOf(sink.write(items, context()))).toMatchObject({ code: 'PG_42501', class: 'blocked' });
    expect(await world.rows(stored)).toEqual([{ n: 0, ids: 0 }]);
    await world.observer.query('GRANT USAGE ON SEQUENCE seen TO tenant');
    expect(Object.keys(failed(await sink.write(items, context())))).toEqual(['70']);
  });

  test.each(rules)(
    'a row that a trigger refuses with the state of a missing right fails alone, written by %s',
    async (_how, rule) => {
      const sink = await sinkOfTenant(
        `${table}; CREATE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql
      AS $$BEGIN RAISE 'no % here', NEW.tenant USING ERRCODE = 'insufficient_privilege'; END$$;
      CREATE TRIGGER refused BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.tenant <> 'ours') EXECUTE FUNCTION refuse_it()`,
        rule,
      );
      const items = ours(150);
      for (const at of [3, 149]) items[at] = { ...items[at]!, tenant: 'theirs' };
      items[70] = { ...items[70]!, n: 'bad' };
      const failures = failed(await sink.write(items, context()));
      const refused = { code: 'PG_42501', class: 'permanent', message: expect.stringMatching(/no theirs here/) };
      expect(failures).toMatchObject({ 3: refused, 70: { code: 'PG_22P02' }, 149: refused });
      expect(await world.rows(stored)).toEqual([{ n: 147, ids: 147 }]);
    },
  );

  test("a row that a view's check option refuses fails alone", async () => {
    for (const option of ['LOCAL', 'CASCADED']) {
      await world.observer.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public');
      const sink =
        await sinkOfTenant(`CREATE TABLE all_events (id text PRIMARY KEY, tenant text NOT NULL, n int CHECK (n < 1000));
        CREATE VIEW events AS SELECT * FROM all_events WHERE tenant = 'ours' WITH ${option} CHECK OPTION`);
      const items = ours(150);
      items[3] = { ...items[3]!, tenant: 'theirs' };
      items[70] = { ...items[70]!, n: 5000 };
      const failures = failed(await sink.write(items, context()));
      expect(Object.keys(failures)).toEqual(['3', '70']);
      const refused = { code: 'PG_44000', class: 'permanent', message: expect.stringMatching(/violates check option for view/) };
      expect(failures).toMatchObject({ 3: refused, 70: { code: 'PG_23514' } });
      expect(await world.rows(stored)).toEqual([{ n: 148, ids: 148 }]);
      if (option === 'LOCAL') await world.observer.query('DROP OWNED BY tenant; DROP ROLE tenant');
    }
  });
});
