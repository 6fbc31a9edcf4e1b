import { CloudEvent, HTTP, type Message } from 'cloudevents';
import { describe, expect, test } from 'vitest';
import { compileSchemas } from '../../src/gateway/stream-schemas.js';
import { json, payloads, start } from './world.js';

const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const event = (fields: object = {}) =>
  new CloudEvent({
    id: '1',
    source: '/shop',
    type: 'order.placed',
    time: '2026-01-01T00:00:00.000Z',
    data: { total: 7 },
    ...fields,
  });

describe('CloudEvents 1.0', () => {
  test('structured: stored as received, unique by source and id', async () => {
    const { post, stored } = await start();
    const send = async (message: Message) => post(message.body as string, message.headers as Record<string, string>);
    expect((await send(HTTP.structured(event()))).body).toMatchObject({ accepted: 1, duplicates: 0 });
    expect((await send(HTTP.structured(event()))).body).toMatchObject({ accepted: 0, duplicates: 1 });
    expect((await send(HTTP.structured(event({ source: '/other' })))).body).toMatchObject({ accepted: 1 });
    const [first] = await stored();
    expect(first).toMatchObject({ id: '/shop#1', time: '2026-01-01T00:00:00.000Z', trace: null, key: null });
    expect(JSON.parse(payloads([first!])[0]!)).toMatchObject({ specversion: '1.0', type: 'order.placed', data: { total: 7 } });
  });

  test('binary: attributes and data become the envelope that a structured one has', async () => {
    const { post, stored } = await start();
    const message = HTTP.binary(event({ traceparent: trace, partitionkey: 'customer-3', subject: 'ä ö' }));
    const headers = { ...(message.headers as Record<string, string>), 'ce-subject': encodeURIComponent('ä ö') };
    expect((await post(message.body as string, headers)).body).toMatchObject({ accepted: 1 });
    const [record] = await stored();
    expect(record).toMatchObject({ id: '/shop#1', trace, key: 'customer-3' });
    const received = HTTP.toEvent({
      headers: { 'content-type': 'application/cloudevents+json' },
      body: payloads([record!])[0]!,
    }) as CloudEvent<object>;
    expect(received.data).toEqual({ total: 7 });
    expect(received.subject).toBe('ä ö');
  });

  test('binary data that is not JSON is kept as text, or as base64', async () => {
    const { post, stored } = await start();
    const headers = (id: string, type: string) => ({
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': 's',
      'ce-type': 't',
      'content-type': type,
    });
    await post('hello "you"', headers('1', 'text/plain'));
    await post(Buffer.from([0, 255]), headers('2', 'application/octet-stream'));
    await post('', headers('3', json));
    expect(payloads(await stored()).map((text) => JSON.parse(text))).toMatchObject([
      { data: 'hello "you"' },
      { data_base64: 'AP8=' },
      { id: '3' },
    ]);
  });

  test('batched: each by itself, the bad ones by index', async () => {
    const { post, stored } = await start();
    const batch = [
      event().toJSON(),
      { ...event({ id: '2' }).toJSON(), type: '' },
      { specversion: '0.3', id: '3', source: 's', type: 't' },
    ];
    const answer = await post(JSON.stringify(batch), { 'content-type': 'application/cloudevents-batch+json' });
    expect([answer.status, answer.body.errors]).toEqual([
      207,
      [
        { index: 1, code: 'INVALID_CLOUDEVENT', message: 'expected the attribute type to be a string that is not empty' },
        { index: 2, code: 'INVALID_CLOUDEVENT', message: 'expected the attribute specversion to be "1.0"' },
      ],
    ]);
    expect(await stored()).toHaveLength(1);
  });

  test.each([
    ['a header that is no percent-encoding', { 'ce-specversion': '1.0', 'ce-id': '%zz', 'ce-source': 's', 'ce-type': 't' }, 400],
    ['no type', { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': 's' }, 400],
  ])('binary with %s is refused', async (_name, headers, status) => {
    const { post } = await start();
    expect((await post('{}', { ...headers, 'content-type': json })).status).toBe(status);
  });
});

describe('R-219: Idempotency-Key', () => {
  test('makes the same request again a duplicate, though its items have no ids', async () => {
    const { post, stored } = await start();
    const headers = { 'content-type': json, 'idempotency-key': 'order-17' };
    expect((await post('[{"a":1},{"a":2}]', headers)).body).toMatchObject({ accepted: 2 });
    expect((await post('[{"a":1},{"a":2}]', headers)).body).toMatchObject({ accepted: 0, duplicates: 2 });
    expect((await post('[{"a":1}]', { ...headers, 'idempotency-key': 'order-18' })).body).toMatchObject({ accepted: 1 });
    expect((await stored()).map(({ id }) => id)).toEqual(['order-17.0', 'order-17.1', 'order-18.0']);
  });

  test('that is empty or too long is refused', async () => {
    const { post } = await start();
    const answer = await post('{}', { 'content-type': json, 'idempotency-key': 'x'.repeat(256) });
    expect([answer.status, answer.body.error.code]).toEqual([400, 'INVALID_IDEMPOTENCY_KEY']);
  });
});

describe('what is kept with an event', () => {
  test('the trace of the request; a broken one is dropped', async () => {
    const { post, stored } = await start();
    await post('{"id":1}', { 'content-type': json, traceparent: trace });
    await post('{"id":2}', { 'content-type': json, traceparent: `ff${trace.slice(2)}` });
    expect((await stored()).map((record) => record.trace)).toEqual([trace, null]);
  });

  test('the order key of the stream, which must be a string or a number', async () => {
    const { post, stored } = await start({ streams: () => ({ keyField: 'user' }) });
    const answer = await post('[{"id":1,"user":"u"},{"id":2,"user":9},{"id":3},{"id":4,"user":{}},{"id":5,"user":""}]', {
      'content-type': json,
    });
    expect(answer.body.errors.map(({ index, code }: { index: number; code: string }) => [index, code])).toEqual([
      [3, 'INVALID_KEY'],
      [4, 'INVALID_KEY'],
    ]);
    expect((await stored()).map(({ key }) => key)).toEqual(['u', '9', null]);
  });

  test('R-183: an item that does not fit the schema is refused with the reason', async () => {
    const schema = await compileSchemas('events', [{ version: 1, schema: { required: ['total'] } }], '/');
    const { post } = await start({ streams: () => ({ schema }) });
    const answer = await post('[{"total":1},{"sum":1}]', { 'content-type': json });
    expect(answer.body.errors).toEqual([
      {
        index: 1,
        code: 'INVALID_SCHEMA',
        message: "the item does not fit the schema of its stream: the item must have required property 'total'",
      },
    ]);
  });
});
