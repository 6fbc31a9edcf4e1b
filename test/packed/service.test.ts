/** The packed service, used by a stranger: installed in a project of its own, and nothing but its command line and common clients. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usePostgres } from '../../packages/server/test/support/postgres.js';
import { startPrometheus } from '../../packages/server/test/support/prometheus.js';
import { eventually, sluice as run, useServices } from '../../packages/server/test/support/service.js';
import { lacks, output, piped, psql, shell } from '../../packages/server/test/support/tools.js';
import { installBoth, packBoth } from './install.js';

let place = '';
let app = '';
const program = () => join(app, 'node_modules/.bin/sluice');

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'sluice-packed-'));
  app = join(place, 'app');
  await installBoth(app, await packBoth(place), ['cloudevents']);
}, 120_000);
afterAll(() => rm(place, { recursive: true, force: true }));

const services = useServices(program);
const database = usePostgres();
/** Slow machines have much else to do. */
const minutes = { timeout: 180_000 };

/** The installed `sluice`, run in a folder; it must succeed. */
async function sluice(cwd: string, ...args: readonly string[]): Promise<string> {
  const { code, out, err } = await run(args, { cwd, program: program() });
  if (code !== 0) throw new Error(`sluice ${args.join(' ')} ended with ${code}:\n${out}${err}`);
  return out;
}

