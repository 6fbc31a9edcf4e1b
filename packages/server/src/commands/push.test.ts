import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { failure } from 'sluice';
import { createMemoryLog, type Log } from 'sluice/log';
import { afterEach, describe, expect, test } from 'vitest';
import { useServers } from '../../../../test/servers.js';
import { terminal } from '../../test/support/printed.js';
import { run } from '../cli.js';
import type { Settled } from '../gateway/committed.js';
import { createGateway, type GatewayOptions } from '../gateway/gateway.js';
import { type PushOptions, push } from './push.js';

const servers = useServers();
const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function gateway(options: Partial<GatewayOptions> = {}) {
  const log = options.log ?? createMemoryLog();
  const running = await createGateway({ port: 0, settled: () => async (records) => records.map(() => 'ok'), ...options, log });
  open.push(
    () => log.close(),
    () => running.close(),
  );
  const stored = async () => {
    const records = await log.read('events', 0, 0, { maxItems: 100_000, maxBytes: 1e9 });
    return records.map(({ payload }) => Buffer.from(payload).toString('utf8'));
  };
  return { url: `http://127.0.0.1:${running.port}`, log, running, stored };
}

/** Runs a push over a text, and keeps what it prints. */
async function pushText(text: string | Buffer | Readable, options: Partial<PushOptions>) {
  const io = terminal(text instanceof Readable ? text : Readable.from([Buffer.from(text)]));
  const code = await push({ stream: 'events', io, ...options });
  return { code, stdout: io.printed.out, stderr: io.printed.err };
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'sluice-push-'));
  open.push(() => rm(path, { recursive: true }));
  return path;
}

const lineOf = (payload: string): string => (JSON.parse(payload) as { line: string }).line;
const idOf = (payload: string): string => (JSON.parse(payload) as { id: string }).id;

describe('push of text lines', () => {
  test('each line arrives with the same characters, equal lines apart, and a second push adds none', async () => {
    const { url, stored } = await gateway();
    const lines = Array.from({ length: 3_000 }, (_, n) => (n % 7 === 0 ? 'the same' : `line ${n} é "quoted" \\ \t\r`));
    lines.push('');
    const text = `${lines.join('\n')}\n`;
    const first = await pushText(text, { url, lines: true, batch: 100 });
    expect(first.stdout).toMatch(/^3001 items: 3001 accepted, 0 duplicates, 0 rejected in /);
    expect(first.code).toBe(0);
    const payloads = await stored();
    expect(payloads.map(lineOf).sort()).toEqual(lines.toSorted());
    expect(new Set(payloads.map(idOf)).size).toBe(lines.length);
    const second = await pushText(text, { url, lines: true });
    expect(second.stdout).toMatch(
      /^3001 items: 0 accepted, 3001 duplicates, 0 rejected \(all were duplicates: nothing new was added\)/,
    );
    expect(second.code).toBe(0);
    expect(await stored()).toHaveLength(lines.length);
  });

  test('the name of the source keeps equal inputs apart', async () => {
    const { url, stored } = await gateway();
    await pushText('a\n', { url, lines: true, source: 'one' });
    await pushText('a\n', { url, lines: true, source: 'two' });
    expect(await stored()).toHaveLength(2);
  });

  test('a file is its own source, and gzip is inflated', async () => {
    const { url, stored } = await gateway();
    const path = join(await folder(), 'access.log');
    await writeFile(path, gzipSync('one\ntwo'));
    expect((await pushText('', { url, lines: true, file: path })).code).toBe(0);
    await pushText('one\ntwo', { url, lines: true, source: 'access.log' });
    expect((await stored()).map(lineOf)).toEqual(['one', 'two']);
  });

  test('a line that is not UTF-8 or holds NUL is refused by its number, and the others arrive', async () => {
    const { url, stored } = await gateway();
    const text = Buffer.concat([Buffer.from('one\nbad '), Buffer.from([0xe9]), Buffer.from('\nthree\nnul \0\nfive\n')]);
    const { code, stderr, stdout } = await pushText(text, { url, lines: true });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^line 2: INVALID_UTF8: .*\nline 4: INVALID_TEXT: /);
    expect(stdout).toMatch(/^5 items: 3 accepted, 0 duplicates, 2 rejected/);
    expect((await stored()).map(lineOf)).toEqual(['one', 'three', 'five']);
  });

  test('from a later line on, the ids are those of a push from the start', async () => {
    const { url, stored } = await gateway();
    const text = 'same\nsame\nother\nsame\n';
    await pushText(text, { url, lines: true, fromLine: 3 });
    expect(await stored()).toHaveLength(2);
    const whole = await pushText(text, { url, lines: true, json: true });
    expect(JSON.parse(whole.stdout)).toMatchObject({
      items: 4,
      accepted: 2,
      duplicates: 2,
      rejected: 0,
      settledLine: 4,
      problem: null,
    });
  });
});

