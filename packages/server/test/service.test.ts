/** The main job as a user would try it: the built program, real processes, a real PostgreSQL. */

import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { usePostgres } from './support/postgres.js';
import { query } from './support/query.js';
import { eventually, ndjson, post, sluice, useServices } from './support/service.js';

const services = useServices();

const rowCount = (service: { query: (sql: string) => Promise<{ n: number }[]> }) => async () =>
  (await service.query('select count(*)::int as n from events'))[0]!.n;

/** Process id of the embedded server: the first line of its lock file. */
async function postmasterOf(service: { query: (sql: string) => Promise<Record<string, unknown>[]> }): Promise<number> {
  const [row] = await service.query("select pg_read_file('postmaster.pid') as text");
  return Number(String(row!.text).split('\n')[0]);
}

async function hungDatabase(): Promise<{ readonly url: string; close(): void }> {
  const sockets = new Set<import('node:net').Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as import('node:net').AddressInfo;
  return {
    url: `postgres://nobody@127.0.0.1:${port}/none`,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe('sluice up', () => {
  it('brings events from HTTP into PostgreSQL, once each, and reports duplicates', async () => {
    const service = await services.up(await services.dataDir());
    expect(await post(service.url, ndjson(0, 100), 'committed')).toEqual({
      status: 200,
      body: { ack: 'committed', accepted: 100, duplicates: 0, rejected: 0, errors: [] },
    });
    expect(await post(service.url, ndjson(50, 100), 'committed')).toMatchObject({
      status: 200,
      body: { accepted: 50, duplicates: 50 },
    });
    const rows = await service.query<{ tenant: string; id: string; time: Date | null; payload: { n: number } }>(
      "select * from events order by (payload->>'n')::int",
    );
    expect(rows.map((row) => row.payload.n)).toEqual(Array.from({ length: 150 }, (_, i) => i));
    expect(rows[0]).toMatchObject({ tenant: '_', id: 'e0', time: null, payload: { id: 'e0', n: 0 } });
  });

  it('parks an event that PostgreSQL refuses, writes the others of its batch, and says so to who waits', async () => {
    const service = await services.up(await services.dataDir());
    // A number that JSON allows and PostgreSQL's numeric does not hold.
    const body = `${ndjson(0, 10)}{"id":"bad","n":1e999999}\n${ndjson(10, 10)}`;
    const reply = await post(service.url, body, 'committed');
    expect(reply.body).toMatchObject({
      ack: 'committed',
      accepted: 21,
      rejected: 0,
      errors: [{ index: 10, code: 'DEAD_LETTERED' }],
    });
    expect(await rowCount(service)()).toBe(20);
    const letters = (await (await fetch(`${service.controlUrl}/v1/dead-letters`)).json()) as {
      count: number;
      deadLetters: { record: { id: string; payload: string } }[];
    };
    expect(letters).toMatchObject({
      count: 1,
      deadLetters: [{ code: 'PG_22003', record: { id: 'bad', payload: '{"id":"bad","n":1e999999}' } }],
    });
    expect(await post(service.url, '{"id":"bad","n":1}\n', 'committed')).toMatchObject({
      body: { duplicates: 1, errors: [{ code: 'DEAD_LETTERED' }] },
    });
    service.child.kill('SIGTERM');
    const { err } = await service.ended;
    expect(err).toMatch(/"items":1,"codes":\["PG_22003"\],"msg":"the group events has parked 1 event of the stream events /);
    expect(err).not.toContain('1e999999');
  });

  it('reads of many clients within the window are one call to the backend, and each gets its own answer', async () => {
    const service = await services.up(await services.dataDir());
    const reads = Array.from({ length: 40 }, async (_, i) => {
      const key = i % 2 === 0 ? 'foo' : 'bar';
      const response = await fetch(`${service.url}/read?keys=${key}`);
      return [key, await response.json()];
    });
    for (const [key, body] of (await Promise.all(reads)) as [string, unknown][])
      expect(body).toEqual(key === 'foo' ? { foo: 12 } : { bar: 100 });
    const log = (await (await fetch(new URL('/_log', service.backendUrl))).json()) as { url: string }[];
    expect(log.map((hit) => hit.url)).toEqual(['/read?keys=foo,bar']);
  });

  it('delivers everything acknowledged as durable once, after a kill -9 in the middle of a push', async () => {
    const dataDir = await services.dataDir();
    const first = await services.up(dataDir);
    const acknowledged: string[] = [];
    let killed = false;
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let batch = 0; !killed; batch++) {
        const from = (writer * 1000 + batch) * 100;
        try {
          const reply = await post(first.url, ndjson(from, 100), 'durable');
          if (reply.status === 200) for (let i = 0; i < 100; i++) acknowledged.push(`e${from + i}`);
        } catch {
          return;
        }
        if (acknowledged.length > 5_000 && !killed) {
          killed = true;
          first.child.kill('SIGKILL');
        }
      }
    });
    await Promise.all(writers);
    await first.ended;
    const second = await services.up(dataDir);
    await eventually(
      async () =>
        ((await (await fetch(`${second.controlUrl}/v1/pipelines`)).json()) as { pipelines: { lag: { items: number } }[] })
          .pipelines[0]!.lag.items,
      (items) => items === 0,
    );
    const ids = (await second.query<{ id: string }>('select id from events')).map((row) => row.id);
    expect(new Set(ids).size).toBe(ids.length);
    const stored = new Set(ids);
    expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
    expect(acknowledged.length).toBeGreaterThan(5_000);
  });

  it('SIGTERM delivers what was accepted and not yet written, then exits with 0', async () => {
    const service = await services.up(await services.dataDir());
    const url = service.databaseUrl;
    // Keeps its own connection string: after the stop the database is started again to look.
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, i) => post(service.url, ndjson(i * 1000, 1000), 'accepted')),
    );
    expect(replies.map((reply) => reply.status)).toEqual(Array(10).fill(202));
    service.child.kill('SIGTERM');
    const { code, out } = await service.ended;
    expect(out).toMatch(/delivered since the start +10000\n/);
    expect(out).toMatch(/left in the log +0\n/);
    expect(out).toMatch(/lost +0\n/);
    expect(code).toBe(0);
    expect(url).toContain('127.0.0.1');
  });

  it('SIGTERM with a database that hangs exits within the deadline plus one second, with 0: what is left is safe in the log', async () => {
    const dataDir = await services.dataDir();
    const hung = await hungDatabase();
    const service = await services.up(dataDir, ['--deadline', '2'], { DATABASE_URL: hung.url });
    await post(service.url, ndjson(0, 500), 'accepted');
    const startedAt = performance.now();
    service.child.kill('SIGTERM');
    const { code, out } = await service.ended;
    const tookMs = performance.now() - startedAt;
    hung.close();
    expect(out).toMatch(/left in the log +500 +\(safe/);
    expect(out).toMatch(/lost +0\n/);
    expect(code).toBe(0);
    expect(tookMs).toBeGreaterThan(1_900);
    expect(tookMs).toBeLessThan(3_000);

    const next = await services.up(dataDir);
    expect(await eventually(rowCount(next), (n) => n === 500)).toBe(500);
  });

  it('starts its own PostgreSQL again when that has died, and delivers what was kept meanwhile', async () => {
    const dataDir = await services.dataDir();
    const service = await services.up(dataDir);
    await post(service.url, ndjson(0, 10), 'committed');
    process.kill(await postmasterOf(service), 'SIGKILL');
    await post(service.url, ndjson(10, 10), 'durable');
    expect(
      await eventually(
        () => rowCount(service)().catch(() => 0),
        (n) => n === 20,
      ),
    ).toBe(20);
  });

  it('uses its own PostgreSQL as soon as that has been started again, whatever a breaker would wait for', async () => {
    const dataDir = await services.dataDir();
    const file = join(dataDir, 'sluice.config.yaml');
    const pipeline = '{ sink: { type: postgres }, breaker: { maxFailures: 1, cooldownMs: 3600000 } }';
    await writeFile(file, `pipelines: { events: ${pipeline} }`);
    const service = await services.up(dataDir, ['--config', file]);
    await post(service.url, ndjson(0, 10), 'committed');
    process.kill(await postmasterOf(service), 'SIGKILL');
    await post(service.url, ndjson(10, 10), 'durable');
    const rows = () => rowCount(service)().catch(() => 0);
    expect(await eventually(rows, (n) => n === 20)).toBe(20);
  });

  it('starts its own PostgreSQL again also where only an outbox uses it', async () => {
    const dataDir = await services.dataDir();
    const file = join(dataDir, 'sluice.config.yaml');
    const sink = '{ type: file, dir: out }';
    await writeFile(file, `outboxes: { shop: { table: shop_outbox, pollMs: 50 } }\npipelines: { events: { sink: ${sink} } }`);
    const service = await services.up(dataDir, ['--config', file]);
    process.kill(await postmasterOf(service), 'SIGKILL');
    const answers = () =>
      service.query('SELECT 1').then(
        () => true,
        () => false,
      );
    await eventually(answers, (does) => !does);
    expect(await eventually(answers, (does) => does)).toBe(true);
  });

  it('a second signal exits at once and says what was at stake', async () => {
    const hung = await hungDatabase();
    const service = await services.up(await services.dataDir(), ['--deadline', '60'], { DATABASE_URL: hung.url });
    await post(service.url, ndjson(0, 10), 'durable');
    service.child.stdout!.on('data', (chunk: Buffer) => {
      if (chunk.includes('taking no more events')) service.child.kill('SIGTERM');
    });
    service.child.kill('SIGTERM');
    const { code, err } = await service.ended;
    hung.close();
    expect(code).toBe(143);
    expect(err).toContain('stopped at once. 0 events existed in memory alone');
  });

  it('says in one sentence what to do about a busy port, a data folder in use, and one that cannot be made', async () => {
    const dataDir = await services.dataDir();
    const service = await services.up(dataDir);
    const second = await sluice(['up', '--data', dataDir, '--port', '0', '--control-port', '0']);
    expect(second.code).toBe(1);
    expect(second.err).toMatch(
      /^sluice: the data folder .* is in use by another instance \(process \d+\): stop that, or choose another folder with --data DIR\.\n$/,
    );
    const busy = await sluice([
      'up',
      '--data',
      await services.dataDir(),
      '--port',
      new URL(service.url).port,
      '--control-port',
      '0',
    ]);
    expect(busy.code).toBe(1);
    expect(busy.err).toMatch(
      /^sluice: port \d+ on 127\.0\.0\.1 is in use by another program; stop that, or choose another port \(--port N .*\)\.\n$/,
    );
    const impossible = await sluice(['up', '--data', `${process.execPath}/data`, '--port', '0', '--control-port', '0']);
    expect(impossible.code).toBe(1);
    expect(impossible.err).toMatch(
      /^sluice: cannot use the data folder .*: there is a file in its place; choose another with --data DIR, or change its permissions\.\n$/,
    );
  });

  it('answers health, readiness and metrics on the control plane, and the tally is balanced', async () => {
    const service = await services.up(await services.dataDir());
    await post(service.url, ndjson(0, 50), 'committed');
    expect((await fetch(`${service.controlUrl}/healthz`)).status).toBe(200);
    expect(await (await fetch(`${service.controlUrl}/readyz`)).json()).toEqual({ status: 'ready', reasons: [] });
    const scrape = async () => (await fetch(`${service.controlUrl}/metrics`)).text();
    // The cursor moves a little after those who wait are told.
    const metrics = await eventually(scrape, (text) => /^sluice_lag_items\{pipeline="events"\} 0$/m.test(text));
    expect(metrics).toMatch(/^sluice_tally_imbalance\{pipeline="events"\} 0$/m);
    expect(metrics).toMatch(/^sluice_items_total\{pipeline="events",outcome="ok"\} 50$/m);
    expect(metrics).toMatch(/^sluice_ingested_items_total\{result="accepted"\} 50$/m);
  });
});

