import { once } from 'node:events';
import { connect } from 'node:net';
import { failure } from 'sluice';
import { createMemoryLog } from 'sluice/log';
import { describe, expect, test } from 'vitest';
import { startBackend } from '../../src/backend/backend.js';
import { createGateway } from '../../src/gateway/gateway.js';
import { type Answer, json, signal, start } from './world.js';

describe('every other request', () => {
  test.each([
    ['GET', '/v1/streams/events/events', 404, null],
    ['PUT', '/v1/streams/events/events', 405, 'GET, HEAD, POST'],
    ['POST', '/read?keys=a', 400, null],
    ['PROPFIND', '/read', 405, 'GET, HEAD, POST'],
    ['DELETE', '/key/a', 405, 'GET, HEAD'],
    ['OPTIONS', '/healthz', 405, 'GET, HEAD'],
    ['GET', '/', 404, null],
    ['POST', '/v1/streams/events', 404, null],
    ['POST', '/v1/streams/a%2Fb/events', 400, null],
    ['POST', '/v1/streams/%zz/events', 400, null],
    ['GET', `/read?keys=${'x'.repeat(8_000)}`, 414, null],
    ['GET', `/${'x'.repeat(9_000)}`, 414, null],
    ['POST', `/v1/streams/${'x'.repeat(9_000)}/events`, 414, null],
    ['GET', `/read?keys=${'x'.repeat(100_000)}`, 414, null],
  ])('%s %.40s is answered with %i in JSON', async (method, path, status, allow) => {
    const { origin } = await start({ read: async () => new Map() });
    const response = await fetch(`${origin}${path}`, {
      method,
      ...(method === 'POST' ? { body: '{}', headers: { 'content-type': json } } : {}),
    });
    expect([response.status, response.headers.get('allow')]).toEqual([status, allow]);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(((await response.json()) as Answer).error).toEqual({ code: expect.any(String), message: expect.any(String) });
  });

  test.each([
    ['POST', '/v1/streams/events/events?akc=committed', 'akc', 'did you mean ack?'],
    ['POST', '/v1/streams/events/events?ack=durable&tenant=x', 'tenant', 'there are ack, id'],
    ['GET', '/v1/streams/events/events?form=start', 'form', 'did you mean from?'],
    ['GET', '/read?keys=a&parital=true', 'parital', 'did you mean partial?'],
    ['POST', '/read?keys=a', 'keys', 'there are partial'],
    ['GET', '/key/a?__proto__=1', '__proto__', 'it takes none'],
  ])('%s %s has a parameter that nobody knows, and is told so', async (method, path, name, hint) => {
    const { origin, log, stored } = await start({ read: async () => new Map() });
    await log.append('events', []);
    await log.defineStream('events');
    const body = method === 'POST' ? { body: '["a"]', headers: { 'content-type': json } } : {};
    const response = await fetch(`${origin}${path}`, { method, ...body });
    const { error } = (await response.json()) as Answer;
    expect([response.status, error]).toEqual([
      400,
      { code: 'UNKNOWN_PARAMETER', message: `there is no parameter "${name}" here; ${hint}` },
    ]);
    expect(await stored()).toEqual([]);
  });

  test('a flag is true or false, and nothing that means one of them by chance', async () => {
    const { origin } = await start({ read: async () => new Map([['a', 1]]) });
    const ask = async (flag: string) => (await fetch(`${origin}/read?keys=a&${flag}`)).json();
    expect(await ask('partial')).toEqual({ values: { a: 1 }, errors: {} });
    expect(await ask('partial=false')).toEqual({ a: 1 });
    expect(await ask('partial=yes')).toMatchObject({
      error: { code: 'INVALID_QUERY', message: 'expected partial to be true or false' },
    });
  });

  test('a wrong method is told the right ones', async () => {
    const { origin } = await start({ read: async () => new Map() });
    const response = await fetch(`${origin}/healthz`, { method: 'POST' });
    expect(((await response.json()) as Answer).error.message).toBe('use GET or HEAD, not POST');
  });

  test('a key with a slash in it is told how to write it, not to use the method that it uses', async () => {
    const { origin } = await start({ read: async (keys) => new Map(keys.map((key) => [key, 1])) });
    for (const method of ['GET', 'HEAD']) expect((await fetch(`${origin}/key/a/b`, { method })).status).toBe(404);
    const { error } = (await (await fetch(`${origin}/key/a/b`)).json()) as Answer;
    expect(error).toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining('/key/a%2Fb') });
    expect(await (await fetch(`${origin}/key/a%2Fb`)).json()).toEqual({ 'a/b': 1 });
    expect((await fetch(`${origin}/key/a/b`, { method: 'POST' })).headers.get('allow')).toBe('GET, HEAD');
  });

  test('what is not HTTP is answered with 400 in JSON', async () => {
    const { gateway } = await start();
    const socket = connect(gateway.port, '127.0.0.1').setEncoding('utf8');
    socket.write('hello\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += chunk;
    expect(text).toContain('400 Bad Request');
    expect(text).toContain('{"error":{"code":"BAD_REQUEST"');
  });

  test.each([
    ['HTTP/1.1\r\n', 400, 'MISSING_HOST'],
    ['HTTP/1.1\r\nHost: x\r\nExpect: foo\r\n', 417, 'EXPECTATION_FAILED'],
  ])('what HTTP refuses is refused in JSON: %j is answered with %i', async (head, status, code) => {
    const { gateway } = await start({ read: async () => new Map() });
    const backend = await startBackend({ data: {}, port: 0 });
    try {
      for (const port of [gateway.port, backend.port]) {
        const text = await exchange(port, `GET /read?keys=a ${head}\r\n`);
        expect(text).toMatch(
          new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*connection: close[\\s\\S]*{"error":{"code":"${code}"`, 'i'),
        );
      }
    } finally {
      await backend.close();
    }
    expect(gateway.underWay).toBe(0);
  });

  test('HTTP/1.0 needs no Host, and Expect: 100-continue is answered', async () => {
    const { gateway } = await start();
    expect(await exchange(gateway.port, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 200 /);
    const head = 'POST /v1/streams/events/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json';
    const continued = await exchange(gateway.port, `${head}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}`);
    expect(continued).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /);
  });

  test.each([
    ['a body that is too large', 'Content-Type: application/json\r\nContent-Length: 70000000', 413],
    ['a type that is not taken', 'Content-Type: text/plain\r\nContent-Length: 2', 415],
  ])('who asks with Expect: 100-continue whether to send %s is told no, not to go on', async (_name, headers, status) => {
    const { gateway } = await start();
    const head = 'POST /v1/streams/events/events HTTP/1.1\r\nHost: x\r\nExpect: 100-continue';
    const text = await exchange(gateway.port, `${head}\r\n${headers}\r\n\r\n`);
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*connection: close`, 'i'));
    await expect.poll(() => gateway.underWay).toBe(0);
  });

  test('events are taken, and health is told, under an absolute URL', async () => {
    const { gateway, stored } = await start();
    const rest = 'HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}';
    const post = await exchange(gateway.port, `POST http://example.org/v1/streams/events/events?ack=durable ${rest}`);
    expect(post).toMatch(/^HTTP\/1.1 200 /);
    expect(await stored()).toHaveLength(1);
    expect(await exchange(gateway.port, `GET HTTP://example.org:80/healthz ${rest}`)).toMatch(/^HTTP\/1.1 200 /);
    expect(await exchange(gateway.port, `GET http://example.org?x ${rest}`)).toMatch(/^HTTP\/1.1 404 /);
  });

  test('health and readiness are JSON', async () => {
    let ready = { ok: false, reasons: ['the pipeline has not started yet'] };
    const { origin } = await start({ ready: () => ready });
    expect((await fetch(`${origin}/healthz`)).status).toBe(200);
    const before = await fetch(`${origin}/readyz`);
    expect([before.status, await before.json()]).toEqual([
      503,
      { status: 'not ready', reasons: ['the pipeline has not started yet'] },
    ]);
    ready = { ok: true, reasons: [] };
    expect((await fetch(`${origin}/readyz`)).status).toBe(200);
  });

  test('a port in use is one sentence', async () => {
    const { gateway } = await start();
    await expect(createGateway({ log: createMemoryLog(), port: gateway.port })).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining(`port ${gateway.port} on 127.0.0.1 is in use`),
    });
  });
});

