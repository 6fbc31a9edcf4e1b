import { once } from 'node:events';
import { request } from 'node:http';
import { createMemoryLog } from 'sluice/log';
import { expect, test } from 'vitest';
import { createCallers, makeKey } from '../../src/gateway/caller.js';
import { json, start, type World } from './world.js';

/** Reads events of a tail until there are `count` of them, then leaves. */
async function tail({ origin }: World, count: number, query = '', headers: Record<string, string> = {}) {
  const call = request(`${origin}/v1/streams/events/events${query}`, { headers });
  call.end();
  const [response] = await once(call, 'response');
  let text = '';
  const events = () =>
    text
      .split('\n\n')
      .slice(0, -1)
      .filter((event) => event.includes('\ndata: '));
  return {
    status: response.statusCode as number,
    async events() {
      if (count > 0) {
        for await (const part of response) {
          text += part;
          if (events().length >= count) break;
        }
      }
      call.destroy();
      return events().map((event) => ({
        id: /^id: (.*)$/m.exec(event)![1]!,
        data: event
          .split('\n')
          .filter((line) => line.startsWith('data: '))
          .map((line) => line.slice(6))
          .join('\n'),
      }));
    },
  };
}

const body = { 'content-type': json };

test('a tail gets what comes after it, byte for byte, over several lines too', async () => {
  const world = await start();
  await world.post('{"id":"old"}', body);
  const tailed = await tail(world, 2);
  await world.post('{"id":"a",\n"n":1.0}', body);
  await world.post('{"id":"b"}', body);
  expect((await tailed.events()).map(({ data }) => data)).toEqual(['{"id":"a",\n"n":1.0}', '{"id":"b"}']);
});

test('a client that comes back goes on behind what it has seen, in every partition', async () => {
  const log = createMemoryLog();
  await log.defineStream('events', { partitions: 3 });
  const world = await start({ log, streams: () => ({ keyField: 'k' }) });
  await world.post(JSON.stringify(Array.from({ length: 30 }, (_, i) => ({ id: String(i), k: `k${i}` }))), body);
  const first = await (await tail(world, 12, '?from=start')).events();
  const rest = await (await tail(world, 30 - first.length, '', { 'last-event-id': first.at(-1)!.id })).events();
  const ids = [...first, ...rest].map(({ data }) => JSON.parse(data).id as string);
  expect(new Set(ids).size).toBe(30);
  expect(ids).toHaveLength(30);
});

test('a client that comes back before it has seen an event, and one of a single partition, go on where they were', async () => {
  const log = createMemoryLog();
  await log.defineStream('events', { partitions: 2 });
  const world = await start({ log, streams: () => ({ keyField: 'k' }) });
  const send = (from: number) =>
    world.post(JSON.stringify(Array.from({ length: 20 }, (_, i) => ({ id: String(from + i), k: `k${i}` }))), body);
  await send(0);
  const call = request(`${world.origin}/v1/streams/events/events?partition=1`);
  call.end();
  const [response] = await once(call, 'response');
  const [first] = await once(response, 'data');
  call.destroy();
  const where = /^id: (1:\d+)\n\n$/.exec(String(first))![1]!;
  await send(100);
  const [, count] = /^1:(\d+)$/.exec(where)!;
  const rest = await (await tail(world, Number(count), '?partition=1', { 'last-event-id': where })).events();
  expect(rest.map(({ id }) => id)).toEqual(rest.map((_, i) => `1:${Number(count) + i + 1}`));
  expect(rest.every(({ data }) => Number(JSON.parse(data).id) >= 100)).toBe(true);
});

test('from an offset of a partition', async () => {
  const world = await start();
  await world.post('[{"id":"a"},{"id":"b"},{"id":"c"}]', body);
  expect((await (await tail(world, 2, '?from=1&partition=0')).events()).map(({ data }) => data)).toEqual([
    '{"id":"b"}',
    '{"id":"c"}',
  ]);
});

test('a caller sees its own tenant alone, an admin all', async () => {
  const [a, b, admin] = (['a', 'b', 'admin'] as const).map((id) => ({ id, ...makeKey(id) }));
  const config = (one: { id: string; hash: string }, scopes: ('read' | 'write' | 'admin')[]) => ({
    id: one.id,
    hash: one.hash,
    tenant: one.id,
    scopes,
  });
  const world = await start({
    callers: createCallers([config(a!, ['read', 'write']), config(b!, ['read', 'write']), config(admin!, ['read', 'admin'])]),
  });
  await world.post('{"id":"1"}', { ...body, 'x-api-key': a!.key });
  await world.post('{"id":"2"}', { ...body, 'x-api-key': b!.key });
  const seen = async (key: string, count: number) =>
    (await (await tail(world, count, '?from=start', { 'x-api-key': key })).events()).map(({ data }) => data);
  expect(await seen(b!.key, 1)).toEqual(['{"id":"2"}']);
  expect(await seen(admin!.key, 2)).toEqual(['{"id":"1"}', '{"id":"2"}']);
  expect((await tail(world, 0)).status).toBe(401);
});

test.each(['?from=middle', '?partition=9', '?from=-1'])('%s is answered with 400', async (query) => {
  const world = await start();
  await world.post('{}', body);
  expect((await tail(world, 0, query)).status).toBe(400);
});

test('an unknown stream is answered with 404, and a tail too many with 503', async () => {
  const world = await start({ maxTails: 1 });
  expect((await tail(world, 0)).status).toBe(404);
  await world.post('{"id":"1"}', body);
  const one = await tail(world, 1, '?from=start');
  expect((await tail(world, 0)).status).toBe(503);
  await one.events();
});

test('HEAD is answered with the headers alone, and is no tail', async () => {
  const world = await start({ maxTails: 1 });
  await world.post('{"id":"a"}');
  const url = `${world.origin}/v1/streams/events/events`;
  for (let asked = 0; asked < 2; asked++) {
    const { status, headers } = await fetch(url, { method: 'HEAD' });
    expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  }
  await expect.poll(() => world.gateway.underWay).toBe(0);
});

test('a stop of the intake ends tails', async () => {
  const world = await start();
  await world.post('{"id":"1"}', body);
  const call = request(`${world.origin}/v1/streams/events/events?from=start`);
  call.end();
  const [response] = await once(call, 'response');
  const ended = once(response.resume(), 'end');
  await world.gateway.stopIntake(10_000);
  await ended;
});