describe('push of NDJSON', () => {
  test('lines go as they are, refused ones are named by their line number', async () => {
    const { url, stored } = await gateway();
    const { code, stderr, stdout } = await pushText('{"k": 1.0}\n\n \nnope\n{"k":2}', { url, id: 'k' });
    expect(await stored()).toEqual(['{"k": 1.0}', '{"k":2}']);
    expect(stderr).toMatch(/^line 4: INVALID_JSON: /);
    expect([code, stdout.slice(0, 48)]).toEqual([1, '3 items: 2 accepted, 0 duplicates, 1 rejected in']);
  });

  test('with --id, an event without that field is refused and not sent', async () => {
    const { url, stored } = await gateway();
    const { code, stdout, stderr } = await pushText('{"k":1}\n{"id":2}\n[]\n{"k":null}\n{"a":{"k":1}}', { url, id: 'k' });
    expect(await stored()).toEqual(['{"k":1}']);
    expect(stderr.split('\n').map((line) => line.slice(0, 21))).toEqual([
      'line 2: NO_ID: the ev',
      'line 3: NOT_AN_OBJECT',
      'line 4: INVALID_ID: t',
      'line 5: NO_ID: the ev',
      '',
    ]);
    expect(stderr).toContain('no field "k", which --id names; give it one, or push all of them with --id hash');
    expect([code, stdout.slice(0, 46)]).toEqual([1, '5 items: 1 accepted, 0 duplicates, 4 rejected ']);
  });

  test('without --id, events without an id are sent, counted and told', async () => {
    const { url, stored } = await gateway();
    const { code, stdout, stderr } = await pushText('{"id":1}\n{"a":1}\nnope\n{"a":2}', { url });
    expect(await stored()).toHaveLength(3);
    expect(stderr).toMatch(
      /\nsluice push: 2 events had no id: pushing this again adds them again; --id FIELD or --id hash makes that safe\.\n$/,
    );
    expect([code, stdout.slice(0, 46)]).toEqual([1, '4 items: 3 accepted, 0 duplicates, 1 rejected ']);
    const one = await pushText('{"a":1}', { url, json: true });
    expect(one.stderr).toContain('1 event had no id: pushing this again adds it again;');
    expect(JSON.parse(one.stdout)).toMatchObject({ accepted: 1, withoutId: 1 });
  });

  test('a stream that no pipeline reads is told once', async () => {
    const { url } = await gateway({ settled: () => undefined });
    const { code, stderr } = await pushText('{"id":1}\n{"id":2}\n{"id":3}', { url, stream: 'evnets', batch: 1 });
    expect([code, stderr]).toEqual([0, 'sluice push: no pipeline reads the stream evnets: its events stay in the log.\n']);
  });

  test('a short push names no rate, and one duplicate is one', async () => {
    const { url } = await gateway();
    await pushText('{"id":1}', { url });
    const { stdout } = await pushText('{"id":1}\n{"id":2}', { url });
    expect(stdout).toMatch(/^2 items: 1 accepted, 1 duplicate, 0 rejected in 0\.\d\d s\n$/);
  });

  test('only the first errors are printed, and the rest is counted', async () => {
    const { url } = await gateway();
    const { stderr } = await pushText('x\n'.repeat(50), { url });
    expect(stderr.trim().split('\n')).toHaveLength(21);
    expect(stderr).toContain('and 30 more lines with errors');
  });

  test('an empty input is no error', async () => {
    const { url } = await gateway();
    expect(await pushText('', { url })).toMatchObject({ code: 0, stdout: expect.stringMatching(/^0 items/) });
  });

  test('a line too long for a request is refused, and the others arrive', async () => {
    const { url } = await gateway();
    const { code, stdout, stderr } = await pushText(`{"id":1}\n${'x'.repeat(9 * 1024 * 1024)}\n{"id":2}`, { url });
    expect([code, stdout.slice(0, 45)]).toEqual([1, '3 items: 2 accepted, 0 duplicates, 1 rejected']);
    expect(stderr).toBe('line 2: ITEM_TOO_LARGE: expected an item of at most 1048576 bytes (1 MiB); this line is longer\n');
  });

  test('a batch that is too large for the gateway is cut in two', async () => {
    const { url, stored } = await gateway({ limits: { maxItems: 3, maxBodyBytes: 200 } });
    const text = `${Array.from({ length: 20 }, (_, id) => `{"id":${id}}`).join('\n')}\n{"id":"large","x":"${'x'.repeat(300)}"}\n`;
    const { code, stdout } = await pushText(text, { url, batch: 20 });
    expect([code, stdout.slice(0, 47)]).toEqual([1, '21 items: 20 accepted, 0 duplicates, 1 rejected']);
    expect(await stored()).toHaveLength(20);
  });

  test('what was not committed in time, or died, is said and is exit code 1', async () => {
    const settled = (): Settled => (records, givenUp) =>
      new Promise((resolve) => givenUp(() => resolve(records.map(({ offset }) => (offset === 0 ? 'dead' : undefined)))));
    const { url } = await gateway({ ackTimeoutMs: 5, settled });
    const { code, stdout, stderr } = await pushText('{"id":1}\n{"id":2}', { url, ack: 'committed' });
    expect(code).toBe(1);
    expect(stdout).toContain('1 parked as dead letter, 2 durable but not committed in time');
    expect(stderr).toMatch(/^line 1: DEAD_LETTERED/);
  });
});

