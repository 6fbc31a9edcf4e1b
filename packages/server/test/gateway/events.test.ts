import { gzipSync } from 'node:zlib';
import { failure } from 'sluice';
import { createMemoryLog, type Log } from 'sluice/log';
import { describe, expect, test } from 'vitest';
import { type Answer, json, ndjson, payloads, start } from './world.js';

describe('events', () => {
  test('an object, an array and lines are stored byte for byte', async () => {
    const { post, stored } = await start();
    expect((await post(' {"id":"a", "n": 123456789012345678901234567890}\n', { 'content-type': json })).body).toEqual({
      ack: 'durable',
      accepted: 1,
      duplicates: 0,
      rejected: 0,
      errors: [],
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

  test.each(['', ' \n\n', '[]', '[ ]', '[{"id":1}', '[{"id":1},]', '[,{}]', '[{}] {}', '[}]', '["abc'])(
    'the body %j as JSON is answered with 400',
    async (body) => {
      const { post } = await start();
      const answer = await post(body, { 'content-type': json });
      expect(answer.status).toBe(400);
      expect(answer.body.error).toEqual({ code: expect.any(String), message: expect.any(String) });
    },
  );
});

describe('bounds and failures', () => {
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
      method: 'POST',
      body: stream,
      headers: { 'content-type': ndjson },
      duplex: 'half',
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
    [failure('full', { code: 'LOG_FULL', class: 'rejected' }), 'LOG_FULL', '10'],
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
