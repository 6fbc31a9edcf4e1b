/** Hostile payloads, against a gateway that listens: what is well-formed HTTP and means harm in its body, its URL or its headers. */

import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { configSchema } from '../src/config/config.js';
import { compileSchemas, versionOf } from '../src/gateway/stream-schemas.js';
import { json, ndjson, payloads, start } from './gateway/world.js';

const body = { 'content-type': json };
const zipped = { 'content-type': json, 'content-encoding': 'gzip' };
const MiB = 1024 * 1024;

describe('compression', () => {
  it('a bomb is refused at the bound, long before it is inflated', async () => {
    const world = await start();
    const bomb = gzipSync(Buffer.alloc(512 * MiB, 0x20));
    expect(bomb.length).toBeLessThan(MiB);
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 5; i++)
      expect(await world.post(bomb, zipped)).toMatchObject({ status: 413, body: { error: { code: 'BODY_TOO_LARGE' } } });
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * MiB);
    await expect.poll(() => world.gateway.heldBodyBytes).toBe(0);
  });

  it('a bomb of many members is refused at the bound too', async () => {
    const world = await start();
    const member = gzipSync(Buffer.alloc(MiB, 0x20));
    const { status } = await world.post(Buffer.concat(Array(64).fill(member)), zipped);
    expect(status).toBe(413);
    expect((await world.post(Buffer.concat([gzipSync('{"id":'), gzipSync('"a"}')]), zipped)).status).toBe(200);
  });

  it('members that inflate to nothing are bounded by what arrives, though no length is announced', async () => {
    const { gateway } = await start({ limits: { maxBodyBytes: 100_000 } });
    const member = gzipSync('');
    const part = Buffer.concat(Array(1_000).fill(member));
    const socket = connect(gateway.port, '127.0.0.1').setEncoding('utf8');
    socket.on('error', () => {});
    socket.write(
      'POST /v1/streams/events/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    for (let i = 0; i < 10; i++) {
      socket.write(`${part.length.toString(16)}\r\n`);
      socket.write(part);
      socket.write('\r\n');
    }
    let text = '';
    for await (const chunk of socket) {
      text += chunk;
      if (text.includes('}}')) break;
    }
    expect(text).toMatch(/^HTTP\/1.1 413 /);
    expect(gateway.heldBodyBytes).toBe(0);
  });

  it('gzip in gzip is inflated once', async () => {
    const { post } = await start();
    const answer = await post(gzipSync(gzipSync('{"id":1}')), zipped);
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ code: 'INVALID_UTF8' }] } });
    expect((await post('{}', { ...body, 'content-encoding': 'gzip, gzip' })).status).toBe(415);
  });
});

describe('depth', () => {
  const nested = (depth: number, open = '[', close = ']') => `${open.repeat(depth)}${close.repeat(depth)}`;

  it.each([
    ['arrays', `{"id":1,"a":${nested(400_000)}}`],
    ['objects', `${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}`],
    ['arrays that never end', `{"id":1,"a":${'['.repeat(900_000)}`],
  ])('of %s is refused in a moment, by the item alone', async (_what, item) => {
    const world = await start();
    const since = performance.now();
    const { status, body: answer } = await world.post(`${item}\n{"id":"good"}\n`, { 'content-type': ndjson });
    expect([status, answer.errors[0].code]).toEqual([207, 'TOO_DEEP']);
    expect(performance.now() - since).toBeLessThan(2_000);
    expect(payloads(await world.stored())).toEqual(['{"id":"good"}']);
  });

  it('of a list of keys, and of a CloudEvent in headers, is refused before it is parsed', async () => {
    const world = await start({ read: async () => new Map() });
    const read = await fetch(`${world.origin}/read`, { method: 'POST', body: nested(5 * MiB - 10), headers: body });
    expect(read.status).toBe(400);
    const event = await world.post(nested(500_000), {
      ...body,
      'ce-specversion': '1.0',
      'ce-id': '1',
      'ce-source': 's',
      'ce-type': 't',
    });
    expect(event).toMatchObject({ status: 400, body: { error: { code: 'TOO_DEEP' } } });
  });
});

