import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, it } from 'vitest';
import { useServers } from '../../../../test/servers.js';
import { testEnv } from '../testing/test-env.js';
import { createKeyValueClient } from './key-value-client.js';
import { encodeKeys, splitKeys } from './read-query.js';
import { retryAfterMs } from './retry-after.js';

const servers = useServers();

/** A real server; returns its address and the raw URLs that it was asked for. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse, urls: readonly string[]) => void) {
  const urls: string[] = [];
  const url = await servers.start((request, response) => {
    urls.push(request.url!);
    answer(request, response, urls);
  });
  return { url, urls };
}

/** Answers as the reference backend does, from these values. */
function from(values: ReadonlyMap<string, number>) {
  return (request: IncomingMessage, response: ServerResponse) => {
    const raw = request.url!.slice(request.url!.indexOf('keys=') + 5);
    const keys = raw.split(',').map(decodeURIComponent);
    const members = keys.flatMap((key) => (values.has(key) ? [`${JSON.stringify(key)}:${values.get(key)}`] : []));
    response.setHeader('content-type', 'application/json').end(`{${members.join()}}`);
  };
}

const oddKeys = ['a,b', 'é', '100%', '__proto__', 'a+b', 'a&b=c', ' ', 'a#b', 'a/b?c', '日本', '"quoted"', 'constructor', '\\'];

it('gets odd keys back right, in one call, and leaves out the absent ones', async () => {
  const values = new Map(oddKeys.map((key, i) => [key, i + 0.5]));
  const { url, urls } = await serve(from(values));
  await using client = createKeyValueClient({ url, windowMs: 50 });
  const found = await client.readMany([...oddKeys, 'absent', 'toString', 'é']);
  expect([...found]).toEqual([...values]);
  expect(urls).toHaveLength(1);
  expect(urls[0]).toMatch(/^\/read\?keys=a%2Cb,%C3%A9,100%25,__proto__,a%2Bb,a%26b%3Dc,%20,/);
});

it('takes an empty answer {} as: no such keys', async () => {
  const { url } = await serve((_, response) => response.end('{}'));
  await using client = createKeyValueClient({ url, windowMs: 1 });
  expect(await client.readMany(['__proto__', 'x'])).toEqual(new Map());
  await expect(client.read('x')).rejects.toMatchObject({ code: 'KEY_NOT_FOUND', key: 'x' });
  expect(await client.readMany([])).toEqual(new Map());
});

it('coalesces forty reads of two keys into one call', async () => {
  const { url, urls } = await serve(
    from(
      new Map([
        ['foo', 12],
        ['bar', 100],
      ]),
    ),
  ); // prettier-ignore
  await using client = createKeyValueClient({ url, windowMs: 100 });
  const reads = Array.from({ length: 40 }, (_, i) => client.read(i % 2 === 0 ? 'foo' : 'bar'));
  expect(await Promise.all(reads)).toEqual(Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 12 : 100)));
  expect(urls).toEqual(['/read?keys=foo,bar']);
});

it('splits over-long URLs into several calls, each within the bound', async () => {
  const values = new Map(Array.from({ length: 2000 }, (_, i) => [`some-key-é-${i}`, i]));
  const { url, urls } = await serve(from(values));
  await using client = createKeyValueClient({ url, windowMs: 5 });
  expect(await client.readMany(values.keys())).toEqual(values);
  expect(urls.length).toBeGreaterThan(1);
  expect(Math.max(...urls.map((path) => path.length))).toBeLessThanOrEqual(8000);
});

it('sends headers, and keeps the path and the query of its url', async () => {
  const { url, urls } = await serve((request, response) => response.end(JSON.stringify({ foo: Number(request.headers['x-n']) })));
  await using client = createKeyValueClient({ url: `${url}/v2/kv?region=eu`, windowMs: 1, headers: { 'x-n': '7' } });
  expect(await client.read('foo')).toBe(7);
  expect(urls).toEqual(['/v2/kv?region=eu&keys=foo']);
});

