import { gzipSync } from 'node:zlib';
import { connect } from 'node:net';
import { once } from 'node:events';
import { failure } from 'sluice';
import { createMemoryLog, type Log, type LogRecord } from 'sluice/log';
import { afterEach, describe, expect, test } from 'vitest';
import { createGateway, type Gateway, type GatewayOptions } from './gateway.js';

const ndjson = 'application/x-ndjson';
const json = 'application/json';
const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

interface World {
  readonly log: Log;
  readonly gateway: Gateway;
  readonly origin: string;
  post(body: BodyInit, headers?: Record<string, string>, query?: string): Promise<{ status: number; body: Answer; headers: Headers }>;
  stored(): Promise<readonly LogRecord[]>;
}

// biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field
type Answer = any;

async function start(options: Partial<GatewayOptions> = {}): Promise<World> {
  const log = options.log ?? createMemoryLog();
  const gateway = await createGateway({ port: 0, ...options, log });
  open.push(() => log.close(), () => gateway.close());
  const origin = `http://127.0.0.1:${gateway.port}`;
  return {
    log,
    gateway,
    origin,
    async post(body, headers = { 'content-type': ndjson }, query = '') {
      const response = await fetch(`${origin}/v1/streams/events/events${query}`, { method: 'POST', body, headers });
      return { status: response.status, body: await response.json(), headers: response.headers };
    },
    stored: () => log.read('events', 0, 0, { maxItems: 100_000, maxBytes: 1e9 }),
  };
}

const payloads = (records: readonly LogRecord[]): string[] => records.map(({ payload }) => Buffer.from(payload).toString('utf8'));

