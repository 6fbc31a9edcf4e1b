/** `sluice load` against a service in this process, and against servers that are slow, refuse, or vanish. */

import type { RequestListener, ServerResponse } from 'node:http';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { useServers } from '../../../test/servers.js';
import { load } from '../src/commands/load/load.js';
import { makeKey } from '../src/gateway/caller.js';
import { terminal } from './support/printed.js';
import { sluice, useRunning } from './support/running.js';

const world = useRunning();
const servers = useServers();
const pipeline = 'pipelines: { p: { stream: events, sink: { type: file, dir: out }, window: { maxDelayMs: 5 } } }';
const plan = {
  ...{ stream: 'events', warmup: 0, batch: 1, bytes: 100, ack: 'durable' as const, timeout: 30, reads: 0, readKeys: 1 },
  signal: new AbortController().signal,
};
const short = ['--duration', '0.3', '--json'];

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('sluice load', () => {
  test.each([
    ['json', '1'],
    ['json', '7'],
    ['ndjson', '7'],
  ])('sends %s with %s items, each taken once, and counts them', async (format, batch) => {
    const { log } = await world.start(pipeline);
    const { code, out } = await world.gateway(
      'load',
      '--rate',
      '700',
      '--batch',
      batch,
      '--format',
      format,
      '--bytes',
      '100',
      ...short,
    );
    const sent = 210;
    const { events, requests, generator, senders } = JSON.parse(out);
    expect([code, events]).toEqual([0, expect.objectContaining({ sent, accepted: sent, duplicates: 0, rejected: 0 })]);
    expect(requests).toMatchObject({
      requests: sent / Number(batch),
      taken: sent / Number(batch),
      statuses: { 200: sent / Number(batch) },
    });
    expect(requests.latencyMs.count).toBe(requests.taken);
    expect(requests.latencyMs.p50).toBeGreaterThan(0);
    expect(requests.latencyMs.p50).toBeLessThanOrEqual(requests.latencyMs.max);
    expect(requests.latencyMs.max).toBeGreaterThanOrEqual(requests.latencyFromSendMs.max);
    expect(generator.lateMs.count).toBe(requests.requests);
    expect(senders).toMatchObject([{ name: null, taken: requests.taken }]);
    expect((await log.streams())[0]!.nextOffset).toBe(sent);
  });

  test('sends reads among the events, and does not measure the warm-up', async () => {
    await world.start(pipeline);
    const { code, out } = await world.gateway(
      'load',
      '--rate',
      '200',
      '--reads',
      '0.25',
      '--warmup',
      '0.1',
      ...short,
      '--ack',
      'committed',
    );
    const { events, reads, requests } = JSON.parse(out);
    expect([code, reads.requests + requests.requests]).toEqual([0, 60]);
    expect(reads).toMatchObject({ requests: 15, taken: 15, statuses: { 200: 15 } });
    expect(events).toMatchObject({ accepted: 45, belowAck: 0 });
  });

  test('sends as several tenants, by weight, and counts each; what is refused has its code', async () => {
    const [a, b] = (['a', 'b'] as const).map((id) => makeKey(id)) as [ReturnType<typeof makeKey>, ReturnType<typeof makeKey>];
    const key = (id: string, hash: string) => `{ id: ${id}, tenant: ${id}, scopes: [write], hash: "${hash}" }`;
    await world.start(`keys: [${key('a', a.hash)}, ${key('b', b.hash)}]\ntenants: { b: { itemsPerSecond: 1 } }\n${pipeline}`);
    world.write('keys.txt', `${a.key} 3\n${b.key}\n`);
    const { code, out } = await world.gateway(
      'load',
      '--rate',
      '400',
      '--keys',
      `${world.folder}/keys.txt`,
      '--tenants',
      '2',
      ...short,
    );
    const { senders, requests } = JSON.parse(out);
    expect(code).toBe(1);
    expect(senders).toMatchObject([
      { name: 'a', requests: 90, taken: 90 },
      { name: 'b', requests: 30, refusedByCode: { TENANT_LIMIT: requests.refused } },
    ]);
    expect(senders[1].taken + senders[1].refused).toBe(30);
    expect(requests.refusedLatencyMs.count).toBe(requests.refused);
    expect(out).not.toContain(a.key);
    const text = (await world.gateway('load', '--rate', '100', '--keys', `${world.folder}/keys.txt`, '--duration', '0.1')).out;
    expect(text).toMatch(/^events +10 events sent/);
    expect(text).toMatch(/^KEY +REQUESTS +TAKEN/m);
  });

  test('--keys goes before SLUICE_KEY, and cannot be used with --key', async () => {
    const { key, hash } = makeKey('a');
    await world.start(`keys: [{ id: a, tenant: a, scopes: [write], hash: "${hash}" }]\n${pipeline}`);
    world.write('keys.txt', key);
    vi.stubEnv('SLUICE_KEY', makeKey('b').key);
    const call = ['load', '--rate', '100', '--keys', `${world.folder}/keys.txt`, ...short];
    const { code, out } = await world.gateway(...call);
    const { senders, requests } = JSON.parse(out);
    expect([code, senders]).toEqual([0, [expect.objectContaining({ name: 'a', taken: requests.taken })]]);
    expect(await world.gateway(...call, '--key', key)).toEqual({
      code: 2,
      out: '',
      err: 'sluice load: --keys cannot be used with --key; leave one of them away.\n',
    });
  });

  test('a service that stands still is in the latencies of all that were due meanwhile', async () => {
    let waiting: (() => void)[] | undefined = [];
    const url = await gateway((_, response) =>
      waiting === undefined ? receipt(response) : void waiting.push(() => receipt(response)),
    );
    const release = (): void => {
      const held = waiting ?? [];
      waiting = undefined;
      for (const answer of held) answer();
    };
    const io = terminal();
    const stderr = { isTTY: true, write: (text: string) => /(1[5-9]|2\d) under way/.test(text) && release() };
    // One connection: what is due waits for it, and a closed loop would not have noticed.
    await load({ ...plan, url, rate: 100, duration: 0.3, connections: 1, json: true, io: { ...io, stderr } });
    const { requests } = JSON.parse(io.printed.out);
    expect(requests.taken).toBe(30);
    expect(requests.latencyMs.p50).toBeGreaterThan(50);
    expect(requests.latencyFromSendMs.p50).toBeLessThan(requests.latencyMs.p50);
  });

  test('what is never answered is lost, and what cannot be under way is not sent', async () => {
    const url = await gateway(() => {});
    const { code, out } = await sluice(
      'load',
      '--url',
      url,
      '--rate',
      '1000',
      '--bytes',
      '1048576',
      '--timeout',
      '0.5',
      ...short,
    );
    const { requests } = JSON.parse(out);
    expect(code).toBe(1);
    expect(requests).toMatchObject({ requests: 300, taken: 0, lost: 256, notSent: 44 });
    expect(Object.values(requests.lostByCode as Record<string, number>).reduce((sum, count) => sum + count, 0)).toBe(256);
  });

  test('connections that are cut are counted by their code', async () => {
    const url = await gateway((_, response) => response.destroy());
    const { requests } = JSON.parse((await sluice('load', '--url', url, '--rate', '100', ...short)).out);
    expect(requests.lost).toBe(30);
    expect(Object.keys(requests.lostByCode)).toEqual(
      expect.arrayContaining([expect.stringMatching(/UND_ERR_SOCKET|ECONNRESET/)]),
    );
  });

  test('an interrupt ends it, with a summary', async () => {
    const interrupt = new AbortController();
    let answered = 0;
    const url = await gateway((_, response) => {
      receipt(response);
      if (++answered === 5) interrupt.abort();
    });
    const io = terminal();
    const code = await load({ ...plan, url, rate: 1_000, duration: 600, connections: 4, io, signal: interrupt.signal });
    expect([code, io.printed.out]).toEqual([1, expect.stringContaining('Interrupted.')]);
  });

  test('wrong calls, another server, and none at all are a sentence each', async () => {
    const { controlUrl } = await world.start(pipeline);
    expect(await sluice('load', '--tenants', '2')).toMatchObject({
      code: 2,
      err: expect.stringContaining('a tenant is known by its key'),
    });
    expect((await sluice('load', '--reads', '2')).code).toBe(2);
    expect((await sluice('load', '../x')).code).toBe(2);
    const url = await servers.start((_, response) => response.end());
    expect(await sluice('load', '--url', url)).toMatchObject({
      code: 1,
      err: expect.stringContaining('is not a Sluice gateway'),
    });
    await servers.close(url);
    expect(await sluice('load', '--url', url)).toMatchObject({
      code: 1,
      err: expect.stringContaining(`nothing answers at ${url}`),
    });
    expect(controlUrl).not.toBe(url);
  });
});

function receipt(response: ServerResponse): void {
  response.end('{"ack":"durable","accepted":1,"duplicates":0,"rejected":0,"errors":[]}');
}

/** A gateway, as far as `/healthz` is concerned. */
function gateway(handler: RequestListener): Promise<string> {
  return servers.start((request, response) => {
    if (request.url === '/healthz') response.end('{"status":"ok"}');
    else request.resume().on('end', () => handler(request, response));
  });
}
