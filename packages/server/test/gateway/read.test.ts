import { connect } from 'node:net';
import { failure, type SluiceError } from 'sluice';
import { createKeyValueClient } from 'sluice/http';
import { testEnv } from 'sluice/testing';
import { describe, expect, test } from 'vitest';
import { signal, start } from './world.js';

describe('reads', () => {
  const table = new Map([
    ['k1', 1],
    ['a,b', 2],
    ['__proto__', 3],
    ['é x', 4],
    ['100%', 5],
    ['+', 6],
    ['k2', 7],
  ]);
  const read = async (keys: readonly string[]) =>
    new Map(keys.filter((key) => table.has(key)).map((key) => [key, table.get(key)!]));

  test.each([
    ['keys=k1', '{"k1":1}'],
    ['keys=k1,nope,k1,,k2', '{"k1":1,"k2":7}'],
    ['keys=a%2Cb,k1', '{"a,b":2,"k1":1}'],
    ['keys=a%2Cb', '{"a,b":2}'],
    ['keys=k1%2Ck2', '{"k1":1,"k2":7}'],
    ['key=k1&key=k2&key=k1%2Ck2', '{"k1":1,"k2":7}'],
    ['keys=__proto__', '{"__proto__":3}'],
    ['keys=%C3%A9+x,100%25,%2B', '{"é x":4,"100%":5,"+":6}'],
    ['keys=nope', '{}'],
    ['partial=false&keys=k1', '{"k1":1}'],
  ])('%s is answered with %s', async (query, expected) => {
    const { origin } = await start({ read });
    const response = await fetch(`${origin}/read?${query}`);
    expect([response.status, await response.text()]).toEqual([200, expected]);
  });

  test.each(['', '?keys=', '?keys', '?keys=,,', '?key=', '?keys=%zz', '?keys=%ff'])(
    '/read%s is answered with 400',
    async (query) => {
      const { origin } = await start({ read });
      const response = await fetch(`${origin}/read${query}`);
      expect([response.status, Object.keys((await response.json()) as object)]).toEqual([400, ['error']]);
    },
  );

  test.each([
    ['TIMEOUT', 504],
    ['BAD_RESPONSE', 502],
    ['OVERLOADED', 503],
    ['CLOSED', 503],
    ['KEY_TOO_LONG', 414],
  ])('a read that fails with %s is answered with %i', async (code, status) => {
    const { origin } = await start({ read: () => Promise.reject(failure('no', { code })) });
    const response = await fetch(`${origin}/read?keys=a`);
    expect(response.status).toBe(status);
    expect(response.headers.has('retry-after')).toBe(status === 503);
  });

  test('a client that leaves cancels its own read alone', async () => {
    const left: boolean[] = [];
    const both = signal();
    const firstLeft = signal();
    let answer: (found: ReadonlyMap<string, number>) => void = () => {};
    const { origin } = await start({
      read: (_keys, whenGone) =>
        new Promise((resolve, reject) => {
          answer = resolve;
          const at = left.push(false) - 1;
          whenGone(() => {
            left[at] = true;
            firstLeft.give();
            reject(failure('left', { code: 'CANCELLED' }));
          });
          if (left.length === 2) both.give();
        }),
    });
    const client = new AbortController();
    const gone = expect(fetch(`${origin}/read?keys=a`, { signal: client.signal })).rejects.toThrow();
    while (left.length === 0) await new Promise(setImmediate);
    const stays = fetch(`${origin}/read?keys=a`);
    await both.given;
    client.abort();
    await gone;
    await firstLeft.given;
    expect(left).toEqual([true, false]);
    answer(new Map([['a', 1]]));
    expect(await (await stays).json()).toEqual({ a: 1 });
  });

  test('a value that is no number is left out like a missing key, counted, and fails nobody else', async () => {
    await using client = createKeyValueClient({ url: 'http://kv', windowMs: 0, fetch: answering('{"bad":"12","good":1}') });
    const { origin, gateway } = await start({ read: (keys, whenGone) => client.readSettled(keys, { whenGone }) });
    const response = await fetch(`${origin}/read?keys=good,bad,absent`);
    expect([response.status, await response.text()]).toEqual([200, '{"good":1}']);
    expect(gateway.counters).toMatchObject({ reads: 1, readInvalid: 1 });
  });

  test('POST takes a long list of keys, within a bound', async () => {
    const { origin } = await start({ read, maxReadKeys: 2_000 });
    const post = async (body: unknown) => {
      const response = await fetch(`${origin}/read`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      });
      return [response.status, await response.json()];
    };
    expect(await post([...Array.from({ length: 1_500 }, (_, i) => `absent-key-number-${i}`), 'a,b', 'k1', 'k1'])).toEqual([
      200,
      { 'a,b': 2, k1: 1 },
    ]);
    expect(await post({ keys: ['k2'] })).toEqual([200, { k2: 7 }]);
    expect(await post(Array.from({ length: 2_001 }, () => 'k'))).toEqual([
      413,
      { error: expect.objectContaining({ code: 'TOO_MANY_KEYS' }) },
    ]);
    for (const bad of [[1], 'k1', {}, [], ['']]) expect((await post(bad))[0]).toBe(400);
  });

  test.each([
    ['text/plain', 'got "text/plain"'],
    ['application/x-ndjson', 'got "application/x-ndjson"'],
    ['application/json; charset=latin1', 'got charset "latin1"'],
    ['', 'got no content-type'],
  ])('POST with the content-type %j is told what a list of keys is, not what events are', async (type, got) => {
    const { origin } = await start({ read });
    const body = Buffer.from('["k1"]');
    const response = await fetch(`${origin}/read`, {
      method: 'POST',
      body,
      headers: type === '' ? {} : { 'content-type': type },
    });
    expect([response.status, await response.json()]).toEqual([
      415,
      { error: { code: 'UNSUPPORTED_TYPE', message: `expected application/json (an array of keys), in UTF-8; ${got}` } },
    ]);
  });

  test('GET /key/:key answers one key, or 404', async () => {
    const { origin } = await start({ read });
    expect(await (await fetch(`${origin}/key/a%2Cb`)).text()).toBe('{"a,b":2}');
    expect(await (await fetch(`${origin}/key/__proto__`)).text()).toBe('{"__proto__":3}');
    expect((await fetch(`${origin}/key/nope`)).status).toBe(404);
  });

  test.each([
    ['GET', '/%72ead?keys=k1', 200, '{"k1":1}'],
    ['GET', 'http://example.org/read?keys=k1', 200, '{"k1":1}'],
    ['GET', 'HTTP://example.org:80/key/k1', 200, '{"k1":1}'],
    ['HEAD', '/read?keys=k1', 200, ''],
    ['HEAD', '/key/nope', 404, ''],
    ['GET', '/%6bey/a%2Cb', 200, '{"a,b":2}'],
    ['GET', '/key/k%2520', 404, 'KEY_NOT_FOUND'],
    ['GET', '/key/%zz', 400, 'INVALID_URL'],
    ['GET', '/key/%ff', 400, 'INVALID_URL'],
    ['GET', '/key', 404, 'NOT_FOUND'],
    ['GET', '/read/', 404, 'NOT_FOUND'],
    ['GET', '//read?keys=k1', 404, 'NOT_FOUND'],
    ['GET', '/READ?keys=k1', 404, 'NOT_FOUND'],
    ['GET', '/read%3Fkeys=k1', 404, 'NOT_FOUND'],
    ['GET', '/rea%zz', 400, 'INVALID_URL'],
    ['GET', '/key/a/b', 404, 'NOT_FOUND'],
    ['GET', '/read?keys=k1&%70artial', 200, '{"values":{"k1":1},"errors":{}}'],
    ['GET', '/read?keys=k1&partial=true&partial=false', 200, '{"k1":1}'],
    ['GET', '/read?&keys=k1&', 200, '{"k1":1}'],
  ])('%s %s, as it may be spelled, is answered with %i', async (method, target, status, body) => {
    const { gateway } = await start({ read });
    const socket = connect(gateway.port, '127.0.0.1').setEncoding('utf8');
    socket.write(`${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    let text = '';
    for await (const chunk of socket) text += chunk;
    const [head, got] = text.split('\r\n\r\n') as [string, string];
    expect([Number(head.slice(9, 12)), /content-type: application\/json; charset=utf-8/i.test(head)]).toEqual([status, true]);
    if (body === '') expect([got, /content-length: [1-9]/i.test(head)]).toEqual(['', true]);
    else expect(got).toContain(body);
    expect(gateway.underWay).toBe(0);
  });

  test('answers of one connection keep the order of its requests, whichever read is done first', async () => {
    const done: (() => void)[] = [];
    const all = signal();
    const { gateway } = await start({
      read: (keys) =>
        new Promise((resolve) => {
          done.push(() => resolve(new Map([[keys[0]!, 1]])));
          if (done.length === 3) all.give();
        }),
    });
    const socket = connect(gateway.port, '127.0.0.1').setEncoding('utf8');
    for (const key of ['a', 'b', 'c'])
      socket.write(`GET /read?key=${key} HTTP/1.1\r\nHost: x\r\n${key === 'c' ? 'Connection: close\r\n' : ''}\r\n`);
    await all.given;
    for (const answer of done.reverse()) answer();
    let text = '';
    for await (const chunk of socket) text += chunk;
    expect(text.match(/\{.*\}/g)).toEqual(['{"a":1}', '{"b":1}', '{"c":1}']);
  });

  test('a failure that nobody expected is answered with 500, told to the logger, and hides what it was', async () => {
    const logged: object[] = [];
    const found = new Map([['a', null as unknown as number]]);
    const { origin } = await start({ read: async () => found, logger: { error: (details) => void logged.push(details) } });
    const response = await fetch(`${origin}/read?keys=a`);
    expect([response.status, await response.json()]).toEqual([
      500,
      { error: { code: 'INTERNAL', message: expect.not.stringContaining('null') } },
    ]);
    expect(logged).toEqual([{ method: 'GET', route: '/read', err: expect.any(TypeError) }]);
  });

  test('?partial=true tells what failed beside what did not', async () => {
    const late = failure('late', { code: 'TIMEOUT', class: 'unknown' });
    const { origin } = await start({
      read: async () =>
        new Map<string, number | SluiceError>([
          ['a', 1],
          ['b', late],
        ]),
    });
    const response = await fetch(`${origin}/read?keys=a,b&partial=true`);
    expect([response.status, await response.json()]).toEqual([
      207,
      { values: { a: 1 }, errors: { b: { code: 'UPSTREAM_TIMEOUT', message: 'the key-value backend did not answer in time' } } },
    ]);
    expect((await fetch(`${origin}/read?keys=a,b`)).status).toBe(504);
  });

  test('a key that failed for another reason fails the request', async () => {
    const problem = failure('late', { code: 'TIMEOUT', class: 'unknown' });
    const read = async () =>
      new Map<string, number | SluiceError>([
        ['good', 1],
        ['late', problem],
      ]);
    const { origin } = await start({ read });
    expect((await fetch(`${origin}/read?keys=good,late`)).status).toBe(504);
  });

  test.each([
    ['asks for a pause that ends past the deadline', 100, 502, 'UPSTREAM_FAILED', 1],
    ['never answers', 10_100, 504, 'UPSTREAM_TIMEOUT', 2],
  ])('an upstream that %s is given up after %i ms, with %i', async (_, afterMs, status, code, calls) => {
    const env = testEnv();
    const joined = signal();
    let called = 0;
    const upstream = (async (_url, options) => {
      called++;
      if (status === 502) return new Response('', { status: 503, headers: { 'retry-after': '100000' } });
      const given = options?.signal;
      return new Promise((_resolve, reject) => given?.addEventListener('abort', () => reject(given.reason)));
    }) as typeof fetch;
    await using client = createKeyValueClient({ url: 'http://kv', maxAttempts: 3, deadlineMs: 10_000, fetch: upstream, env });
    const { origin } = await start({
      read: (keys, whenGone) => {
        const found = client.readSettled(keys, { whenGone });
        joined.give();
        return found;
      },
    });
    const answered = fetch(`${origin}/read?keys=a`);
    await joined.given;
    await env.clock.advance(afterMs);
    const response = await answered;
    expect([response.status, await response.json()]).toEqual([status, { error: { code, message: expect.any(String) } }]);
    expect([called, env.clock.timers]).toEqual([calls, 0]);
  });

  test('without a backend the answer says so', async () => {
    const { origin } = await start();
    expect((await fetch(`${origin}/read?keys=a`)).status).toBe(404);
  });
});

/** A `fetch` that always gets this text. */
function answering(text: string): typeof fetch {
  return async () => new Response(text);
}