it('tells a status apart: 404 blocked, 400 permanent, 503 transient and tried again after Retry-After', async () => {
  const { url, urls } = await serve((_, response, seen) => {
    const [code, headers] = [[404], [400], [503, { 'retry-after': '0' }], [200]][seen.length - 1] as [number, object?];
    response.writeHead(code, { ...headers }).end(code === 200 ? '{"foo":1}' : 'sorry');
  });
  await using client = createKeyValueClient({ url, windowMs: 1, maxAttempts: 2, retryBaseMs: 1 });
  await expect(client.read('foo')).rejects.toMatchObject({ code: 'HTTP_STATUS', class: 'blocked' });
  await expect(client.read('foo')).rejects.toMatchObject({ code: 'HTTP_STATUS', class: 'permanent' });
  expect(await client.read('foo')).toBe(1);
  expect(urls).toHaveLength(4);
});

it('sends halves after 414 and 431', async () => {
  const { url, urls } = await serve((request, response) => {
    if (request.url!.includes(',')) return void response.writeHead(431).end();
    from(
      new Map([
        ['a', 1],
        ['b', 2],
        ['c', 3],
      ]),
    )(request, response); // prettier-ignore
  });
  await using client = createKeyValueClient({ url, windowMs: 50 });
  expect(await client.readMany(['a', 'b', 'c'])).toEqual(
    new Map([
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ]),
  ); // prettier-ignore
  expect(urls).toHaveLength(5);
});

it('aborts the call when nobody waits for it any more', async () => {
  const controller = new AbortController();
  let gone!: () => void;
  const clientGone = new Promise<void>((resolve) => {
    gone = resolve;
  });
  const { url } = await serve((request) => {
    request.socket.on('close', gone);
    controller.abort();
  });
  await using client = createKeyValueClient({ url, windowMs: 1 });
  await expect(client.read('foo', { signal: controller.signal })).rejects.toMatchObject({ code: 'CANCELLED' });
  await clientGone;
  expect(client.stats()).toMatchObject({ cancelled: 1, lateReplies: 0, held: 0, inFlight: 0 });
});

it('bounds a call by timeoutMs, and says what is wrong when nobody answers', async () => {
  const { url } = await serve(() => {});
  await using slow = createKeyValueClient({ url, windowMs: 1, timeoutMs: 20 });
  await expect(slow.read('foo')).rejects.toMatchObject({ code: 'TIMEOUT' });
  await using nobody = createKeyValueClient({ url: await servers.gone(), windowMs: 1 });
  const error = await nobody.read('foo').catch((thrown: Error) => thrown);
  expect(error).toMatchObject({ code: 'UNREACHABLE', class: 'transient' });
  expect((error as Error).message).toContain('ECONNREFUSED');
});

it('reads no more of a reply than maxResponseBytes, and cuts the call off', async () => {
  let gone!: () => void;
  const serverSawItGo = new Promise<void>((resolve) => {
    gone = resolve;
  });
  const { url, urls } = await serve((_, response) => {
    response.on('close', gone);
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(1000)));
    };
    response.on('drain', more);
    more();
  });
  await using client = createKeyValueClient({ url, windowMs: 1, maxAttempts: 3, maxResponseBytes: 5_000 });
  await expect(client.read('foo')).rejects.toMatchObject({
    code: 'BAD_RESPONSE',
    class: 'permanent',
    message: expect.stringContaining('maxResponseBytes (5000)'),
  });
  await serverSawItGo;
  expect(urls).toHaveLength(1);
});

it('reads a reply of just maxResponseBytes, in chunks of any length and across the bytes of a character', async () => {
  const text = '{"é":1}';
  const bytes = new TextEncoder().encode(text);
  for (const chunkBytes of [1, 3, 100]) {
    const body = () => {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += chunkBytes) chunks.push(bytes.slice(at, at + chunkBytes));
      return ReadableStream.from(chunks);
    };
    const answer = async () => new Response(body());
    await using exact = createKeyValueClient({ url: 'http://kv', windowMs: 0, maxResponseBytes: bytes.length, fetch: answer });
    expect(await exact.read('é')).toBe(1);
    await using less = createKeyValueClient({ url: 'http://kv', windowMs: 0, maxResponseBytes: bytes.length - 1, fetch: answer });
    await expect(less.read('é')).rejects.toMatchObject({ code: 'BAD_RESPONSE' });
  }
});

