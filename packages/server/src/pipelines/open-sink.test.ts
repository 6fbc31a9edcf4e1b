import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SinkContext } from 'sluice';
import { createMemoryLog, type LogRecord } from 'sluice/log';
import { testEnv } from 'sluice/testing';
import { expect, it } from 'vitest';
import { useServers } from '../../../../test/servers.js';
import type { Handler, Verdict } from '../config/pipeline-schema.js';
import { openSink } from './open-sink.js';
import { Outgoing } from './outgoing.js';
import { userFunction } from './user-function.js';

const servers = useServers();
const env = testEnv({ seed: 1 });
const log = createMemoryLog({ env });
const parts = {
  log,
  databaseUrl: '',
  folder: '/',
  name: 'p',
  path: 'pipelines.p.sink',
  group: 'p',
  maxInFlight: 1,
  halts: false,
  env,
};
const context = { batchId: 'b', attempt: 1, signal: new AbortController().signal } as SinkContext;

const event = (id: string, data: unknown, time: string | null = null) =>
  new Outgoing({
    stream: 's',
    partition: 0,
    offset: 3,
    id,
    tenant: 't',
    key: null,
    trace: null,
    redrive: null,
    time,
    receivedAt: 5,
    payload: Buffer.from(JSON.stringify(data)),
  } as LogRecord);

const opened = (sink: Record<string, unknown>) =>
  openSink(sink as never, { ...parts, handler: sink.handler as Handler | undefined });

it('a handler says of each event what becomes of it', async () => {
  const verdicts: Verdict[] = ['ack', 'retry', { verdict: 'dead', reason: 'no such user' }, 'nonsense' as Verdict];
  const sink = await opened({ type: 'module', handler: () => verdicts, idempotent: true });
  const results = (await sink.write(
    verdicts.map((_, i) => event(String(i), i)),
    context,
  )) as ((Error & { class: string }) | undefined)[];
  expect(results.map((result) => result && [result.class, result.message])).toEqual([
    undefined,
    ['transient', 'the handler asks for a retry'],
    ['permanent', 'the handler gave it up: no such user'],
    ['permanent', `the handler answered "nonsense"; expected 'ack', 'retry' or 'dead'`],
  ]);
  expect(sink.idempotent).toBe(true);
});

it('a handler that answers nothing has done all; a wrong number of verdicts is unknown', async () => {
  const seen: unknown[] = [];
  const all: Handler = (events) => void seen.push(...events.map(({ id, data }) => [id, data]));
  expect(await (await opened({ type: 'module', handler: all })).write([event('a', { x: 1 })], context)).toBeUndefined();
  expect(seen).toEqual([['a', { x: 1 }]]);
  const wrong = await opened({ type: 'module', handler: () => ['ack', 'ack'] });
  await expect(wrong.write([event('a', 1)], context)).rejects.toMatchObject({ code: 'RESULT_LENGTH_MISMATCH', class: 'unknown' });
});

it('a function is found in its module, and its absence is a sentence', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-function-'));
  try {
    writeFileSync(join(folder, 'm.ts'), 'export const twice = (n: number): number => 2 * n;\nexport default (n: number) => n;\n');
    expect((await userFunction<(n: number) => number>('./m.ts#twice', folder, 'x'))(4)).toBe(8);
    expect((await userFunction<(n: number) => number>('./m.ts', folder, 'x'))(4)).toBe(4);
    await expect(userFunction('./m.ts#thrice', folder, 'pipelines.p.map')).rejects.toThrow(
      'pipelines.p.map: ./m.ts exports no function thrice',
    );
    await expect(userFunction('./none.ts', folder, 'pipelines.p.map')).rejects.toThrow(
      /pipelines.p.map: .*none.ts cannot be loaded/,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('a stream keeps the id, so that a second delivery is a duplicate', async () => {
  const sink = await opened({ type: 'stream', stream: 'copy' });
  await sink.write([event('a', 1), event('b', 2)], context);
  await sink.write([event('a', 1)], context);
  const records = await log.read('copy', 0, 0, { maxItems: 10, maxBytes: 1_000 });
  expect(records.map(({ id, tenant, payload }) => [id, tenant, Buffer.from(payload).toString()])).toEqual([
    ['a', 't', '1'],
    ['b', 't', '2'],
  ]);
});

it('an http sink may send CloudEvents', async () => {
  const bodies: { type: string; body: string }[] = [];
  const url = await servers.start(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    bodies.push({ type: request.headers['content-type']!, body });
    response.end();
  });
  const sink = await opened({
    type: 'http',
    url: `${url}/`,
    method: 'POST',
    headers: {},
    gzip: false,
    idempotent: false,
    format: 'cloudevents',
  });
  await sink.write([event('a', { x: 1 }, '2026-01-01T00:00:00Z')], context);
  expect(bodies[0]!.type).toBe('application/cloudevents-batch+json');
  expect(JSON.parse(bodies[0]!.body)).toEqual([
    {
      specversion: '1.0',
      id: 'a',
      source: '/streams/s',
      type: 'sluice.s',
      time: '2026-01-01T00:00:00Z',
      datacontenttype: 'application/json',
      data: { x: 1 },
    },
  ]);
});