describe('names that mean something to JavaScript', () => {
  const bad = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__'];
  const clean = () => {
    for (const name of ['polluted', 'id', 'admin', 'share']) expect(({} as Record<string, unknown>)[name]).toBeUndefined();
  };

  it('are ordinary members of an event, stored byte for byte', async () => {
    const world = await start();
    const items = bad.map((name, i) => `{"id":"${i}","${name}":{"polluted":true,"admin":true}}`);
    expect((await world.post(items.join('\n'))).body.accepted).toBe(bad.length);
    expect(payloads(await world.stored())).toEqual(items);
    clean();
  });

  it.each(bad)('?id=%s takes the member of this name, and never what every object inherits', async (name) => {
    const world = await start();
    const { body: answer } = await world.post(`{"${name}":"mine"}\n{"other":1}`, undefined, `?id=${name}`);
    expect(answer).toMatchObject({ accepted: 2, ids: ['mine', expect.stringMatching(/^[0-9a-f-]{36}$/)] });
    clean();
  });

  it.each(bad)('%s is a stream, a key to read and a tenant like any other', async (name) => {
    const world = await start({ read: async (keys) => new Map(keys.map((key) => [key, 7])) });
    const posted = await fetch(`${world.origin}/v1/streams/${name}/events`, { method: 'POST', body: '{"id":1}', headers: body });
    expect(posted.status).toBe(200);
    for (const path of [`/read?keys=${name}`, `/key/${name}`])
      expect(await (await fetch(`${world.origin}${path}`)).text()).toBe(`{"${name}":7}`);
    const post = await fetch(`${world.origin}/read`, { method: 'POST', body: JSON.stringify([name]), headers: body });
    expect(await post.text()).toBe(`{"${name}":7}`);
    clean();
  });

  it('as the order key read what the item has, and nothing else', async () => {
    const world = await start({ streams: () => ({ keyField: 'constructor' }) });
    expect((await world.post('{"id":1}\n{"id":2,"constructor":"k"}')).body.accepted).toBe(2);
    expect((await world.stored()).map(({ key }) => key)).toEqual([null, 'k']);
  });

  it('do no harm in a configuration', () => {
    const text = '{"tenants":{"__proto__":{"share":50},"constructor":{"share":2}},"streams":{"__proto__":{"partitions":9}}}';
    expect(configSchema.parse(JSON.parse(text))).toMatchObject({ tenants: { constructor: { share: 2 } }, streams: {} });
    expect(configSchema.safeParse(JSON.parse('{"gateway":{"__proto__":{"port":1}}}')).success).toBe(false);
    clean();
  });

  it('do no harm in a schema, and are members that it can speak of', async () => {
    const schema = JSON.parse(
      '{"properties":{"__proto__":{"type":"object"},"constructor":{"type":"integer"}},"additionalProperties":false}',
    );
    const { problemOf } = await compileSchemas('s', [{ version: 1, schema }], '/');
    expect(problemOf({})).toBeUndefined();
    expect(problemOf(JSON.parse('{"constructor":"x"}'))).toBe('/constructor must be integer');
    expect(problemOf(JSON.parse('{"__proto__":{"polluted":true}}'))).toBeDefined();
    clean();
  });
});

describe('a schema', () => {
  const strict = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } }, additionalProperties: false };
  const world = async () => start({ streams: () => ({ schema }) });
  let schema: Awaited<ReturnType<typeof compileSchemas>>;

  it('is not got round by an item that looks like a CloudEvent', async () => {
    schema = await compileSchemas('s', [{ version: 1, schema: strict }], '/');
    const disguised = '{"specversion":"1.0","id":"1","source":"s","type":"t","n":"bad","data":{"n":1}}';
    const { post } = await world();
    expect(await post(disguised, body)).toMatchObject({ status: 400, body: { errors: [{ code: 'INVALID_SCHEMA' }] } });
    expect((await post(disguised, { 'content-type': 'application/cloudevents+json' })).status).toBe(200);
  });

  it('reads the version of a long text in a moment', () => {
    const since = performance.now();
    expect(versionOf({ dataschema: `${'1'.repeat(MiB)}x` })).toBeUndefined();
    expect(versionOf({ dataschema: `${'x'.repeat(MiB)}12` })).toBe(12);
    expect(performance.now() - since).toBeLessThan(1_000);
  });
});

