/** Hostile connections, against a gateway that listens: what is broken, slow, too much or gone before HTTP has made a request of it. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { systemEnv } from 'sluice';
import { afterEach, describe, expect, it } from 'vitest';
import { createAdmission } from '../src/gateway/admission.js';
import type { GatewayOptions } from '../src/gateway/gateway.js';
import { payloads, signal, start, type World } from './gateway/world.js';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A connection, and all that came back on it. */
async function dial(port: number) {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1');
  sockets.push(socket);
  let text = '';
  socket.on('data', (part) => {
    text += part;
  });
  socket.on('error', () => {});
  const closed = once(socket, 'close').then(() => text);
  await once(socket, 'connect');
  return { socket, closed, text: () => text };
}

/** What comes back for this text until the gateway closes the connection. */
async function exchange({ gateway }: World, text: string): Promise<string> {
  const { socket, closed } = await dial(gateway.port);
  socket.write(text, 'latin1');
  return closed;
}

const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

const head = 'POST /v1/streams/events/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
const event = (id: string, rest = '') => {
  const body = JSON.stringify({ id });
  return `${head}${rest}Content-Length: ${body.length}\r\n\r\n${body}`;
};
const last = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

/** A world that counts what its gateway holds. */
async function watched(options: Partial<GatewayOptions> = {}) {
  const admission = createAdmission({ tenants: {}, maxHeldItems: 1_000, clock: systemEnv().clock });
  const world = await start({ admission, ...options });
  const held = () => ({
    unread: world.gateway.unreadBytes,
    requests: world.gateway.underWay,
    items: admission.heldItems,
    tenants: admission.tenants().reduce((sum, { requests, heldItems }) => sum + requests + heldItems, 0),
    bytes: world.gateway.heldBodyBytes,
  });
  return { ...world, held };
}
const nothing = { unread: 0, requests: 0, items: 0, tenants: 0, bytes: 0 };