describe('push against trouble', () => {
  test('a full log is waited for', async () => {
    const memory = createMemoryLog();
    let refusals = 1;
    const log: Log = {
      ...memory,
      append: (stream, events) =>
        refusals-- > 0 ? Promise.reject(failure('full', { code: 'OVERLOADED' })) : memory.append(stream, events),
    };
    const { url } = await gateway({ log });
    const { code, stderr } = await pushText('{"id":1}', { url });
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^sluice push: too many events wait for the disk; nothing of this request was stored; .*; trying again in \d\.\d s\.\n$/,
    );
  });

  test('a full disk is not called a full memory', async () => {
    const full = failure('the disk is full', { code: 'LOG_FULL', class: 'rejected' });
    const log: Log = { ...createMemoryLog(), append: () => Promise.reject(full) };
    const { url } = await gateway({ log });
    const { code, stderr } = await pushText('{"id":1}', { url, retries: 0 });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^sluice push: the disk of the log is full; nothing of this request was stored; free some space there/,
    );
  });

  test('a service that is down is one line, not one for each request and attempt', async () => {
    const { url, running } = await gateway();
    await running.close();
    const lines = Array.from({ length: 40 }, (_, id) => `{"id":${id}}`).join('\n');
    const { code, stderr } = await pushText(lines, { url, batch: 5, id: 'id' });
    expect(code).toBe(1);
    expect(stderr.match(/trying again/g)).toHaveLength(1);
    expect(stderr).toContain('Run the same command again: nothing is added twice.');
  });

  test.each([
    ['https', '; if it speaks plain http, give --url http://127.0.0.1'],
    ['http', ' was lost. No line is acknowledged. Run the same command again'],
  ])('a server that cuts the connection is one sentence without codes, over %s', async (scheme, expected) => {
    const url = await servers.start((request) => request.socket.destroy());
    const { code, stderr } = await pushText('{"id":1}', { url: url.replace('http', scheme), retries: 0 });
    expect(code).toBe(1);
    expect(stderr).toContain(expected);
    expect(stderr).not.toMatch(/UND_ERR|ECONN/);
  });

  test('after a lost reply events with ids are sent again, and none is added twice', async () => {
    const { url, stored } = await gateway();
    const flaky = await losingReplies(url, 1);
    const { code, stdout } = await pushText('{"id":1}\n{"id":2}', { url: flaky });
    expect([code, stdout.slice(0, 45)]).toEqual([0, '2 items: 0 accepted, 2 duplicates, 0 rejected']);
    expect(await stored()).toHaveLength(2);
  });

  test('after a lost reply events without ids are not sent again', async () => {
    const { url, stored } = await gateway();
    const flaky = await losingReplies(url, 1);
    const { code, stderr } = await pushText('{"a":1}\n{"id":2}', { url: flaky });
    expect(code).toBe(1);
    expect(stderr).toMatch(/lines 1 to 2, and not all of them have an id/);
    expect(await stored()).toHaveLength(2);
  });

  test('an error says up to where all is acknowledged and how to go on', async () => {
    const memory = createMemoryLog();
    let room = 3;
    const log: Log = {
      ...memory,
      append: (stream, events) => (room-- > 0 ? memory.append(stream, events) : Promise.reject(new TypeError('broken'))),
    };
    const { url } = await gateway({ log });
    const { code, stdout, stderr } = await pushText('a\n\n'.repeat(50), {
      url,
      lines: true,
      batch: 10,
      concurrency: 1,
      retries: 0,
    });
    expect(code).toBe(1);
    expect(stderr).toContain(
      'Every line up to 30 is acknowledged. Run the same command again, or go on with --from-line 31: nothing is added twice.',
    );
    expect(stdout).toContain('30 accepted');
    expect(stdout).toContain('not delivered');
  });

  test('a gateway that is not there is one sentence', async () => {
    const { url, running } = await gateway();
    await running.close();
    const { code, stderr } = await pushText('{"id":1}', { url, retries: 0 });
    expect(code).toBe(1);
    expect(stderr).toBe(
      `sluice push: nothing answers at ${url}; start \`sluice up\` there, or give another address with --url. ` +
        'No line is acknowledged. Run the same command again: events without an id that had arrived would be added again.\n',
    );
  });

  test('an answer that is not a gateway’s is one sentence', async () => {
    const url = await servers.start((_request, response) => response.writeHead(404).end('<html>'));
    const { code, stdout, stderr } = await pushText('{"id":1}', { url });
    expect(code).toBe(1);
    expect(stderr).toBe(
      `sluice push: ${url} is not a Sluice gateway (it answered 404); give the gateway's address with --url. No line is acknowledged.\n`,
    );
    expect(stdout).toMatch(/^1 line read: 0 accepted, 0 duplicates, 0 rejected, 1 not delivered in 0\.\d\d s\n$/);
  });

  test('a key that is missing or unknown is told by the option that gives one', async () => {
    const error = { code: 'UNAUTHENTICATED', message: 'send an API key, as authorization: Bearer KEY' };
    const url = await servers.start((_request, response) => response.writeHead(401).end(JSON.stringify({ error })));
    const { code, stderr } = await pushText('{"id":1}', { url });
    expect([code, stderr]).toEqual([
      1,
      'sluice push: the service wants an API key that it knows; give it with --key, or in SLUICE_KEY. No line is acknowledged.\n',
    ]);
  });

  test('an interrupt ends it after what is in flight, though the input goes on', async () => {
    const { url, log } = await gateway();
    const input = new PassThrough();
    const interrupt = new AbortController();
    const pushing = pushText(input, { url, signal: interrupt.signal, batch: 2 });
    const appended = new Promise<void>((resolve) => log.onAppended('events', resolve));
    input.write('{"id":1}\n{"id":2}\n{"id":3');
    await appended;
    interrupt.abort();
    const { code, stderr } = await pushing;
    expect(code).toBe(1);
    expect(stderr).toContain('sluice push: interrupted. ');
    expect(input.destroyed).toBe(true);
  });

  test('a broken gzip input is one sentence', async () => {
    const { url } = await gateway();
    const { code, stderr } = await pushText(gzipSync('{"id":1}\n'.repeat(1_000)).subarray(0, 40), { url });
    expect(code).toBe(1);
    expect(stderr).toContain('sluice push: standard input is gzip, but is cut off: its end is missing.');
    expect(stderr).not.toContain('again');
  });
});

