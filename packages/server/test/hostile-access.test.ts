/** Hostile callers, against a whole service: keys guessed, pages of other sites, a backend that leads astray, secrets and payloads in sight. */

import { request } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { useServers } from '../../../test/servers.js';
import { makeKey } from '../src/gateway/caller.js';
import type { Service } from '../src/service/service.js';
import { useRunning } from './support/running.js';
import { launch } from './support/service.js';

const compared = vi.hoisted(() => ({ calls: [] as [number, number][] }));
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  const timingSafeEqual = (a: Uint8Array, b: Uint8Array) => {
    compared.calls.push([a.byteLength, b.byteLength]);
    return crypto.timingSafeEqual(a, b);
  };
  return { ...crypto, timingSafeEqual };
});

const servers = useServers();
const world = useRunning();

function start(fields: object = {}): Promise<Service> {
  return world.startWith({
    pipelines: { p: { stream: 'events', sink: { type: 'file', dir: 'out' }, window: { maxDelayMs: 5 } } },
    ...fields,
  });
}

/** A request with headers that `fetch` would not send as they are. */
function ask(url: string, headers: Record<string, string> = {}, method = 'GET') {
  return new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
    const call = request(url, { method, headers, agent: false }, async (response) => {
      let text = '';
      for await (const part of response) text += part;
      resolve({ status: response.statusCode!, headers: response.headers, text });
    });
    call.on('error', reject).end();
  });
}

const writer = makeKey('writer');
const admin = makeKey('admin');
const keys = [
  { id: 'writer', hash: writer.hash, tenant: 't', scopes: ['write', 'read'] },
  { id: 'admin', hash: admin.hash, tenant: 'ops', scopes: ['admin'] },
];

describe('keys', () => {
  it('that are guessed are answered alike, whether their id exists or not, and compared in constant time', async () => {
    const { url } = await start({ keys });
    const guesses = [
      {},
      { 'x-api-key': '' },
      { 'x-api-key': 'slc_writer.wrong' },
      { 'x-api-key': `${writer.key.slice(0, -1)}!` },
      { 'x-api-key': `${writer.key}0` },
      { 'x-api-key': 'slc_nobody.wrong' },
      { 'x-api-key': 'slc___proto__.wrong' },
      { 'x-api-key': `slc_${'a.'.repeat(20_000)}` },
      { authorization: `Bearer ${writer.key} ${writer.key}` },
      { authorization: 'Basic d3JpdGVyOndyb25n' },
      { authorization: 'Bearer slc_constructor.wrong', 'x-api-key': writer.key },
    ] as Record<string, string>[];
    compared.calls = [];
    const answers = [];
    for (const headers of guesses) {
      const { date: _date, ...rest } = (await ask(`${url}/read?keys=a`, headers)).headers;
      const { status, text } = await ask(`${url}/read?keys=a`, headers);
      answers.push(JSON.stringify({ status, text, rest }));
    }
    expect(new Set(answers).size).toBe(1);
    expect(JSON.parse(answers[0]!)).toMatchObject({ status: 401, rest: { 'www-authenticate': 'Bearer realm="sluice"' } });
    // One comparison of two hashes each, none of them skipped.
    expect(compared.calls).toEqual(Array(2 * guesses.length).fill([32, 32]));
    expect((await ask(`${url}/read?keys=a`, { 'x-api-key': writer.key })).status).toBe(200);
  });

  it('open no more than their scopes, on either plane', async () => {
    const { url, controlUrl } = await start({ keys });
    const paths = ['/metrics', '/v1/config', '/v1/streams', '/v1/tenants', '/v1/dead-letters', '/v1/redrives', '/v1/none'];
    for (const path of paths) {
      expect((await ask(`${controlUrl}${path}`)).status).toBe(401);
      expect((await ask(`${controlUrl}${path}`, { 'x-api-key': writer.key })).status).toBe(403);
      expect((await ask(`${controlUrl}${path}`, { 'x-api-key': admin.key })).status).toBe(path === '/v1/none' ? 404 : 200);
    }
    expect((await ask(`${controlUrl}/v1/drain`, {}, 'POST')).status).toBe(401);
    expect((await ask(`${controlUrl}/%76%31/drain`, { 'x-api-key': writer.key }, 'POST')).status).toBe(403);
    for (const path of ['/healthz', '/readyz']) expect((await ask(`${controlUrl}${path}`)).status).toBe(200);
    expect((await ask(`${controlUrl}/healthz/../metrics`)).status).not.toBe(200);
    expect((await ask(`${url}/read?keys=a`, { 'x-api-key': admin.key })).status).toBe(403);
    expect((await ask(`${url}/v1/streams/events/events`, { 'x-api-key': admin.key }, 'POST')).status).toBe(403);
  });
});