describe('request smuggling', () => {
  const smuggled = event('smuggled');
  it.each([
    [
      'Content-Length and Transfer-Encoding',
      `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    ['two lengths that differ', `${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}${smuggled}`],
    ['two lengths in one header', `${head}Content-Length: 2, 2\r\n\r\n{}${smuggled}`],
    ['a length with a sign', `${head}Content-Length: +2\r\n\r\n{}${smuggled}`],
    ['a length beyond 64 bits', `${head}Content-Length: 18446744073709551618\r\n\r\n{}${smuggled}`],
    ['a coding that is not chunked at its end', `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`],
    ['a coding with a control character', `${head}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['a coding before chunked', `${head}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n${smuggled}`],
    [
      'codings in two headers',
      `${head}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n${smuggled}`,
    ],
    ['a coding without a name', `${head}Transfer-Encoding:\r\n\r\n${smuggled}`],
    [
      'a coding behind a thousand headers',
      `${head}${'a: b\r\n'.repeat(1_100)}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    [
      'a coding in HTTP/1.0',
      `${head.replace('1.1', '1.0')}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n${smuggled}`,
    ],
    ['a version that is gone', `${head.replace('1.1', '0.9')}Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}${smuggled}`],
    ['no version', `${head.replace(' HTTP/1.1', '')}Content-Length: 2\r\n\r\n{}${smuggled}`],
    ['a version to come', `${head.replace('1.1', '2.0')}Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}${smuggled}`],
    ['two hosts', `${head}hOST: y\r\nContent-Length: 2\r\n\r\n{}${smuggled}`],
    ['no host', `${head.replace('Host: x\r\n', '')}Content-Length: 2\r\n\r\n{}${smuggled}`],
    ['an unknown expectation', `${head}Expect: a miracle\r\nContent-Length: 2\r\n\r\n{}${smuggled}`],
    ['a header folded over two lines', `${head}Content-Length: 2\r\nX: a\r\n b\r\n\r\n{}${smuggled}`],
    ['white space before the colon', `${head}Content-Length : 2\r\n\r\n{}${smuggled}`],
    ['NUL in a header', `${head}X: a\0b\r\nContent-Length: 2\r\n\r\n{}${smuggled}`],
    ['a bare CR in a header', `${head}X: a\rContent-Length: 99\r\nContent-Length: 2\r\n\r\n{}${smuggled}`],
    ['a chunk whose size is no number', `${head}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n${smuggled}`],
    ['a chunk longer than it says', `${head}Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n${smuggled}`],
    [
      'chunk extensions without end',
      `${head}Transfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(100_000)}\r\n{}\r\n0\r\n\r\n${smuggled}`,
    ],
  ])('by %s is refused with one answer, the connection is closed, and nothing is stored', async (_name, text) => {
    const world = await watched();
    const answer = await exchange(world, text);
    expect(statuses(answer)).toEqual([expect.toSatisfy((status: number) => [400, 413, 417, 431, 501, 505].includes(status))]);
    expect(answer).toMatch(/connection: close/i);
    expect(answer.split('\r\n\r\n')[1]).toMatch(/^\{"error":\{"code":"/);
    expect(await world.stored()).toEqual([]);
    await expect.poll(world.held).toEqual(nothing);
  });

  it('by a bare LF, if it is taken, never makes two requests of one', async () => {
    const world = await watched();
    const answer = await exchange(world, `${head.replaceAll('\r\n', '\n')}Content-Length: 2\n\n{}${last}`);
    expect(statuses(answer)).toEqual([400]);
    expect(await world.stored()).toEqual([]);
  });
});

describe('pipelined requests', () => {
  it('a bad one behind good ones is refused behind their answers, not in their place', async () => {
    const { given, give } = signal();
    const world = await watched({ settled: () => () => given.then(() => ['ok' as const]) });
    const { socket, closed, text } = await dial(world.gateway.port);
    socket.write(
      `${event('a').replace('events HTTP', 'events?ack=committed HTTP') + event('b')}GARBAGE\r\n\r\n${event('after')}`,
    );
    await expect.poll(async () => (await world.stored()).length).toBe(2);
    // The refusal is known by now, and has to wait.
    expect(text()).toBe('');
    give();
    expect(statuses(await closed)).toEqual([200, 200, 400]);
    expect(payloads(await world.stored())).toEqual(['{"id":"a"}', '{"id":"b"}']);
    await expect.poll(world.held).toEqual(nothing);
  });

  it('one that is refused leaves those behind it alone', async () => {
    const world = await watched();
    const bad = event('x').replace('application/json', 'text/plain');
    expect(statuses(await exchange(world, event('a') + bad + event('b') + last))).toEqual([200, 415, 200, 200]);
    expect(payloads(await world.stored())).toEqual(['{"id":"a"}', '{"id":"b"}']);
  });

  it('R-220: a connection with a thousand requests that wait is cut, and they are let go; one with fewer is served', async () => {
    const settled = (left: (fn: () => void) => void) => new Promise<undefined[]>((resolve) => left(() => resolve([undefined])));
    const world = await watched({ settled: () => (_records, left) => settled(left) });
    const waiting = event('a').replace('events HTTP', 'events?ack=committed HTTP');
    const { socket: few } = await dial(world.gateway.port);
    few.write(waiting.repeat(1_000));
    await expect.poll(() => world.held().requests).toBe(1_000);
    expect(await exchange(world, waiting.repeat(1_001))).toBe('');
    await expect.poll(() => world.held().requests).toBe(1_000);
    expect(few.closed).toBe(false);
    few.destroy();
    await expect.poll(world.held).toEqual(nothing);
  });

  const cutOff = `${head}Content-Length: 100000\r\n\r\n{"id":"${'x'.repeat(50_000)}`;
  it.each([
    ['a half-closed connection', cutOff, (socket: Socket) => void socket.end(), undefined, 400],
    [
      'a broken chunk',
      `${head}Transfer-Encoding: chunked\r\n\r\nffff\r\n${'x'.repeat(50_000)}`,
      (socket: Socket) => void socket.write(`${'x'.repeat(15_535)}GARBAGE`),
      undefined,
      400,
    ],
    ['its time', cutOff, () => {}, { requestTimeoutMs: 2_000 }, 408],
  ])(
    'a body that %s cuts behind a request that waits is let go at once, and refused in its turn',
    async (_name, text, cut, limits, status) => {
      const { given, give } = signal();
      const settled = () => () => given.then(() => ['ok' as const]);
      const world = await watched({ settled, ...(limits === undefined ? {} : { limits }) });
      const { socket, closed, text: got } = await dial(world.gateway.port);
      socket.write(event('a').replace('events HTTP', 'events?ack=committed HTTP') + text);
      await expect.poll(() => world.held().bytes, { timeout: 10_000 }).toBeGreaterThanOrEqual(50_000);
      cut(socket);
      await expect.poll(() => world.held().bytes, { timeout: 10_000 }).toBe(0);
      expect([got(), world.held().requests]).toEqual(['', 2]);
      give();
      const answers = await closed;
      expect(statuses(answers)).toEqual([200, status]);
      // The refusal is the last answer on its connection, and says so.
      expect(answers.slice(answers.lastIndexOf('HTTP/1.1 '))).toMatch(/^connection: close\r$/im);
      expect(answers.match(/^connection: close\r$/gim)).toHaveLength(1);
      expect(payloads(await world.stored())).toEqual(['{"id":"a"}']);
      await expect.poll(world.held).toEqual(nothing);
    },
  );

  it('what breaks behind an endless answer puts nothing into the middle of it', async () => {
    const world = await watched();
    await world.post('{"id":"a"}');
    const { socket, closed, text } = await dial(world.gateway.port);
    socket.write('GET /v1/streams/events/events?from=start HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect.poll(text).toContain('data: {"id":"a"}');
    socket.write('GARBAGE\r\n\r\n');
    expect(statuses(await closed)).toEqual([200]);
    await expect.poll(world.held).toEqual(nothing);
  });

  it('a body that goes on after its refusal is cut off without a second answer', async () => {
    const world = await watched({ limits: { maxBodyBytes: 100, requestTimeoutMs: 300 } });
    const answer = await exchange(world, `${head}Content-Length: 1000000\r\n\r\n{"id":`);
    expect(statuses(answer)).toEqual([413]);
    await expect.poll(world.held).toEqual(nothing);
  });
});

describe('floods', () => {
  it.each([
    ['one giant header', `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`, 431],
    ['many headers', `GET /healthz HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(40_000)}\r\n`, 431],
    ['a giant name of a header', `GET /healthz HTTP/1.1\r\nHost: x\r\n${'a'.repeat(70_000)}: b\r\n\r\n`, 431],
    ['a giant URL', `GET /read?keys=${'k'.repeat(200_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
    ['a giant method', `${'A'.repeat(70_000)} / HTTP/1.1\r\nHost: x\r\n\r\n`, 400],
    ['a tunnel', 'CONNECT evil:1 HTTP/1.1\r\nHost: x\r\n\r\n', undefined],
    ['TLS on a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
    ['HTTP/2 without a word', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ])('%s is refused, and the connection is closed', async (_name, text, status) => {
    const world = await watched();
    expect(statuses(await exchange(world, text))).toEqual(status === undefined ? [] : [status]);
    expect((await fetch(`${world.origin}/healthz`)).status).toBe(200);
    await expect.poll(world.held).toEqual(nothing);
  });

  it('no header is lost behind a thousand others', async () => {
    const world = await watched();
    const coded = event('a', `${'a: b\r\n'.repeat(9_000)}Content-Encoding: br\r\nConnection: close\r\n`);
    expect(statuses(await exchange(world, coded))).toEqual([415]);
    expect(await world.stored()).toEqual([]);
  });

  it('many headers that fit cost no more than a request', async () => {
    const world = await watched();
    const text = `GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${'a: b\r\n'.repeat(9_000)}\r\n`;
    expect(statuses(await exchange(world, text))).toEqual([200]);
  });

  it('R-220: connections beyond maxConnections are closed and counted, and the bound moves live', async () => {
    const world = await watched({ maxConnections: 3 });
    const open = await Promise.all([1, 2, 3].map(() => dial(world.gateway.port)));
    const { closed } = await dial(world.gateway.port);
    expect(await closed).toBe('');
    expect(world.gateway.counters.refusedConnections).toBe(1);
    world.gateway.configure({ maxConnections: 5 });
    const { socket, closed: answer } = await dial(world.gateway.port);
    socket.write(last);
    expect(statuses(await answer)).toEqual([200]);
    expect(open.every(({ socket: each }) => !each.destroyed)).toBe(true);
  });

  it('500 connections that say nothing hold up nobody, and are freed', async () => {
    const world = await watched({ limits: { requestTimeoutMs: 1_500 } });
    const idle = await Promise.all(Array.from({ length: 500 }, () => dial(world.gateway.port)));
    expect((await world.post('{"id":"a"}')).status).toBe(200);
    const texts = await Promise.all(idle.map(({ closed }) => closed));
    expect(new Set(texts.map((text) => statuses(text).join()))).toEqual(new Set(['408']));
    await expect.poll(world.held).toEqual(nothing);
  });
});

describe('slow clients', () => {
  it.each([
    ['headers', 'GET /healthz HTTP/1.1\r\nHost: x\r\n', 'a: b\r\n'],
    ['a body', `${head}Content-Length: 1000\r\n\r\n`, ' '],
    ['chunks', `${head}Transfer-Encoding: chunked\r\n\r\n`, '1\r\n \r\n'],
    ['a compressed body', `${head}Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n`, '\x1f'],
  ])('that trickle %s are cut off with 408 at requestTimeoutMs, however busy they look', async (_name, first, drop) => {
    const world = await watched({ limits: { requestTimeoutMs: 400 } });
    const { socket, closed } = await dial(world.gateway.port);
    const since = performance.now();
    socket.write(first);
    const trickle = setInterval(() => socket.writable && socket.write(drop, 'latin1'), 20);
    const answer = await closed.finally(() => clearInterval(trickle));
    expect(performance.now() - since).toBeGreaterThan(350);
    // Gzip that begins wrongly is refused before its time.
    expect(statuses(answer)).toEqual([first.includes('gzip') ? 400 : 408]);
    await expect.poll(world.held).toEqual(nothing);
  });

  it('that trickle behind a good request get its answer first', async () => {
    const world = await watched({ limits: { requestTimeoutMs: 400 } });
    expect(statuses(await exchange(world, `${event('a')}GET /healthz HTTP/1.1\r\n`))).toEqual([200, 408]);
  });
});

describe('clients that do not read', () => {
  /** More than systems hold for a connection. */
  const keys = Array.from({ length: 10_000 }, (_, i) => String(i).padEnd(2_000, 'k'));
  const body = JSON.stringify(keys);
  const read = async () => new Map(keys.map((key) => [key, 1]));
  const ask = `POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const limits = { maxBodyBytes: 2 * body.length };

  it('have as long as a request has to arrive, and are cut off', async () => {
    const world = await watched({ read, limits: { ...limits, requestTimeoutMs: 2_000 } });
    const { socket, closed } = await dial(world.gateway.port);
    socket.pause().write(ask);
    await expect.poll(() => world.held().unread, { timeout: 10_000 }).toBeGreaterThan(1_000_000);
    await expect.poll(world.held, { timeout: 10_000 }).toEqual(nothing);
    socket.resume();
    expect((await closed).length).toBeLessThan(body.length);
  });

  it('are cut off whatever they ask for', async () => {
    const world = await watched({ limits: { requestTimeoutMs: 2_000 } });
    const { socket } = await dial(world.gateway.port);
    socket.pause().write('GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(990));
    await expect.poll(() => world.held().unread, { timeout: 10_000 }).toBeGreaterThan(1_000_000);
    await expect.poll(world.held, { timeout: 10_000 }).toEqual(nothing);
  });

  it('are cut off when they hold too much together, the one that waits longest first', async () => {
    let reads = 0;
    const world = await watched({ read: async () => read().finally(() => reads++), limits });
    const clients: Awaited<ReturnType<typeof dial>>[] = [];
    for (let asked = 1; asked <= 4; asked++) {
      const client = await dial(world.gateway.port);
      clients.push(client);
      client.socket.pause().write(ask);
      await expect.poll(() => reads, { timeout: 10_000 }).toBe(asked);
      await expect.poll(() => world.held().unread, { timeout: 10_000 }).toBeGreaterThan(Math.min(asked, 3) * 20_000_000);
    }
    await expect.poll(() => world.held().requests).toBe(3);
    for (const { socket } of clients) socket.resume();
    await expect
      .poll(() => clients.map(({ text }) => text().endsWith('":1}')), { timeout: 10_000 })
      .toEqual([false, true, true, true]);
    await expect.poll(world.held).toEqual(nothing);
  });

  it('and begin to in time have their whole answer', async () => {
    const world = await watched({ read, limits });
    const { socket, text } = await dial(world.gateway.port);
    socket.pause().write(ask);
    await expect.poll(() => world.held().unread, { timeout: 10_000 }).toBeGreaterThan(1_000_000);
    socket.resume();
    await expect.poll(() => text().endsWith('":1}'), { timeout: 10_000 }).toBe(true);
    await expect.poll(world.held).toEqual(nothing);
  });
});

describe('clients that vanish', () => {
  const body = JSON.stringify({ id: 'gone', text: 'x'.repeat(100_000) });
  const zipped = gzipSync(Buffer.from(body)).toString('latin1');
  const never = () => new Promise<never>(() => {});
  it.each([
    ['in the request line', 'POST /v1/str', 0],
    ['in the headers', head, 0],
    ['before the body', `${head}Content-Length: ${body.length}\r\n\r\n`, 0],
    ['in the body', `${head}Content-Length: ${body.length}\r\n\r\n${body.slice(0, 50_000)}`, 0],
    ['in a chunk', `${head}Transfer-Encoding: chunked\r\n\r\nffff\r\n${body.slice(0, 50_000)}`, 0],
    [
      'in a compressed body',
      `${head}Content-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\n\r\n${zipped.slice(0, -20)}`,
      0,
    ],
    [
      'in the body of a read',
      `POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n["a",`,
      0,
    ],
    ['while it waits for a read', 'GET /read?keys=a HTTP/1.1\r\nHost: x\r\n\r\n', 0],
    ['while it waits for committed', event('w').replace('events HTTP', 'events?ack=committed HTTP'), 1],
    ['before its answer', event('b'), 1],
    ['with twenty requests on one connection', Array.from({ length: 20 }, (_, i) => event(`p${i}`)).join(''), 20],
    ['while it tails', 'GET /v1/streams/events/events HTTP/1.1\r\nHost: x\r\n\r\n', 0],
  ])('%s leave nothing behind but what was stored', async (_name, text, stored) => {
    const world = await watched({ settled: () => never, read: never });
    const { socket, closed } = await dial(world.gateway.port);
    socket.write(text, 'latin1');
    if (stored > 0) await expect.poll(async () => (await world.stored()).length).toBe(stored);
    else await new Promise<void>((sent) => socket.write('', () => sent()));
    socket.resetAndDestroy();
    await closed;
    await expect.poll(world.held).toEqual(nothing);
    expect((await world.stored()).length).toBe(stored);
    expect((await fetch(`${world.origin}/healthz`)).status).toBe(200);
  });
});
