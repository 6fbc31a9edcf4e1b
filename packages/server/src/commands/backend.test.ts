import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { terminal } from '../../test/support/printed.js';
import { type BackendOptions, startBackend } from '../backend/backend.js';
import { run } from '../cli.js';
import { backend } from './backend.js';

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function start(options: Partial<BackendOptions> = {}) {
  const running = await startBackend({ port: 0, data: { foo: 12, bar: 100 }, ...options });
  open.push(() => running.close());
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${running.port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return { get, running };
}

test('R-1: keys are answered in the order asked, missing ones left out, and every hit is logged with its raw URL', async () => {
  const { get } = await start({ data: JSON.parse('{"foo":12,"a,b":1,"__proto__":2}') });
  const before = Date.now();
  expect(await get('/read?keys=foo,nope,a%2Cb,__proto__')).toEqual({ status: 200, text: '{"foo":12,"a,b":1,"__proto__":2}' });
  expect((await get('/read')).status).toBe(400);
  const hits = JSON.parse((await get('/_log')).text) as { atMs: number; url: string }[];
  expect(hits.map(({ url }) => url)).toEqual(['/read?keys=foo,nope,a%2Cb,__proto__', '/read']);
  expect(hits[0]?.atMs).toBeGreaterThanOrEqual(before);
});

test('failures come at the rate asked for', async () => {
  const draws = [0.05, 0.5];
  const { get } = await start({ failRate: 0.1, random: () => draws.shift() ?? 0 });
  expect((await get('/read?keys=foo')).status).toBe(500);
  expect((await get('/read?keys=foo')).status).toBe(200);
});

test('keys can be dropped, a status forced, an answer delayed', async () => {
  expect((await (await start({ dropKeys: ['foo'] })).get('/read?keys=foo,bar')).text).toBe('{"bar":100}');
  expect((await (await start({ status: 503 })).get('/read?keys=foo')).status).toBe(503);
  const startedAt = performance.now();
  await (await start({ latencyMs: 30 })).get('/read?keys=foo');
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(29);
});

test('closing does not wait for slow answers', async () => {
  const { get, running } = await start({ latencyMs: 60_000 });
  const answer = get('/read?keys=foo');
  while (running.hits.length === 0) await new Promise(setImmediate);
  await running.close();
  expect((await answer).status).toBe(503);
});

test('the command serves a file until it is stopped', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-backend-'));
  open.push(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'table.json'), '{"x":1}');
  const stop = new AbortController();
  const io = terminal();
  let answer = '';
  const code = await backend({
    port: 0,
    data: join(folder, 'table.json'),
    signal: stop.signal,
    io,
    onListening: async ({ port }) => {
      answer = await (await fetch(`http://127.0.0.1:${port}/read?keys=x`)).text();
      stop.abort();
    },
  });
  expect([code, answer]).toEqual([0, '{"x":1}']);
  expect(io.printed.out).toMatch(/1 key at http:\/\/127\.0\.0\.1:\d+\/read\?keys=x\n/);
});

test.each([
  [['--port', '70000'], 'Expected a port from 0 to 65535, in digits.'],
  [['--port', 'x'], 'Expected a port'],
  [['--fail', '2'], 'Expected a rate from 0 to 1.'],
  [['--latency', '-1'], 'Expected milliseconds'],
  [['--data', '/no/such'], 'cannot be read'],
  [['--data', '{"a":'], 'is not valid JSON'],
])('backend %j is a wrong call', async (args, sentence) => {
  const io = terminal();
  const code = await run(['backend', ...args], io);
  expect([code, io.printed.err]).toEqual([2, expect.stringContaining(sentence)]);
});

test('a port in use is one sentence and exit code 1', async () => {
  const { running } = await start();
  const io = terminal();
  const code = await run(['backend', '--port', String(running.port)], io);
  expect([code, io.printed.err]).toEqual([1, expect.stringContaining('is in use by another program')]);
});