describe('a page of another site', () => {
  const port = () => new URL(world.service.controlUrl).port;

  it('does not reach the control plane under a name of its own (DNS rebinding)', async () => {
    const { controlUrl } = await start();
    for (const host of [
      'evil.example',
      `evil.example:${port()}`,
      '127.0.0.1.evil.example',
      'localhost.evil.example',
      '10.0.0.1',
    ]) {
      const answer = await ask(`${controlUrl}/v1/config`, { host });
      expect([host, answer.status]).toEqual([host, 421]);
      expect(JSON.parse(answer.text).error.code).toBe('FOREIGN_HOST');
    }
    for (const host of ['localhost', `LOCALHOST:${port()}`, '127.0.0.1', '127.8.8.8:1', '[::1]:8081'])
      expect([host, (await ask(`${controlUrl}/v1/config`, { host })).status]).toEqual([host, 200]);
    // A probe comes by whatever name.
    expect((await ask(`${controlUrl}/healthz`, { host: 'pod.cluster' })).status).toBe(200);
  });

  it('may use any name where a key is asked for, since it has none', async () => {
    const { controlUrl } = await start({ keys });
    expect((await ask(`${controlUrl}/metrics`, { host: 'sluice.internal', 'x-api-key': admin.key })).status).toBe(200);
    expect((await ask(`${controlUrl}/metrics`, { host: 'evil.example' })).status).toBe(401);
  });

  it('cannot act through the browser of somebody on this machine, nor read an answer', async () => {
    const { controlUrl, url } = await start();
    let drained = false;
    void world.service.drainWanted.then(() => {
      drained = true;
    });
    const foreign: Record<string, string>[] = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `http://127.0.0.1:1` },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of foreign) {
      for (const path of ['/v1/drain', '/v1/pipelines/p/pause', '/v1/config/reload'])
        expect((await ask(`${controlUrl}${path}`, headers, 'POST')).status).toBe(403);
      expect((await ask(`${controlUrl}/v1/dead-letters?all=true`, headers, 'DELETE')).status).toBe(403);
    }
    expect(drained).toBe(false);
    expect((await ask(`${controlUrl}/v1/pipelines/p/pause`, { origin: controlUrl }, 'POST')).status).toBe(200);
    for (const base of [controlUrl, url]) {
      const preflight = { origin: 'https://evil.example', 'access-control-request-method': 'POST' };
      for (const method of ['OPTIONS', 'GET']) {
        const answer = await ask(`${base}/healthz`, preflight, method);
        expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
      }
    }
  });
});

describe('the control plane', () => {
  it('finds no letter outside of its own, whatever the id says', async () => {
    const { controlUrl } = await start();
    const ids = [
      '../../../etc/passwd',
      '..%2f..%2fetc%2fpasswd',
      '%00',
      'p/events/0/0',
      '__proto__',
      'a'.repeat(900),
      '%ff',
      '/',
    ];
    for (const id of ids) {
      const answer = await ask(`${controlUrl}/v1/dead-letters/letters/${id}`);
      expect([id, answer.status]).toEqual([id, expect.toSatisfy((status: number) => [400, 404].includes(status))]);
      expect(JSON.parse(answer.text).error.code).toMatch(/^[A-Z_]+$/);
    }
  });

  it('takes no filter that it does not know, nor one that every object inherits', async () => {
    const { controlUrl } = await start();
    for (const name of ['__proto__', 'constructor', 'toString', 'stat']) {
      const answer = await ask(`${controlUrl}/v1/dead-letters?${name}=x`, {}, 'DELETE');
      expect([name, answer.status]).toEqual([name, 400]);
    }
  });

  it('knows pipelines with names as long as a name may be', async () => {
    const name = 'p'.repeat(128);
    const { controlUrl } = await start({ pipelines: { [name]: { sink: { type: 'file', dir: 'out' } } } });
    expect((await ask(`${controlUrl}/v1/pipelines/${name}`)).status).toBe(200);
  });

  it('shows neither passwords nor hashes nor headers, in what is and in what changes', async () => {
    const secret = 'se-cr-et';
    const text = (n: number) => `
pipelines:
  p: { stream: events, sink: { type: http, url: "http://me:${secret}@127.0.0.1:9/x?token=${secret}&n=${n}", headers: { x-key: "${secret}${n}" } } }
keys: [{ id: k${n}, hash: "${writer.hash}", tenant: t }]
`;
    const { controlUrl } = await world.start(text(1));
    world.write('sluice.config.yaml', text(2));
    const shown = await ask(`${controlUrl}/v1/config`);
    const changes = await ask(`${controlUrl}/v1/config/reload?dry=true`, {}, 'POST');
    expect([shown.status, changes.status]).toEqual([200, 200]);
    expect(JSON.parse(changes.text).changes.length).toBeGreaterThan(1);
    for (const answer of [shown.text, changes.text]) {
      expect(answer).not.toContain(secret);
      expect(answer).not.toContain(writer.hash.slice(7));
    }
  });
});