describe('a CloudEvent in headers', () => {
  const attributes = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': 'mine', 'ce-type': 't' };

  it.each(['1,"source":"another"', '{},"id":"other"', '{}}', '{"a":1', '', ' '])(
    'cannot put attributes beside its data: %j',
    async (text) => {
      const world = await start();
      const { status } = await world.post(text, { ...body, ...attributes });
      expect(status).toBe(text === '' ? 200 : 400);
      for (const payload of payloads(await world.stored()))
        expect(JSON.parse(payload)).toMatchObject({ id: '1', source: 'mine' });
    },
  );

  it.each(['ce-__proto__', 'ce-data', 'ce-data_base64', 'ce-a.b'])('has no attribute from the header %s', async (header) => {
    const { post } = await start();
    const answer = await post('{}', { ...body, ...attributes, [header]: 'x' });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'INVALID_CLOUDEVENT' } } });
  });

  it('keeps text that is no UTF-8 byte for byte', async () => {
    const world = await start();
    await world.post(Buffer.from([0x61, 0xff]), { 'content-type': 'text/plain', ...attributes });
    expect(JSON.parse(payloads(await world.stored())[0]!)).toMatchObject({ data_base64: 'Yf8=' });
  });
});

describe('paths', () => {
  it.each([
    '..',
    '.',
    '%2e%2e',
    '%2E',
    '..%2f..%2fetc',
    '..%5c..',
    'a%00b',
    'a%0d%0ab',
    'a%20b',
    '%ff',
    '%c0%af',
    'é',
    'a;b',
    'x'.repeat(129),
  ])('the stream %s is refused, and nothing is stored', async (name) => {
    const world = await start();
    const text = `POST /v1/streams/${name}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"id":1}`;
    const socket = connect(world.gateway.port, '127.0.0.1').setEncoding('utf8');
    socket.write(text);
    let answer = '';
    for await (const chunk of socket) answer += chunk;
    expect(answer).toMatch(/^HTTP\/1.1 400 [\s\S]*"code":"(INVALID_STREAM|INVALID_URL|BAD_REQUEST)"/);
    expect(await world.log.streams()).toEqual([]);
  });

  it('an absolute URL, and one of another host, is no way to somewhere else', async () => {
    const world = await start();
    for (const url of ['http://evil.example/healthz', '//evil.example/healthz', '*', '/healthz/../v1/config', '/\\evil']) {
      const socket = connect(world.gateway.port, '127.0.0.1').setEncoding('utf8');
      socket.write(`GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      let answer = '';
      for await (const chunk of socket) answer += chunk;
      expect([url, answer.slice(0, 12)]).toEqual([url, expect.stringMatching(/ (400|404)$|^HTTP\/1.1 200$/)]);
      expect(answer).not.toMatch(/^location:/im);
    }
  });
});

describe('text that comes back', () => {
  it.each([
    ['/v1/streams/a%0d%0aSet-Cookie:%20x=1/events', 'POST'],
    ['/v1/streams/events/events?ack=%0d%0aSet-Cookie:%20x=1', 'POST'],
    ['/v1/streams/events/events?id=%0d%0aSet-Cookie:%20x=1', 'POST'],
    ['/read?keys=%0d%0aSet-Cookie:%20x=1', 'GET'],
    ['/key/%0d%0aSet-Cookie:%20x=1', 'GET'],
    ['/%0d%0aSet-Cookie:%20x=1', 'GET'],
    ['/v1/streams/events/events?partition=%0d%0aSet-Cookie:%20x=1', 'GET'],
  ])('%s splits no answer', async (path, method) => {
    const world = await start({ read: async (keys) => new Map(keys.map((key) => [key, 1])) });
    const response = await fetch(`${world.origin}${path}`, {
      method,
      ...(method === 'POST' ? { body: '{"id":1}', headers: body } : {}),
    });
    expect(response.headers.get('set-cookie')).toBeNull();
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  });

  it('in a tail stays data, whatever lines it has', async () => {
    const world = await start();
    await world.post('{"id":"a",\r"n":1,\n"text":"\\n\\nid: 9:9\\nevent: evil"}', body);
    const leaving = new AbortController();
    const response = await fetch(`${world.origin}/v1/streams/events/events?from=start`, { signal: leaving.signal });
    const reader = response.body!.getReader();
    let text = '';
    // Where it begins is told first.
    while (!text.includes('data: ')) text += Buffer.from((await reader.read()).value!).toString();
    leaving.abort();
    expect(text.slice(text.indexOf('id: 0:1'))).toBe(
      'id: 0:1\ndata: {"id":"a",\ndata: "n":1,\ndata: "text":"\\n\\nid: 9:9\\nevent: evil"}\n\n',
    );
  });

  it.each([
    { query: '', headers: { 'last-event-id': `0:${'9'.repeat(400)}` } },
    { query: '', headers: { 'last-event-id': `${'0:1,'.repeat(5_000)}0:1` } },
    { query: '?from=999999999999999', headers: {} },
    { query: '?from=-1', headers: {} },
    { query: '?from=__proto__&partition=constructor', headers: {} },
  ])('a tail from nowhere neither fails nor stays: $query $headers', async ({ query, headers }) => {
    const world = await start();
    await world.post('{"id":"a"}', body);
    const leaving = new AbortController();
    const response = await fetch(`${world.origin}/v1/streams/events/events${query}`, { headers, signal: leaving.signal });
    expect([200, 400]).toContain(response.status);
    leaving.abort();
    await expect.poll(() => world.gateway.underWay).toBe(0);
  });
});

describe('text that is none', () => {
  it.each([
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0x69, 0x64, 0x22, 0x3a, 0x22, 0xc3, 0x28, 0x22, 0x7d]), 'INVALID_UTF8'],
    ['an overlong slash', Buffer.from([0x7b, 0x22, 0x69, 0x64, 0x22, 0x3a, 0x22, 0xc0, 0xaf, 0x22, 0x7d]), 'INVALID_UTF8'],
    [
      'a surrogate in UTF-8',
      Buffer.from([0x7b, 0x22, 0x69, 0x64, 0x22, 0x3a, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d]),
      'INVALID_UTF8',
    ],
    ['a lone surrogate', Buffer.from('{"id":"\\ud800"}'), 'INVALID_TEXT'],
    ['an escaped NUL', Buffer.from('{"id":"a\\u0000"}'), 'INVALID_TEXT'],
    ['a raw NUL', Buffer.from('{"id":"a\0"}'), 'INVALID_JSON'],
  ])('%s is refused by index', async (_what, item, code) => {
    const { post } = await start();
    const { body: answer } = await post(Buffer.concat([item, Buffer.from('\n{"id":"good"}')]));
    expect(answer).toMatchObject({ accepted: 1, errors: [{ index: 0, code }] });
  });
});

describe('too much of a good thing', () => {
  it('a query of many parameters is read within the bound of the URL', async () => {
    const { origin } = await start({ read: async () => new Map() });
    const since = performance.now();
    expect((await fetch(`${origin}/read?${'a&'.repeat(3_900)}`)).status).toBe(400);
    expect((await fetch(`${origin}/read?${'keys=,&'.repeat(1_100)}`)).status).toBe(400);
    expect((await fetch(`${origin}/read?keys=${','.repeat(7_900)}`)).status).toBe(400);
    expect(performance.now() - since).toBeLessThan(2_000);
  });

  it('bodies of all requests share one bound, reads and events alike, and it moves live', async () => {
    const world = await start({ limits: { maxHeldBodyBytes: 1_000 }, read: async () => new Map() });
    const keys = () =>
      fetch(`${world.origin}/read`, { method: 'POST', body: JSON.stringify(['k'.repeat(1_500)]), headers: body });
    expect((await keys()).status).toBe(503);
    expect((await world.post(`{"id":"${'x'.repeat(500)}","a":"${'y'.repeat(600)}"}`)).status).toBe(503);
    world.gateway.configure({ limits: { maxHeldBodyBytes: 10_000 } });
    expect((await keys()).status).toBe(200);
    expect(world.gateway.heldBodyBytes).toBe(0);
  });
});