describe('a client that destroys its connection', () => {
  test('leaves with all requests that it had pipelined on it', async () => {
    let reads = 0;
    let left = 0;
    const asked = signal();
    const allLeft = signal();
    const { gateway } = await start({
      read: (_keys, whenGone) => {
        if (++reads === 20) asked.give();
        return new Promise((_resolve, reject) =>
          whenGone(() => {
            if (++left === 20) allLeft.give();
            reject(failure('left', { code: 'CANCELLED' }));
          }),
        );
      },
    });
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on('warning', onWarning);
    const socket = connect(gateway.port, '127.0.0.1');
    socket.write('GET /read?keys=a HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(20));
    await asked.given;
    expect(gateway.underWay).toBe(20);
    socket.destroy();
    await allLeft.given;
    await gateway.stopIntake();
    expect(gateway.underWay).toBe(0);
    process.removeListener('warning', onWarning);
    expect(warnings).toEqual([]);
  });
});

describe('stopping the intake', () => {
  test('requests under way finish, new ones get 503, new connections are refused', async () => {
    let settle: () => void = () => {};
    const waiting = signal();
    const { gateway, origin, post } = await start({
      settled: () => () =>
        new Promise((resolve) => {
          settle = () => resolve(['ok']);
          waiting.give();
        }),
    });
    // A connection with half a request on it: it is under way for the socket, not yet for us.
    const kept = connect(gateway.port, '127.0.0.1').setEncoding('utf8');
    let text = '';
    kept.on('data', (chunk) => {
      text += chunk;
    });
    const ended = once(kept, 'close');
    kept.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\n');
    await once(kept, 'data');
    const underWay = post('{"id":1}', undefined, '?ack=committed');
    await waiting.given;
    const stopped = gateway.stopIntake();
    kept.write('host: x\r\n\r\n');
    await ended;
    expect(text).toMatch(/503 Service Unavailable[\s\S]*connection: close[\s\S]*SHUTTING_DOWN/i);
    await expect(fetch(`${origin}/healthz`)).rejects.toThrow();
    settle();
    expect((await underWay).status).toBe(200);
    await stopped;
    expect(gateway.underWay).toBe(0);
  });

  test('waits no longer than it may', async () => {
    const waiting = signal();
    const { gateway, post } = await start({
      settled: () => () => {
        waiting.give();
        return new Promise(() => {});
      },
    });
    const request = expect(post('{"id":1}', undefined, '?ack=committed')).rejects.toThrow();
    await waiting.given;
    await gateway.stopIntake(1);
    await gateway.close();
    await request;
  });
});

/** Sends this text on a connection of its own; gives all that comes back until the other side closes it. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}