describe('a backend', () => {
  it('that redirects leads to no other address', async () => {
    const asked: string[] = [];
    const inner = await servers.start((call, answer) => {
      asked.push(call.url!);
      answer.end('{"a":1}');
    });
    const upstream = await servers.start((_call, answer) =>
      answer.writeHead(302, { location: `${inner}/latest/meta-data` }).end(),
    );
    const { url } = await start({ reads: { upstreams: [`${upstream}/read`], windowMs: 1, timeoutMs: 2_000 } });
    const answer = await ask(`${url}/read?keys=a`);
    expect([answer.status, JSON.parse(answer.text).error.code]).toEqual([502, 'UPSTREAM_FAILED']);
    expect(answer.text).not.toContain('meta-data');
    expect(asked).toEqual([]);
  });

  it('cannot be asked for anything but keys', async () => {
    const asked: string[] = [];
    const upstream = await servers.start((call, answer) => {
      asked.push(call.url!);
      answer.setHeader('content-type', 'application/json').end('{}');
    });
    const { url } = await start({ reads: { upstreams: [`${upstream}/read`], windowMs: 1 } });
    for (const key of ['..%2f..%2fadmin', '%23', '%3Fx%3D1', 'a%26admin%3D1', '%0d%0aHost:%20evil', 'http:%2f%2fevil%2f'])
      await ask(`${url}/key/${key}`);
    expect(asked.length).toBe(6);
    for (const path of asked) expect(path).toMatch(/^\/read\?keys=[^&#?/\r\n]*$/);
  });
});

describe('the log of the service', () => {
  it('R-229: has no payload, no key and no line of a stranger, at LOG_LEVEL=trace', async () => {
    const marker = 'pay-load-7f3a';
    const sink = await servers.start(async (call, answer) => {
      let body = '';
      for await (const part of call) body += part;
      // A receiver that says everything again, as debug pages do.
      answer.writeHead(/halt/.test(call.url!) ? 404 : 503, { 'content-type': 'text/plain' }).end(`no: ${body}`);
    });
    world.write(
      'sluice.config.yaml',
      `
keys: [{ id: writer, hash: "${writer.hash}", tenant: t }]
pipelines:
  a: { stream: events, window: { maxDelayMs: 5 }, sink: { type: http, url: "${sink}/busy" } }
  b: { stream: events, window: { maxDelayMs: 5 }, sink: { type: http, url: "${sink}/halt" } }
`,
    );
    const { child, ended, text } = launch(
      ['up', '--data', join(world.folder, 'data'), '--port', '0', '--control-port', '0', '--deadline', '0'],
      {
        cwd: world.folder,
        env: { LOG_LEVEL: 'trace' },
      },
    );
    const out = await Promise.race([text('Stop with Ctrl-C'), ended.then(({ err }) => Promise.reject(new Error(err)))]);
    const url = /data plane +(\S+)/.exec(out)![1]!;
    const controlUrl = /control plane +(\S+)/.exec(out)![1]!;
    const headers = { 'x-api-key': writer.key, 'content-type': 'application/json', 'user-agent': `${marker}-agent` };
    const send = (body: string, more: object = {}) =>
      fetch(`${url}/v1/streams/events/events?id=${marker}`, { method: 'POST', body, headers: { ...headers, ...more } });
    expect((await send(`{"${marker}":"${marker}","text":"\\r\\n{\\"level\\":60,\\"msg\\":\\"${marker}\\"}"}`)).status).toBe(200);
    expect((await send(`{"id":"${marker}`)).status).toBe(400);
    expect((await fetch(`${url}/read?keys=a&${marker}=1`, { headers })).status).toBe(400);
    expect((await send('{}', { 'x-api-key': `slc_${marker}.${marker}` })).status).toBe(401);
    await fetch(`${url}/${marker}%0d%0a${marker}`);
    await fetch(`${url}/read?keys=${marker}`, { headers });
    const failing = async () =>
      (await (await fetch(`${controlUrl}/v1/pipelines`)).json()) as { pipelines: { problem?: string }[] };
    await expect
      .poll(async () => (await failing()).pipelines.filter(({ problem }) => problem !== undefined).length, { timeout: 10_000 })
      .toBeGreaterThan(0);
    const ready = await (await fetch(`${url}/readyz`)).text();
    expect(ready).toContain('the receiver answered 404');
    expect(ready).not.toContain(marker);
    child.kill('SIGTERM');
    const { err, out: printed } = await ended;
    expect(err).not.toBe('');
    for (const line of err.trim().split('\n')) expect(line).toMatch(/^(\{.*\}|sluice: .*)$/);
    expect(`${err}${printed}`).not.toContain(marker);
    expect(`${err}${printed}`).not.toContain(writer.key);
  });
});
