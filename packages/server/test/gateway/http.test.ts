import { once } from 'node:events';
import { connect } from 'node:net';
import { createMemoryLog } from 'sluice/log';
import { describe, expect, test } from 'vitest';
import { createGateway } from '../../src/gateway/gateway.js';
import { type Answer, json, signal, start } from './world.js';

describe('every other request', () => {
  test.each([
    ['GET', '/v1/streams/events/events', 405, 'POST'],
    ['PUT', '/v1/streams/events/events', 405, 'POST'],
    ['POST', '/read?keys=a', 405, 'GET, HEAD'],
    ['PROPFIND', '/read', 405, 'GET, HEAD'],
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

  test('what is not HTTP is answered with 400 in JSON', async () => {
    const { gateway } = await start();
    const socket = connect(gateway.port, '127.0.0.1').setEncoding('utf8');
    socket.write('hello\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += chunk;
    expect(text).toContain('400 Bad Request');
    expect(text).toContain('{"error":{"code":"BAD_REQUEST"');
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

describe('stopping the intake', () => {
  test('requests under way finish, new ones get 503, new connections are refused', async () => {
    let settle: () => void = () => {};
    const waiting = signal();
    const { gateway, origin, post } = await start({
      settled: () => () =>
        new Promise((resolve) => {
          settle = () => resolve('ok');
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