it('tells what became of each key by itself: a wrong value fails its own key', async () => {
  const { url, urls } = await serve((_, response) => response.end('{"bad":"12","good":1}'));
  await using client = createKeyValueClient({ url, windowMs: 50 });
  const settled = await client.readSettled(['good', 'bad', 'absent', 'good']);
  expect([...settled.keys()]).toEqual(['good', 'bad']);
  expect(settled.get('good')).toBe(1);
  expect(settled.get('bad')).toMatchObject({ code: 'INVALID_VALUE', key: 'bad' });
  await expect(client.readMany(['good', 'bad'])).rejects.toMatchObject({ code: 'INVALID_VALUE' });
  expect(urls).toHaveLength(2);
});

it('lets a read leave by what whenGone was given: alone, once, and to no effect when all is settled', async () => {
  const env = testEnv();
  const asked: string[] = [];
  const answer = (async (url: string) => {
    asked.push(url);
    return new Response('{"a":1,"b":2}');
  }) as typeof fetch;
  await using client = createKeyValueClient({ url: 'http://kv', windowMs: 100, fetch: answer, env });
  const leaves: (() => void)[] = [];
  const read = (keys: string[]) => client.readSettled(keys, { whenGone: (leave) => leaves.push(leave) });
  const first = read(['a', 'b']);
  const second = read(['b']);
  const third = read(['c']);
  expect(leaves).toHaveLength(3);
  leaves[0]!();
  leaves[0]!();
  leaves[2]!();
  expect([...(await first).values()]).toMatchObject([{ code: 'CANCELLED' }, { code: 'CANCELLED' }]);
  expect([...(await third).values()]).toMatchObject([{ code: 'CANCELLED' }]);
  expect(client.stats()).toMatchObject({ held: 1, cancelled: 3 });
  await env.clock.advance(100);
  expect([...(await second)]).toEqual([['b', 2]]);
  for (const leave of leaves) leave();
  expect(client.stats()).toMatchObject({ held: 0, inFlight: 0, ok: 1, cancelled: 3 });
  // Nobody waited for a and c any more.
  expect(asked).toEqual(['http://kv/read?keys=b']);
  const gone = client.readSettled(['a'], { whenGone: (leave) => leave() });
  expect([...(await gone).values()]).toMatchObject([{ code: 'CANCELLED' }]);
  expect([...(await read([])).values()]).toEqual([]);
  leaves.at(-1)!();
});

it('gives up at once when the pause that is asked for would end past deadlineMs', async () => {
  const env = testEnv();
  let calls = 0;
  const busy = async () => {
    calls++;
    return new Response('', { status: 503, headers: { 'retry-after': '100000' } });
  };
  await using client = createKeyValueClient({ url: 'http://kv', maxAttempts: 3, deadlineMs: 10_000, fetch: busy, env });
  const refused = expect(client.read('foo')).rejects.toMatchObject({ code: 'HTTP_STATUS', retryAfterMs: 100_000_000 });
  await env.clock.advance(100);
  await refused;
  expect([calls, env.clock.timers]).toEqual([1, 0]);
});

it('refuses a url that is none, or of another kind', () => {
  expect(() => createKeyValueClient({ url: 'localhost:8080' })).toThrow(/url must be http or https/);
  expect(() => createKeyValueClient({ url: '/read' })).toThrow(/absolute URL/);
  expect(() => createKeyValueClient({ url: 'http://h', window: 5 } as never)).toThrow(/did you mean windowMs|has no option/);
});

it('encodes and splits keys for a server that cuts the raw value at its commas', () => {
  expect(encodeKeys(['a,b', 'é', '100%'])).toBe('a%2Cb,%C3%A9,100%25');
  expect(splitKeys(['aa', 'bb', 'é', 'cccccccccc', 'd'], 6)).toEqual([['aa', 'bb'], ['é'], ['cccccccccc'], ['d']]);
  expect(splitKeys([], 6)).toEqual([]);
  expect(() => encodeKeys(['\ud800'])).toThrow(URIError);
});

it('reads Retry-After as seconds or as a date', () => {
  const wallMs = Date.UTC(2024, 0, 1);
  expect(retryAfterMs('3', wallMs)).toBe(3000);
  expect(retryAfterMs('Mon, 01 Jan 2024 00:00:05 GMT', wallMs)).toBe(5000);
  expect(retryAfterMs('Sun, 31 Dec 2023 00:00:00 GMT', wallMs)).toBe(0);
  expect([retryAfterMs(null, wallMs), retryAfterMs('soon', wallMs), retryAfterMs(' ', wallMs)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
