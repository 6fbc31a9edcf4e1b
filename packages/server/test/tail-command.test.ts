/** `sluice tail` against a service in this process, and against servers that fail in the ways that servers do. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { useServers } from '../../../test/servers.js';
import { type TailOptions, tail } from '../src/commands/tail/tail.js';
import { makeKey } from '../src/gateway/caller.js';
import { terminal } from './support/printed.js';
import { sluice, useRunning } from './support/running.js';

const world = useRunning();
const servers = useServers();
const program = fileURLToPath(new URL('../bin/sluice.js', import.meta.url));
const pipeline =
  'streams: { events: { retention: { maxAgeMs: 3600000 } } }\npipelines: { p: { stream: events, sink: { type: file, dir: out } } }';

test('prints events from the start, one a line, and ends after --count', async () => {
  await world.start(pipeline);
  await world.post([1, 2, 3]);
  expect(await world.gateway('tail', 'events', '--from', 'start', '--count', '2')).toEqual({
    code: 0,
    out: '{"id":"1","n":1}\n{"id":"2","n":2}\n',
    err: '',
  });
  const { out } = await world.gateway('tail', 'events', '--from', '2', '--partition', '0', '--count', '1', '--json');
  expect(JSON.parse(out)).toEqual({ position: '0:3', event: { id: '3', n: 3 } });
});

test('prints what comes after it, until it is interrupted', async () => {
  const { url } = await world.start(pipeline);
  await world.post([1]);
  const { io, ended, interrupt } = begin({ url });
  await expect
    .poll(async () => {
      await world.post([Math.floor(Math.random() * 1e9)]);
      return io.printed.out;
    })
    .toContain('\n');
  interrupt.abort();
  expect(await ended).toBe(0);
  expect(io.printed.out).not.toContain('"id":"1"');
});

test('of a stream without records it says once that it waits', async () => {
  const { url } = await world.start(pipeline);
  const { io, ended, interrupt } = begin({ url, quietMs: 1 });
  const note = 'sluice tail: no event yet; waiting for the next one, until Ctrl-C.\n';
  await expect.poll(() => io.printed.err).toBe(note);
  await world.post([1]);
  await expect.poll(() => io.printed.out).toContain('"id":"1"');
  interrupt.abort();
  expect(await ended).toBe(0);
  expect(io.printed.err).toBe(note);
});

test('an unknown stream, a wrong key, another server and none at all are a sentence each', async () => {
  const { key, hash } = makeKey('a');
  const { controlUrl } = await world.start(`keys: [{ id: a, tenant: a, scopes: [read, write], hash: "${hash}" }]\n${pipeline}`);
  const failing = async (...args: string[]) => {
    const { code, err } = await sluice('tail', ...args);
    return [code, err.trimEnd()];
  };
  const { url } = world.service;
  expect(await failing('events', '--url', url)).toEqual([1, expect.stringContaining('give it with --key, or in SLUICE_KEY')]);
  expect(await failing('other', '--url', url, '--key', key)).toEqual([1, expect.stringContaining('there is no such stream')]);
  expect(await failing('events', '--url', controlUrl, '--key', key)).toEqual([
    1,
    expect.stringContaining('is not a Sluice gateway'),
  ]);
  expect(await failing('../x', '--url', url)).toEqual([2, expect.stringContaining('expected a stream name')]);
  const gone = await servers.gone();
  expect(await failing('events', '--url', gone)).toEqual([1, expect.stringContaining(`nothing answers at ${gone}`)]);
});

test('a connection that is lost comes back behind the last event, and one that is refused for a while is asked again', async () => {
  const asked: unknown[] = [];
  const url = await servers.start((request, response) => {
    asked.push(request.headers['last-event-id']);
    const begin = () => response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    if (asked.length === 1) {
      begin();
      // The second event is cut off in the middle.
      response.write('id: 0:0\n\nid: 0:1\ndata: {"n":1}\n\nid: 0:2\ndata: {"n"', () => response.destroy());
    } else if (asked.length === 2) {
      response.writeHead(503, { 'content-type': 'application/json' });
      response.end('{"error":{"code":"OVERLOADED","message":"full"}}');
    } else {
      begin();
      response.write('id: 0:2\ndata: {"n":2}\n\nid: 0:3\ndata: {"n":3}\n\n');
    }
  });
  const { io, ended } = begin({ url, count: 3 });
  expect(await ended).toBe(0);
  expect(io.printed.out).toBe('{"n":1}\n{"n":2}\n{"n":3}\n');
  expect(asked).toEqual([undefined, '0:1', '0:1']);
  expect(io.printed.err).toContain('trying again in');
});

test('one that is lost before the first event goes on from where it stood', async () => {
  const asked: unknown[] = [];
  const url = await servers.start((request, response) => {
    asked.push(request.headers['last-event-id']);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (asked.length === 1) response.write('id: 0:7\n\n', () => response.destroy());
    else response.write('id: 0:8\ndata: {}\n\n');
  });
  const { ended } = begin({ url, count: 1 });
  expect(await ended).toBe(0);
  expect(asked).toEqual([undefined, '0:7']);
});

test.each(['tail', 'log tail'])('%s ends when nobody reads it any more, as after | head', async (command) => {
  const { url, dataDir } = await world.start(pipeline);
  await world.post([1, 2, 3]);
  const place = command === 'tail' ? ['--url', url] : ['--data', dataDir];
  const child = `node ${program} ${command} events --from start ${place.join(' ')} | head -n 1`;
  const shell = spawn('bash', ['-c', `set -o pipefail; ${child}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(shell, 'close');
  // The pipe breaks at the next event after head has left.
  const timer = setInterval(() => void world.post([Math.floor(Math.random() * 1e9)]).catch(() => {}), 50);
  const [code] = await ended.finally(() => clearInterval(timer));
  expect(code).toBe(0);
});

test('a refusal that lasts ends it', async () => {
  let asked = 0;
  const url = await servers.start((_, response) => {
    if (++asked === 1) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('id: 0:7\n\n', () => response.destroy());
      return;
    }
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end('{"error":{"code":"FORBIDDEN","message":"the key a has not the scope read."}}');
  });
  const { ended } = begin({ url });
  await expect(ended).rejects.toMatchObject({ code: 'FORBIDDEN', message: 'the key a has not the scope read' });
});

test('on a terminal, what that would act on is escaped; elsewhere bytes stay, and each event is a line', async () => {
  const url = await servers.start((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('id: 0:1\ndata: {"a":\ndata: "\u001b[31m\u2028"}\n\nid: 0:2\ndata: not json\n\n');
  });
  const shown = async (isTTY: boolean, json: boolean) => {
    const io = terminal();
    const stdout = { ...io.stdout, isTTY };
    await begin({ url, count: 2, json, io: { ...io, stdout } }).ended;
    return io.printed.out;
  };
  expect(await shown(true, false)).toBe('{"a": "\\x1b[31m\\u{2028}"}\nnot json\n');
  expect(await shown(false, false)).toBe('{"a": "\u001b[31m\u2028"}\nnot json\n');
  expect((await shown(false, true)).split('\n')[1]).toBe('{"position":"0:2","payload":"not json"}');
});

function begin(options: Partial<TailOptions> & { readonly url: string }) {
  const io = terminal();
  const interrupt = new AbortController();
  const ended = tail({ stream: 'events', from: 'end', reconnectMs: 1, io, signal: interrupt.signal, ...options });
  return { io, ended, interrupt };
}
