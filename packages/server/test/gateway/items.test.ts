import { describe, expect, test } from 'vitest';
import { type Answer, payloads, start } from './world.js';

describe('items', () => {
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

  test('an id that is not an integer is told what may be one', async () => {
    const { post } = await start();
    const { body } = await post('{"id":1.5}');
    expect(body.errors[0].message).toBe(
      'the field "id" must be a string, or an integer written in digits, to be the id; it holds 1.5',
    );
  });

  test('text that only looks bad is taken', async () => {
    const { post, stored } = await start();
    const lines = [
      '{"id":1,"a":"\\\\u0000"}',
      '{"id":2,"a":"\\ud83d\\ude00"}',
      '{"id":3,"a":"\\\\\\\\ud800"}',
      `{"id":4,"a":"${'['.repeat(5_000)}"}`,
    ];
    expect((await post(lines.join('\n'))).status).toBe(200);
    expect(payloads(await stored())).toEqual(lines);
  });

  test('invalid UTF-8 is refused by index', async () => {
    const { post } = await start();
    const { body } = await post(
      Buffer.concat([Buffer.from('{"id":1}\n{"id":2,"a":"'), Buffer.from([0xff]), Buffer.from('"}\n{"id":3}')]),
    );
    expect([body.accepted, body.errors[0].index, body.errors[0].code]).toEqual([2, 1, 'INVALID_UTF8']);
  });

  test('ids are strings and integers, however long the integer', async () => {
    const { post, stored } = await start();
    const big = '12345678901234567890123';
    await post(
      `{"id":"x"}\n{"id":7}\n{"id":-0}\n{"id":${big}}\n{"id": ${big}4 ,"a":{"id":1}}\n{"a":{"id":9},"id":1,"id":-${big}}`,
    );
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
    expect(body.ids).toEqual([
      'a',
      expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      null,
      expect.any(String),
    ]);
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
    const times = [
      '"2024-02-29T23:59:60Z"',
      '"2024-02-29t12:00:00.123456789+05:30"',
      '"2023-02-29T00:00:00Z"',
      '"0000-01-01T00:00:00Z"',
      'null',
      '1700000000000',
      '"2024-01-01"',
    ];
    expect((await post(times.map((time, id) => `{"id":${id},"time":${time}}`).join('\n'))).body.accepted).toBe(times.length);
    expect((await stored()).map(({ time }) => time)).toEqual([
      '2024-02-29T23:59:60Z',
      '2024-02-29t12:00:00.123456789+05:30',
      null,
      null,
      null,
      null,
      null,
    ]);
  });
});