describe('sluice up with DATABASE_URL', () => {
  const postgres = usePostgres();

  it('uses that server, makes the table when it is absent, and leaves the server alone at the end', async () => {
    const databaseUrl = await postgres.freshDatabase();
    const service = await services.up(await services.dataDir(), [], { DATABASE_URL: databaseUrl });
    await post(service.url, ndjson(0, 20), 'committed');
    service.child.kill('SIGTERM');
    expect((await service.ended).code).toBe(0);
    expect(await query(databaseUrl, 'select count(*)::int as n from events')).toEqual([{ n: 20 }]);
  });

  it('keeps events in the log while a permission is missing, says so, and delivers them once it is granted', async () => {
    const databaseUrl = await postgres.freshDatabase();
    await query(
      databaseUrl,
      "create table events (tenant text not null default '_', id text not null, time timestamptz, received_at timestamptz not null, payload jsonb not null, primary key (tenant, id))",
    );
    await query(
      databaseUrl,
      "do $$ begin if not exists (select from pg_roles where rolname = 'reader') then create role reader login password 'reader'; end if; end $$",
    );
    const asReader = new URL(databaseUrl);
    asReader.username = 'reader';
    asReader.password = 'reader';
    const service = await services.up(await services.dataDir(), [], { DATABASE_URL: asReader.href });
    await post(service.url, ndjson(0, 20), 'durable');
    const notReady = await eventually(
      async () => (await (await fetch(`${service.controlUrl}/readyz`)).json()) as { status: string; reasons: string[] },
      (readiness) => readiness.status === 'not ready',
    );
    expect(notReady.reasons[0]).toMatch(/PG_42501.*kept in the log/);
    await query(databaseUrl, 'grant select, insert on events to reader');
    expect(
      await eventually(
        async () => (await query<{ n: number }>(databaseUrl, 'select count(*)::int as n from events'))[0]!.n,
        (n) => n === 20,
      ),
    ).toBe(20);
    expect(await (await fetch(`${service.controlUrl}/v1/dead-letters`)).json()).toMatchObject({ count: 0 });
  });
});

describe('sluice push', () => {
  it('puts every line of a text into the table once, equal lines apart, and a second push adds none', async () => {
    const service = await services.up(await services.dataDir());
    const lines = `${Array.from({ length: 2_500 }, (_, i) => `line ${i % 2_400} \\ "quoted" é`).join('\n')}\n`;
    const push = () => sluice(['push', 'events', '--lines', '--url', service.url], { input: lines });
    const first = await push();
    expect(first).toMatchObject({ code: 0 });
    expect(first.out).toContain('2500 items: 2500 accepted, 0 duplicates, 0 rejected');
    expect(await eventually(rowCount(service), (n) => n >= 2_500)).toBe(2_500);
    const second = await push();
    expect(second).toMatchObject({ code: 0 });
    expect(second.out).toContain('2500 items: 0 accepted, 2500 duplicates');
    expect(second.out).toContain('all were duplicates');
    const texts = await service.query<{ line: string }>("select payload->>'line' as line from events");
    expect(texts.map((row) => row.line).sort()).toEqual(lines.trimEnd().split('\n').sort());
  });
});
