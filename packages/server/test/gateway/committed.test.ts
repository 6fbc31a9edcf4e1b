import { describe, expect, test } from 'vitest';
import { type Answer, ndjson, signal, start } from './world.js';

describe('ack=committed', () => {
  test('waits until every event is settled, the originals of duplicates too', async () => {
    const asked: number[] = [];
    const { post } = await start({
      settled: () => async (records) => {
        asked.push(...records.map(({ offset }) => offset));
        return records.map(() => 'ok');
      },
    });
    await post('{"id":"a"}');
    const answer = await post('{"id":"a"}\n{"id":"b"}', undefined, '?ack=committed');
    expect([answer.status, answer.body.ack, asked]).toEqual([200, 'committed', [0, 1]]);
  });

  test('names the dead by index, and is 207', async () => {
    const { post } = await start({
      settled: () => async (records) => records.map(({ offset }) => (offset === 1 ? 'dead' : 'ok')),
    });
    const answer = await post('bad\n{"id":"a"}\n{"id":"b"}\n', undefined, '?ack=committed');
    expect(answer.status).toBe(207);
    expect(answer.body).toMatchObject({ ack: 'committed', accepted: 2, rejected: 1 });
    expect(answer.body.errors.map(({ index, code }: Answer) => [index, code])).toEqual([
      [0, 'INVALID_JSON'],
      [2, 'DEAD_LETTERED'],
    ]);
    expect((await post('{"id":"b"}', undefined, '?ack=committed')).status).toBe(207);
  });

  test('after the time-out answers 202 with the level reached, and lets the wait go', async () => {
    let left = 0;
    const { post } = await start({
      ackTimeoutMs: 10,
      settled: () => (records, givenUp) =>
        new Promise((resolve) =>
          givenUp(() => {
            left++;
            resolve(records.map(({ offset }) => (offset === 0 ? 'dead' : undefined)));
          }),
        ),
    });
    const answer = await post('{"id":"a"}\n{"id":"b"}\n{"id":"c"}', undefined, '?ack=committed');
    expect([answer.status, answer.body.ack, answer.body.accepted, left]).toEqual([202, 'durable', 3, 1]);
    expect(answer.body.errors).toMatchObject([{ index: 0, code: 'DEAD_LETTERED' }]);
  });

  test('a client that leaves lets its wait go, and what it sent stays', async () => {
    const left = signal();
    const waiting = signal();
    const { origin, stored } = await start({
      settled: () => (_records, givenUp) =>
        new Promise((_resolve, reject) => {
          waiting.give();
          givenUp(() => {
            left.give();
            reject(new Error('left'));
          });
        }),
    });
    const client = new AbortController();
    const request = fetch(`${origin}/v1/streams/events/events?ack=committed`, {
      method: 'POST',
      body: '{"id":1}',
      headers: { 'content-type': ndjson },
      signal: client.signal,
    }); // prettier-ignore
    const gone = expect(request).rejects.toThrow();
    await waiting.given;
    client.abort();
    await Promise.all([gone, left.given]);
    expect(await stored()).toHaveLength(1);
  });
});
