import type { IncomingHttpHeaders } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { useServers } from '../../../../test/servers.js';
import { createBatcher } from '../batcher/batcher.js';
import type { Layer } from '../core/dispatcher.js';
import { bisect } from '../layers/bisect.js';
import { retry } from '../layers/retry.js';
import { testEnv } from '../testing/test-env.js';
import { type HttpSinkOptions, httpSink } from './http-sink.js';

const servers = useServers();

interface Call {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Answer = { readonly status?: number; readonly headers?: Record<string, string>; readonly body?: unknown } | 'hang up';

/** A real receiver; returns its address and what it was sent. */
async function receiver(answer: (call: Call, n: number) => Answer = () => ({})) {
  const calls: Call[] = [];
  const url = await servers.start(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const raw = Buffer.concat(parts);
    const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw).toString();
    const call = { method: request.method!, headers: request.headers, body };
    calls.push(call);
    const said = answer(call, calls.length);
    if (said === 'hang up') return void request.socket.destroy();
    response.writeHead(said.status ?? 200, said.headers);
    response.end(said.body === undefined ? '' : typeof said.body === 'string' ? said.body : JSON.stringify(said.body));
  });
  return { url: `${url}/in`, calls };
}

/** Sends one batch and returns each item's outcome: 'ok', or the code and class of its failure. */
async function sendAll(
  items: readonly unknown[],
  options: HttpSinkOptions<unknown>,
  layers: readonly Layer<unknown, void>[] = [],
) {
  const batcher = createBatcher<unknown>({
    sink: httpSink(options),
    layers,
    maxItems: items.length,
    window: { maxDelayMs: 60_000 },
  });
  const settled = await Promise.allSettled(items.map((item) => batcher.push(item)));
  await batcher.close();
  return settled.map((one) => (one.status === 'fulfilled' ? 'ok' : `${one.reason.code} ${one.reason.class}`));
}