describe('the command line of push', () => {
  const stderrOf = async (...args: string[]) => {
    const io = terminal();
    const code = await run(['push', ...args], io);
    return { code, text: io.printed.all };
  };

  test.each([
    [['events', '--url', 'localhost'], 'expected --url to be an address such as http://127.0.0.1:8080'],
    [['events', '--lines', '--id', 'x'], '--id cannot be used with --lines'],
    [['events', '--source', 'x'], 'add --lines, or leave it away.\n'],
    [['a/b'], 'expected a stream name'],
    [['events', '/no/such/file'], 'there is no file /no/such/file'],
    [['events', '/'], 'is a folder'],
    [['events', '--ack', 'sure'], 'Allowed choices are accepted, durable, committed'],
    [['events', '--batch', '0'], 'Expected a number of items from 1 to 10000, in digits.'],
    [['events', '--nonsense'], "unknown option '--nonsense'"],
    [[], "missing required argument 'stream'"],
  ])('push %j is a wrong call', async (args, sentence) => {
    const { code, text } = await stderrOf(...args);
    expect([code, text]).toEqual([2, expect.stringContaining(sentence)]);
  });
});

/** A proxy that passes requests on and cuts the connection in place of the first replies. */
async function losingReplies(target: string, losses: number): Promise<string> {
  let left = losses;
  return servers.start(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answer = await fetch(`${target}${request.url}`, {
      method: 'POST',
      headers: { 'content-type': request.headers['content-type'] ?? '' },
      body: Buffer.concat(chunks),
    });
    const text = await answer.text();
    if (left-- > 0) request.socket.destroy();
    else response.writeHead(answer.status).end(text);
  });
}