describe('events', () => {
  test('an object, an array and lines are stored byte for byte', async () => {
    const { post, stored } = await start();
    expect((await post(' {"id":"a", "n": 123456789012345678901234567890}\n', { 'content-type': json })).body).toEqual({
      ack: 'durable', accepted: 1, duplicates: 0, rejected: 0, errors: [],
    }); // prettier-ignore
    await post('[ {"id":"b","n":1e400},\n{"id":"c","s":"],[\\"{"} ]', { 'content-type': 'application/json; charset=UTF-8' });
    await post('\ufeff{"id":"d","x": 1.0}\r\n\n  \n{"id":"e" }', { 'content-type': 'application/jsonl' });
    expect(payloads(await stored())).toEqual([
      '{"id":"a", "n": 123456789012345678901234567890}',
      '{"id":"b","n":1e400}',
      '{"id":"c","s":"],[\\"{"}',
      '{"id":"d","x": 1.0}',
      '{"id":"e" }',
    ]);
  });

  test('gzip is inflated, and bounded after inflation', async () => {
    const { post, stored } = await start({ limits: { maxBodyBytes: 100_000 } });
    const headers = { 'content-type': ndjson, 'content-encoding': 'gzip' };
    expect((await post(gzipSync('{"id":1}\n{"id":2}\n'), headers)).status).toBe(200);
    expect((await stored()).map(({ id }) => id)).toEqual(['1', '2']);
    const bomb = await post(gzipSync(Buffer.alloc(5_000_000, 0x20)), headers);
    expect([bomb.status, bomb.body.error.code]).toEqual([413, 'BODY_TOO_LARGE']);
    const broken = await post(gzipSync('{"id":3}').subarray(0, 15), headers);
    expect([broken.status, broken.body.error.code]).toEqual([400, 'INVALID_GZIP']);
    expect((await post('not gzip', headers)).body.error.code).toBe('INVALID_GZIP');
  });

  test('a bad line is refused by index and the good ones are kept', async () => {
    const { post, stored } = await start();
    const answer = await post('{"id":"a"}\nnot json\n{"id":"b"}\n42\n');
    expect(answer.status).toBe(207);
    expect(answer.body).toMatchObject({ accepted: 2, duplicates: 0, rejected: 2 });
    expect(answer.body.errors.map(({ index, code }: Answer) => [index, code])).toEqual([
      [1, 'INVALID_JSON'],
      [3, 'NOT_AN_OBJECT'],
    ]);
    expect((await stored()).map(({ id }) => id)).toEqual(['a', 'b']);
  });

  test('a bad element of an array is refused by index', async () => {
    const { post } = await start();
    const answer = await post('[{"id":"a"},{"id":"b",},{"id":"c"}]', { 'content-type': json });
    expect([answer.status, answer.body.accepted, answer.body.errors[0].index]).toEqual([207, 2, 1]);
  });

  test('400 when all items were refused', async () => {
    const { post, stored } = await start();
    const answer = await post('nope\n');
    expect([answer.status, answer.body.error.code, answer.body.rejected]).toEqual([400, 'ALL_REFUSED', 1]);
    expect(await stored()).toEqual([]);
  });

  test.each(['', ' \n\n', '[]', '[ ]', '[{"id":1}', '[{"id":1},]', '[,{}]', '[{}] {}', '[}]', '["abc'])('the body %j as JSON is answered with 400', async (body) => {
    const { post } = await start();
    const answer = await post(body, { 'content-type': json });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toEqual({ code: expect.any(String), message: expect.any(String) });
  });

  test.each([
    ['{"id":1,"a":"\\u0000"}', 'INVALID_TEXT'],
    ['{"id":1,"\\u0000":1}', 'INVALID_TEXT'],
    ['{"id":1,"a":"\\\\\\u0000"}', 'INVALID_TEXT'],
    ['{"id":1,"a":"\\ud800"}', 'INVALID_TEXT'],
    ['{"id":1,"a":"\\udc00\\ud800"}', 'INVALID_TEXT'],
    ['{"id":1,"a":"\\ud83dx\\ude00"}', 'INVALID_TEXT'],
    ['{"id":""}', 'INVALID_ID'],
    ['{"id":null}', 'INVALID_ID'],
    ['{"id":true}', 'INVALID_ID'],
    ['{"id":{}}', 'INVALID_ID'],
    ['{"id":1.5}', 'INVALID_ID'],
    ['{"id":1e30}', 'INVALID_ID'],
    [`{"id":"${'é'.repeat(257)}"}`, 'INVALID_ID'],
    ['[]', 'NOT_AN_OBJECT'],
    ['null', 'NOT_AN_OBJECT'],
    [`{"id":1,"a":${'['.repeat(2_000)}${']'.repeat(2_000)}}`, 'TOO_DEEP'],
    [`{"id":1,"a":${'['.repeat(500_000)}`, 'TOO_DEEP'],
    [`{"id":1,"a":"${'x'.repeat(1024 * 1024)}"}`, 'ITEM_TOO_LARGE'],
  ])('%.60s is refused as %s', async (line, code) => {
    const { post } = await start();
    const { body } = await post(`{"id":"good"}\n${line}\n`);
    expect([body.accepted, body.errors.map((error: Answer) => [error.index, error.code])]).toEqual([1, [[1, code]]]);
  });

  test('text that only looks bad is taken', async () => {
    const { post, stored } = await start();
    const lines = ['{"id":1,"a":"\\\\u0000"}', '{"id":2,"a":"\\ud83d\\ude00"}', '{"id":3,"a":"\\\\\\\\ud800"}', `{"id":4,"a":"${'['.repeat(5_000)}"}`];
    expect((await post(lines.join('\n'))).status).toBe(200);
    expect(payloads(await stored())).toEqual(lines);
  });

  test('invalid UTF-8 is refused by index', async () => {
    const { post } = await start();
    const { body } = await post(Buffer.concat([Buffer.from('{"id":1}\n{"id":2,"a":"'), Buffer.from([0xff]), Buffer.from('"}\n{"id":3}')]));
    expect([body.accepted, body.errors[0].index, body.errors[0].code]).toEqual([2, 1, 'INVALID_UTF8']);
  });

  test('ids are strings and integers, however long the integer', async () => {
    const { post, stored } = await start();
    const big = '12345678901234567890123';
    await post(`{"id":"x"}\n{"id":7}\n{"id":-0}\n{"id":${big}}\n{"id": ${big}4 ,"a":{"id":1}}\n{"a":{"id":9},"id":1,"id":-${big}}`);
    expect((await stored()).map(({ id }) => id)).toEqual(['x', '7', '0', big, `${big}4`, `-${big}`]);
  });

  test('an id can come from another field or from the content', async () => {
    const { post, stored } = await start();
    await post('{"order":"o1"}', undefined, '?id=order');
    await post('{"__proto__":"p1"}', undefined, '?id=__proto__');
    await post('{"toString":"t"}\n{}', undefined, '?id=toString');
    const hashed = await post('{"a":1}\n{"a":1}\n{"a": 1}', undefined, '?id=hash');
    expect(hashed.body).toMatchObject({ accepted: 2, duplicates: 1, rejected: 0 });
    expect(hashed.body.ids).toBeUndefined();
    const ids = (await stored()).map(({ id }) => id);
    expect([ids[0], ids[1], ids[2], ids.length]).toEqual(['o1', 'p1', 't', 6]);
  });

  test('without an id one is made, and told in input order', async () => {
    const { post } = await start();
    const { body } = await post('{"id":"a"}\n{}\nbad\n{"x":1}');
    expect(body.ids).toEqual(['a', expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/), null, expect.any(String)]);
    expect(body.ids[1]).not.toBe(body.ids[3]);
  });

  test('duplicates are counted, and 200', async () => {
    const { post, stored } = await start();
    await post('{"id":"a"}\n{"id":"b"}');
    const again = await post('{"id":"a"}\n{"id":"c"}\n{"id":"c"}');
    expect([again.status, again.body]).toEqual([200, { ack: 'durable', accepted: 1, duplicates: 2, rejected: 0, errors: [] }]);
    expect(await stored()).toHaveLength(3);
  });

  test('a valid time is kept as written; anything else is no time', async () => {
    const { post, stored } = await start();
    const times = ['"2024-02-29T23:59:60Z"', '"2024-02-29t12:00:00.123456789+05:30"', '"2023-02-29T00:00:00Z"', '"0000-01-01T00:00:00Z"', 'null', '1700000000000', '"2024-01-01"'];
    expect((await post(times.map((time, id) => `{"id":${id},"time":${time}}`).join('\n'))).body.accepted).toBe(times.length);
    expect((await stored()).map(({ time }) => time)).toEqual(['2024-02-29T23:59:60Z', '2024-02-29t12:00:00.123456789+05:30', null, null, null, null, null]);
  });

  test('too many items and too large a body are answered with 413, and nothing is stored', async () => {
    const { post, stored } = await start({ limits: { maxItems: 2, maxBodyBytes: 1_000 } });
    expect((await post('{}\n{}\n{}')).body.error.code).toBe('TOO_MANY_ITEMS');
    const large = await post('x'.repeat(5_000_000));
    expect([large.status, large.body.error.code]).toEqual([413, 'BODY_TOO_LARGE']);
    const stream = new ReadableStream({
      start(controller) {
        for (let part = 0; part < 50; part++) controller.enqueue(new Uint8Array(1_000));
        controller.close();
      },
    });
    const chunked = await fetch(`${(await start({ limits: { maxBodyBytes: 1_000 } })).origin}/v1/streams/events/events`, {
      method: 'POST', body: stream, headers: { 'content-type': ndjson }, duplex: 'half',
    } as RequestInit); // prettier-ignore
    expect(chunked.status).toBe(413);
    expect(await stored()).toEqual([]);
  });

  test.each([
    [{}, 'UNSUPPORTED_TYPE'],
    [{ 'content-type': 'text/plain' }, 'UNSUPPORTED_TYPE'],
    [{ 'content-type': 'application/json; charset=latin1' }, 'UNSUPPORTED_TYPE'],
    [{ 'content-type': 'nonsense' }, 'UNSUPPORTED_TYPE'],
    [{ 'content-type': json, 'content-encoding': 'br' }, 'UNSUPPORTED_ENCODING'],
  ])('headers %j are answered with 415', async (headers, code) => {
    const { post } = await start();
    const answer = await post(Buffer.from('{}'), headers as Record<string, string>);
    expect([answer.status, answer.body.error.code]).toEqual([415, code]);
  });

  test.each([
    ['?ack=sure', 'INVALID_ACK'],
    ['?ack=committed', 'NO_PIPELINE'],
    ['?id=', 'INVALID_ID_FIELD'],
  ])('the query %s is answered with 400', async (query, code) => {
    const { post } = await start();
    const answer = await post('{}', undefined, query);
    expect([answer.status, answer.body.error.code]).toEqual([400, code]);
  });

  test('accepted is answered with 202 and ends in the log', async () => {
    const { post, log, stored } = await start();
    const answer = await post('{"id":1}', undefined, '?ack=accepted');
    expect([answer.status, answer.body.ack]).toEqual([202, 'accepted']);
    await log.flushed();
    expect(await stored()).toHaveLength(1);
  });

  test.each([
    [failure('full', { code: 'OVERLOADED', class: 'rejected', retryAfterMs: 2_300 }), 'OVERLOADED', '3'],
    [failure('full', { code: 'OVERLOADED', class: 'rejected' }), 'OVERLOADED', '1'],
    [failure('closed', { code: 'CLOSED', class: 'rejected' }), 'SHUTTING_DOWN', '5'],
    [failure('disk gone', { code: 'LOG_STOPPED' }), 'LOG_STOPPED', '30'],
  ])('a log that fails with %s is answered with 503 and Retry-After', async (problem, code, retryAfter) => {
    const log: Log = { ...createMemoryLog(), append: () => Promise.reject(problem), offer: () => 'full' };
    const { post, gateway } = await start({ log });
    const answer = await post('{}');
    expect([answer.status, answer.body.error.code, answer.headers.get('retry-after')]).toEqual([503, code, retryAfter]);
    expect((await post('{}', undefined, '?ack=accepted')).status).toBe(503);
    expect(gateway.counters.overloaded).toBe(2);
  });

  test('more bytes of bodies than may be held are answered with 503', async () => {
    const { post } = await start({ limits: { maxHeldBodyBytes: 100 } });
    expect((await post('x'.repeat(200))).status).toBe(503);
    expect((await post('{}')).status).toBe(200);
  });

  test('a failure of ours is a 500 that says nothing of the payload', async () => {
    const told: object[] = [];
    const log: Log = { ...createMemoryLog(), append: () => Promise.reject(new TypeError('secret')) };
    const { post } = await start({ log, logger: { error: (details) => void told.push(details) } });
    const answer = await post('{"password":1}');
    expect([answer.status, answer.body.error.code]).toEqual([500, 'INTERNAL']);
    expect(JSON.stringify(answer.body)).not.toContain('secret');
    expect(told).toHaveLength(1);
  });

  test('items are counted', async () => {
    const { post, gateway } = await start();
    await post('{"id":1}\n{"id":1}\nbad');
    expect(gateway.counters).toMatchObject({ requests: 1, accepted: 1, duplicates: 1, rejected: 1 });
    expect([...gateway.counters.rejectedByCode]).toEqual([['INVALID_JSON', 1]]);
  });
});