describe('a batch is one request', () => {
  it('as a JSON array, with an idempotency key', async () => {
    const { url, calls } = await receiver();
    expect(await sendAll([{ a: 1 }, 'two'], { url, headers: { authorization: 'Bearer x' } })).toEqual(['ok', 'ok']);
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatchObject({
      method: 'POST',
      body: '[{"a":1},"two"]',
      headers: { authorization: 'Bearer x', 'content-type': 'application/json' },
    });
    expect(calls[0]!.headers['idempotency-key']).toMatch(/^\w+-.+/);
  });

  it('as NDJSON, gzipped; a line break in the text of an item does not make two of it', async () => {
    const { url, calls } = await receiver();
    const encode = (item: unknown) => JSON.stringify(item, null, 2);
    expect(await sendAll([{ a: 'x\ny' }, 2], { url, format: 'ndjson', gzip: true, method: 'PUT', encode })).toEqual(['ok', 'ok']);
    expect(calls[0]!.method).toBe('PUT');
    expect(
      calls[0]!.body
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([{ a: 'x\ny' }, 2]);
  });

  it('an item without JSON text fails alone', async () => {
    const { url, calls } = await receiver();
    expect(await sendAll([1n, 2, undefined], { url })).toEqual(['INVALID_VALUE permanent', 'ok', 'INVALID_VALUE permanent']);
    expect(calls[0]!.body).toBe('[2]');
  });

  it('the key is the same for each retry, and another for each sink', async () => {
    const { url, calls } = await receiver((_call, n) => (n === 1 ? { status: 503, headers: { 'retry-after': '0' } } : {}));
    const options = { url, idempotent: true };
    expect(await sendAll([1], options, [retry({ baseMs: 1 })])).toEqual(['ok']);
    await sendAll([1], options);
    const keys = calls.map(({ headers }) => headers['idempotency-key']);
    expect(keys[1]).toBe(keys[0]);
    expect(keys[2]).not.toBe(keys[0]);
  });
});

describe('R-147, W-12: each item has its own outcome', () => {
  it('from a list of errors: the others are done', async () => {
    const { url } = await receiver(() => ({
      status: 207,
      body: {
        errors: [
          { index: 1, code: 'NO', message: 'not this' },
          { index: 2, status: 429 },
        ],
      },
    }));
    expect(await sendAll([1, 2, 3], { url })).toEqual(['ok', 'NO permanent', 'REFUSED transient']);
  });

  it('from one result for each', async () => {
    const { url } = await receiver(() => ({
      status: 207,
      body: { results: [{ status: 201 }, { status: 500 }, { status: 404, error: { code: 'GONE', message: 'x' } }] },
    }));
    expect(await sendAll([1, 2, 3], { url })).toEqual(['ok', 'REFUSED unknown', 'GONE permanent']);
  });

  it('of a 400 only where every item is named; else bisect finds the bad one', async () => {
    const { url, calls } = await receiver(({ body }) =>
      body.includes('13') ? { status: 400, body: { errors: [{ index: 0 }] } } : {},
    );
    expect(await sendAll([11, 12, 13, 14], { url }, [bisect()])).toEqual(['ok', 'ok', 'REFUSED permanent', 'ok']);
    expect(calls.length).toBeGreaterThan(1);
  });

  it('a wrong number of results, an index that was not sent, or a 207 without any is unknown', async () => {
    const answers = [{ results: [] }, { errors: [{ index: 9 }] }, {}];
    const { url } = await receiver((_call, n) => ({ status: 207, body: answers[n - 1] }));
    expect(await sendAll([1], { url })).toEqual(['RESULT_LENGTH_MISMATCH unknown']);
    expect(await sendAll([1], { url })).toEqual(['BAD_RESPONSE unknown']);
    expect(await sendAll([1], { url })).toEqual(['BAD_RESPONSE unknown']);
  });
});

describe('W-10: 413 halves the batch for this call only', () => {
  it('until it fits; an item that is too large alone fails alone', async () => {
    const { url, calls } = await receiver(({ body }) => (body.length > 12 ? { status: 413 } : {}));
    expect(await sendAll(['aa', 'bb', 'x'.repeat(20), 'cc'], { url })).toEqual(['ok', 'ok', 'ITEM_TOO_LARGE permanent', 'ok']);
    expect(new Set(calls.map(({ headers }) => headers['idempotency-key'])).size).toBe(calls.length);
  });

  it('what fails in one half does not undo the other', async () => {
    const { url } = await receiver(({ body }) =>
      body.includes(',') ? { status: 413 } : body.includes('2') ? { status: 503 } : {},
    );
    expect(await sendAll([1, 2], { url })).toEqual(['ok', 'HTTP_STATUS transient']);
  });
});

describe('a status says what may be done', () => {
  it.each([
    [503, 'transient'],
    [429, 'transient'],
    [500, 'unknown'],
    [502, 'unknown'],
    [401, 'blocked'],
    [404, 'blocked'],
    [302, 'blocked'],
    [422, 'permanent'],
  ])('%i: %s', async (status, expected) => {
    const { url } = await receiver(() => ({ status, headers: { location: '/elsewhere' } }));
    expect(await sendAll([1], { url })).toEqual([`HTTP_STATUS ${expected}`]);
  });

  it('Retry-After is the earliest retry', async () => {
    const { url } = await receiver(() => ({ status: 503, headers: { 'retry-after': '7' } }));
    const context = { batchId: 'b', signal: new AbortController().signal } as never;
    await expect(Promise.resolve(httpSink({ url }).write([1], context))).rejects.toMatchObject({ retryAfterMs: 7_000 });
  });
});

describe('without an answer', () => {
  it('it was never sent when nobody listens: transient', async () => {
    expect(await sendAll([1], { url: await servers.gone() })).toEqual(['UNREACHABLE transient']);
  });

  it('it may have happened when the connection broke: unknown', async () => {
    const { url } = await receiver(() => 'hang up');
    expect(await sendAll([1], { url })).toEqual(['UNREACHABLE unknown']);
  });
});

it('a wrong option is named', () => {
  expect(() => httpSink({ url: 'ftp://x' })).toThrow(/url must be an absolute http or https address/);
  expect(() => httpSink({ url: 'http://x', method: 'GET' as never })).toThrow(/method must be POST, PUT or PATCH/);
  expect(() => httpSink({ url: 'http://x', fromat: 'json' } as never)).toThrow(/did you mean format/);
  expect(() => httpSink({ url: 'http://x', env: testEnv({ seed: 1 }), maxResponseBytes: 0 })).toThrow(/maxResponseBytes/);
});