let folders = 0;
/** A project's folder with a configuration, and an installed service that runs with it. */
async function started(pipelines: string, more = '') {
  const folder = join(place, `project-${++folders}`);
  await mkdir(folder);
  const databaseUrl = await database.freshDatabase();
  const configure = (text: string) => writeFile(join(folder, 'sluice.config.yaml'), `${more}pipelines:\n${text}`);
  await configure(pipelines);
  const service = await services.up(join(folder, 'data'), ['--config', join(folder, 'sluice.config.yaml')], {
    DATABASE_URL: databaseUrl,
  });
  const control = (...args: readonly string[]) => sluice(folder, ...args, '--control', service.controlUrl);
  return {
    ...{ folder, service, databaseUrl, configure, control },
    push: (...args: readonly string[]) => sluice(folder, 'push', ...args, '--url', service.url),
    file: (name: string, lines: readonly object[]) =>
      writeFile(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
    rows: (sql: string) => psql(databaseUrl, sql),
    /** Drains it from afar, as an operator does; its report and exit code. */
    async drain() {
      await control('drain', '--wait');
      return service.ended;
    },
  };
}

/** The commands that a service prints to be tried. */
const curls = (banner: string) => [...banner.matchAll(/^ {2}(curl .+)$/gm)].map(([, line]) => line!.replace('curl', 'curl -sS'));

const numbered = (from: number, count: number) => Array.from({ length: count }, (_, i) => ({ id: `e${from + i}`, n: from + i }));

describe.skipIf(lacks('curl', 'psql'))('the packed service, by curl and psql', () => {
  it('starts with no configuration, and the commands that it prints do what they say', minutes, async () => {
    const { child, ended, banner, databaseUrl } = await services.up(await services.dataDir());
    const [post, read, look] = curls(banner);
    expect(JSON.parse(await shell(post!))).toMatchObject({ ack: 'durable', accepted: 1 });
    expect(JSON.parse(await shell(read!))).toEqual({ foo: 12, bar: 100 });
    expect(JSON.parse(await shell(look!))).toMatchObject({ pipelines: [{ name: 'events', state: 'running' }] });
    const rows = () => psql(databaseUrl, "SELECT id, payload->>'hello' FROM events").catch(() => []);
    await eventually(rows, (found) => found.join() === '1|world');
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ code: 0, out: expect.stringMatching(/delivered since the start +1\n/) });
  });

  it('prints commands that work with a key in SLUICE_KEY, where it asks for one', minutes, async () => {
    const { key, entry } = JSON.parse(
      await sluice(place, 'key', 'me', '--tenant', 'me', '--scope', 'write', 'read', 'admin', '--json'),
    );
    const { service } = await started('  events: { sink: { type: postgres } }\n', `keys: [${JSON.stringify(entry)}]\n`);
    const commands = curls(service.banner);
    expect(commands.length).toBe(3);
    const answers = await Promise.all(commands.map((line) => shell(line, { SLUICE_KEY: key })));
    expect(answers.map((answer) => JSON.parse(answer))).toMatchObject([
      { accepted: 1 },
      { foo: 12 },
      { pipelines: [{ name: 'events' }] },
    ]);
  });

  it('R-122: loses nothing of a pushed file while PostgreSQL is down, and says so meanwhile', minutes, async () => {
    const { service, file, push, rows, control, drain } = await started('  events: { sink: { type: postgres } }\n');
    await file('first.ndjson', numbered(0, 500));
    expect(await push('events', 'first.ndjson', '--ack', 'committed')).toMatch(/500/);
    expect(await rows('SELECT count(*) FROM events')).toEqual(['500']);

    process.kill(database.server.pid, 'SIGKILL');
    await file('second.ndjson', numbered(500, 500));
    await push('events', 'second.ndjson');
    const ready = () => output('curl', '-sS', '-w', '%{http_code}', `${service.url}/readyz`);
    await eventually(ready, (answer) => answer.endsWith('503') && answer.includes('events are kept in the log'));
    expect(await control('lag')).toMatch(/^events +events +0 +500 /m);

    await database.server.ensureRunning();
    await eventually(
      () => rows('SELECT count(DISTINCT id), count(*) FROM events').catch(() => []),
      (found) => found[0] === '1000|1000',
      60_000,
    );
    await eventually(ready, (answer) => answer.endsWith('200'));
    expect(await drain()).toMatchObject({ code: 0, out: expect.stringMatching(/left in the log +0\n +lost +0\n/) });
  });

  it('finds the dead letters of a bad file, and redrives them when the table is mended', minutes, async () => {
    const { file, push, rows, control } = await started(
      `  orders:
    sink:
      type: postgres
      table: orders
      columns: { id: id, total: payload.total }
      createTable: 'CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, total integer)'
      conflict: { columns: [id] }
`,
    );
    const orders = Array.from({ length: 100 }, (_, i) => ({ id: `o${i}`, total: i % 25 === 7 ? 'a dozen' : i }));
    await file('orders.ndjson', orders);
    await push('orders', 'orders.ndjson');
    await eventually(
      () => rows('SELECT count(*) FROM orders').catch(() => []),
      (found) => found[0] === '96',
    );
    await eventually(
      () => control('dlq', 'groups', '--stream', 'orders'),
      (text) => /^ +4 .+PG_22P02/m.test(text),
    );
    const [letter] = (await control('dlq', 'ls', '--json', '--limit', '1'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(await control('dlq', 'show', letter.id, '--payload')).toContain('"total":"a dozen"');

    // What was wrong is the table: a total may be a text.
    await rows('ALTER TABLE orders ALTER total TYPE text');
    expect(await control('dlq', 'redrive', '--code', 'PG_22P02')).toContain('4 of 4 letters sent again');
    await eventually(
      () => rows("SELECT count(*), count(*) FILTER (WHERE total = 'a dozen') FROM orders"),
      (found) => found[0] === '100|4',
    );
    await control('dlq', 'purge', '--state', 'redriven', '--yes');
    expect(await control('dlq', 'ls')).toContain('There are no such dead letters');
  });
});

describe.skipIf(lacks('prometheus', 'promtool', 'curl'))('the packed service, by Prometheus', () => {
  it('R-99, R-118: is scraped, and the installed rules raise an alert for dead letters, unchanged', minutes, async () => {
    await writeFile(
      join(place, 'refuse.mjs'),
      "export default (events) => events.map(({ data }) => (data.bad ? { verdict: 'dead', reason: 'bad' } : 'ack'));",
    );
    const { folder, service, file, push } = await started('  events: { sink: { type: module, handler: ../refuse.mjs } }\n');
    const metrics = await output('curl', '-sS', `${service.controlUrl}/metrics`);
    const { said } = await piped(metrics, 'promtool', 'check', 'metrics');
    expect(said.split('\n').filter((line) => line.startsWith('sluice_'))).toEqual([]);

    const prometheus = await startPrometheus(
      folder,
      service.controlUrl,
      join(app, 'node_modules/@sluice/server/alerts/sluice.rules.yml'),
    );
    try {
      const dead = 'sluice_items_total{pipeline="events",outcome="dead"}';
      // An increase is one from a value that was seen.
      await eventually(
        () => prometheus.value(dead),
        (value) => value === 0,
        60_000,
      );
      await file('bad.ndjson', [...numbered(0, 20), { id: 'bad', bad: true }]);
      await push('events', 'bad.ndjson');
      await eventually(
        () => prometheus.value(dead),
        (value) => value === 1,
        60_000,
      );
      await eventually(
        () => prometheus.firing(),
        (alerts) => alerts.includes('SluiceDeadLetters'),
        60_000,
      );
    } finally {
      await prometheus.stop();
    }
  });
});

describe.skipIf(lacks('wrk', 'psql'))('the packed service, by wrk', () => {
  it('changes a window while it is under load, and drains with every accepted event in the table', minutes, async () => {
    const pipeline = (maxDelayMs: number) => `  events: { sink: { type: postgres }, window: { maxDelayMs: ${maxDelayMs} } }\n`;
    const { folder, service, rows, configure, control, drain } = await started(pipeline(20));
    await writeFile(
      join(folder, 'post.lua'),
      `local me = tostring({}):gsub('%W', '')
local n = 0
request = function()
  n = n + 1
  return wrk.format('POST', nil, { ['content-type'] = 'application/json' }, '{"id":"' .. me .. n .. '"}')
end
`,
    );
    const load = output('wrk', '-t2', '-c8', '-d5s', '-s', join(folder, 'post.lua'), `${service.url}/v1/streams/events/events`);
    const taken = async () =>
      (JSON.parse(await control('streams', '--json')) as { streams: { nextOffset: number }[] }).streams[0]?.nextOffset ?? 0;
    const before = await eventually(taken, (count) => count > 0);

    await configure(pipeline(250));
    expect(await control('reload', '--dry-run')).toContain('~ pipelines.events.window.maxDelayMs: 20 → 250');
    expect(await control('reload')).toContain('Applied 1 change.');
    await configure(pipeline(0));
    await control('reload');
    expect(await control('reload', '--undo')).toContain('~ pipelines.events.window.maxDelayMs: 0 → 250');
    await eventually(taken, (count) => count > before);

    const said = await load;
    expect(said).not.toMatch(/Non-2xx/);
    const answered = Number(/(\d+) requests in/.exec(said)![1]);
    const accepted = await taken();
    const { code, out } = await drain();
    expect(out).toMatch(/left in the log +0\n +lost +0\n/);
    expect(code).toBe(0);
    expect(await rows('SELECT count(*) FROM events')).toEqual([String(accepted)]);
    expect(accepted).toBeGreaterThanOrEqual(answered);
    expect(answered).toBeGreaterThan(100);
  });
});

describe.skipIf(lacks('psql'))('the packed service, by the CloudEvents SDK', () => {
  it('takes binary, structured and batched events of an application that has it installed', minutes, async () => {
    const { service, rows } = await started('  events: { sink: { type: postgres } }\n');
    await writeFile(
      join(app, 'send.mjs'),
      `import { CloudEvent, HTTP, emitterFor, httpTransport } from 'cloudevents';
const url = process.argv[2] + '/v1/streams/events/events?ack=committed';
const event = (id) => new CloudEvent({ id, type: 'order.paid', source: '/shop', time: '2026-01-31T12:00:00Z', data: { total: 7 } });
await emitterFor(httpTransport(url))(event('binary'));
const send = async ({ headers, body }) => console.log((await fetch(url, { method: 'POST', headers, body })).status);
await send(HTTP.structured(event('structured')));
await send({
  headers: { 'content-type': 'application/cloudevents-batch+json' },
  body: JSON.stringify([event('batched-1'), event('batched-2')]),
});
`,
    );
    expect(await output(process.execPath, join(app, 'send.mjs'), service.url)).toBe('200\n200\n');
    expect(await rows("SELECT id, payload->'data'->>'total' FROM events ORDER BY id")).toEqual(
      ['batched-1', 'batched-2', 'binary', 'structured'].map((id) => `/shop#${id}|7`),
    );
  });
});