describe('ack=committed', () => {
  test('waits until every event is settled, the originals of duplicates too', async () => {
    const asked: number[] = [];
    const { post } = await start({
      settled: () => async (_partition, offset) => {
        asked.push(offset);
        return 'ok';
      },
    });
    await post('{"id":"a"}');
    const answer = await post('{"id":"a"}\n{"id":"b"}', undefined, '?ack=committed');
    expect([answer.status, answer.body.ack, asked]).toEqual([200, 'committed', [0, 1]]);
  });

  test('names the dead by index, and is 207', async () => {
    const { post } = await start({ settled: () => async (_partition, offset) => (offset === 1 ? 'dead' : 'ok') });
    const answer = await post('bad\n{"id":"a"}\n{"id":"b"}\n', undefined, '?ack=committed');
    expect(answer.status).toBe(207);
    expect(answer.body).toMatchObject({ ack: 'committed', accepted: 2, rejected: 1 });
    expect(answer.body.errors.map(({ index, code }: Answer) => [index, code])).toEqual([
      [0, 'INVALID_JSON'],
      [2, 'DEAD_LETTERED'],
    ]);
    expect((await post('{"id":"b"}', undefined, '?ack=committed')).status).toBe(207);
  });

  test('after the time-out answers 202 with the level reached, and lets the waits go', async () => {
    let left = 0;
    const { post } = await start({
      ackTimeoutMs: 10,
      settled: () => (_partition, offset, signal) =>
        offset === 0
          ? Promise.resolve('dead')
          : new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error(`left ${++left}`)))),
    });
    const answer = await post('{"id":"a"}\n{"id":"b"}\n{"id":"c"}', undefined, '?ack=committed');
    expect([answer.status, answer.body.ack, answer.body.accepted, left]).toEqual([202, 'durable', 3, 2]);
    expect(answer.body.errors).toMatchObject([{ index: 0, code: 'DEAD_LETTERED' }]);
  });

  test('a client that leaves lets its waits go, and what it sent stays', async () => {
    let onLeft: () => void = () => {};
    const left = new Promise<void>((resolve) => {
      onLeft = resolve;
    });
    let onWaiting: () => void = () => {};
    const waiting = new Promise<void>((resolve) => {
      onWaiting = resolve;
    });
    const { origin, stored } = await start({
      settled: () => (_partition, _offset, signal) =>
        new Promise((_resolve, reject) => {
          onWaiting();
          signal.addEventListener('abort', () => {
            onLeft();
            reject(new Error('left'));
          });
        }),
    });
    const client = new AbortController();
    const request = fetch(`${origin}/v1/streams/events/events?ack=committed`, {
      method: 'POST', body: '{"id":1}', headers: { 'content-type': ndjson }, signal: client.signal,
    }); // prettier-ignore
    const gone = expect(request).rejects.toThrow();
    await waiting;
    client.abort();
    await Promise.all([gone, left]);
    expect(await stored()).toHaveLength(1);
  });
});

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
  const read = async (keys: readonly string[]) => new Map(keys.filter((key) => table.has(key)).map((key) => [key, table.get(key)!]));

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
    ['other=1&keys=k1', '{"k1":1}'],
  ])('%s is answered with %s', async (query, expected) => {
    const { origin } = await start({ read });
    const response = await fetch(`${origin}/read?${query}`);
    expect([response.status, await response.text()]).toEqual([200, expected]);
  });

  test.each(['', '?keys=', '?keys', '?keys=,,', '?key=', '?keys=%zz', '?keys=%ff'])('/read%s is answered with 400', async (query) => {
    const { origin } = await start({ read });
    const response = await fetch(`${origin}/read${query}`);
    expect([response.status, Object.keys((await response.json()) as object)]).toEqual([400, ['error']]);
  });

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
    const signals: AbortSignal[] = [];
    let onBoth: () => void = () => {};
    const both = new Promise<void>((resolve) => {
      onBoth = resolve;
    });
    let answer: (found: ReadonlyMap<string, number>) => void = () => {};
    const { origin } = await start({
      read: (_keys, signal) =>
        new Promise((resolve, reject) => {
          answer = resolve;
          signal.addEventListener('abort', () => reject(failure('left', { code: 'CANCELLED' })));
          if (signals.push(signal) === 2) onBoth();
        }),
    });
    const client = new AbortController();
    const gone = expect(fetch(`${origin}/read?keys=a`, { signal: client.signal })).rejects.toThrow();
    while (signals.length === 0) await new Promise(setImmediate);
    const stays = fetch(`${origin}/read?keys=a`);
    await both;
    client.abort();
    await gone;
    if (signals[0]?.aborted !== true) await once(signals[0]!, 'abort');
    expect(signals[1]?.aborted).toBe(false);
    answer(new Map([['a', 1]]));
    expect(await (await stays).json()).toEqual({ a: 1 });
  });

  test('without a backend the answer says so', async () => {
    const { origin } = await start();
    expect((await fetch(`${origin}/read?keys=a`)).status).toBe(404);
  });
});

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
    const response = await fetch(`${origin}${path}`, { method, ...(method === 'POST' ? { body: '{}', headers: { 'content-type': json } } : {}) });
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
    expect([before.status, await before.json()]).toEqual([503, { status: 'not ready', reasons: ['the pipeline has not started yet'] }]);
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
    let onWaiting: () => void = () => {};
    const waiting = new Promise<void>((resolve) => {
      onWaiting = resolve;
    });
    const { gateway, origin, post } = await start({
      settled: () => () =>
        new Promise((resolve) => {
          settle = () => resolve('ok');
          onWaiting();
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
    await waiting;
    const stopped = gateway.stopIntake();
    kept.write('host: x\r\n\r\n');
    await ended;
    expect(text).toMatch(/503 Service Unavailable[^]*connection: close[^]*SHUTTING_DOWN/i);
    await expect(fetch(`${origin}/healthz`)).rejects.toThrow();
    settle();
    expect((await underWay).status).toBe(200);
    await stopped;
    expect(gateway.underWay).toBe(0);
  });

  test('waits no longer than it may', async () => {
    let onWaiting: () => void = () => {};
    const waiting = new Promise<void>((resolve) => {
      onWaiting = resolve;
    });
    const { gateway, post } = await start({
      settled: () => () => {
        onWaiting();
        return new Promise(() => {});
      },
    });
    const request = expect(post('{"id":1}', undefined, '?ack=committed')).rejects.toThrow();
    await waiting;
    await gateway.stopIntake(1);
    await gateway.close();
    await request;
  });
});
