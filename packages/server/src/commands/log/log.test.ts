import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, cpSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openLmdbLog } from 'sluice/lmdb';
import type { Log, NewEvent } from 'sluice/log';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { terminal } from '../../../test/support/printed.js';
import { run } from '../../cli.js';
import { tail } from './tail.js';

const program = fileURLToPath(new URL('../../../bin/sluice.js', import.meta.url));
let data: string;
let store: string;

beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'sluice-log-'));
  store = join(data, 'log');
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(data, { recursive: true, force: true });
});

async function sluiceLog(...args: string[]) {
  const io = terminal();
  const code = await run(['log', ...args, '--data', data], io);
  return { code, out: io.printed.out, err: io.printed.err };
}

/** A log with two streams, a group that is behind, and a dead letter. */
async function furnish() {
  const log = openLmdbLog({ path: store });
  await log.defineStream('orders', { partitions: 2 });
  await log.createGroup('billing', 'events');
  await log.append(
    'events',
    Array.from({ length: 5 }, (_, i) => event(`e${i}`, `{"n":${i}}`)),
  );
  const owner = await log.claim('billing', 'events', 0);
  const [record] = await log.read('events', 0, 0, { maxItems: 1, maxBytes: 1 });
  const failure = { code: 'REFUSED', class: 'permanent', message: 'no' } as const;
  const counts = { attempts: 1, timeouts: 0, crashes: 0, firstFailedAt: 1, lastFailedAt: 1 };
  const letter = { ...failure, ...counts, record: record!, tries: [{ ...failure, at: 1 }] };
  await log.settle(owner, { position: { cursor: 1, settledAbove: [{ first: 3, last: 3 }] }, dead: [letter] });
  return log;
}

/** So many events more that the trees have several levels. */
async function deepen(log: Log): Promise<void> {
  for (let n = 0; n < 60; n++)
    await log.append(
      'events',
      Array.from({ length: 50 }, (_, i) => event(`x${n}-${i}`, 'y'.repeat(100))),
    );
}

function event(id: string, payload: string | Uint8Array): NewEvent {
  return { id, tenant: '_', time: null, receivedAt: 1_700_000_000_000, payload: Buffer.from(payload) };
}

test.each([['log'], ['log', 'verify'], ['log', 'ls'], ['log', 'show'], ['log', 'tail']])(
  '%s %s --help shows examples and exit codes',
  async (...args) => {
    const io = terminal();
    expect(await run([...args, '--help'], io)).toBe(0);
    expect(io.printed.out).toMatch(/Examples:\n/);
    expect(io.printed.out).toMatch(/Exit codes:\n {2}0 /);
  },
);

describe('ls', () => {
  test('lists streams, groups and dead letters while the store is in use', async () => {
    const log = await furnish();
    const { code, out } = await sluiceLog('ls');
    await log.close();
    expect(code).toBe(0);
    expect(out).toMatch(/^events\/0: 5 records, offsets 0 to 4 \(\d+ bytes\), the oldest appended 20\d\d-/m);
    expect(out).toMatch(/^ {2}group billing: 3 records behind \(\d+ bytes\); cursor 1, 1 settled above it, owned$/m);
    expect(out).toMatch(/^orders\/1: 0 records, next offset 0 \(0 bytes\)$/m);
    expect(out).toMatch(/^dead letters: 1 \(\d+ bytes\)\n$/m);
  });

  test('as JSON', async () => {
    await (await furnish()).close();
    const { out } = await sluiceLog('ls', '--json');
    expect(JSON.parse(out)).toMatchObject({
      streams: [{ stream: 'events', nextOffset: 5 }, { stream: 'orders' }, { stream: 'orders', partition: 1 }],
      groups: [{ group: 'billing', cursor: 1, lag: { items: 3 } }],
      deadLetters: { items: 1 },
    });
  });

  test('of a folder without a store is a wrong call', async () => {
    expect(await sluiceLog('ls')).toEqual({
      code: 2,
      out: '',
      err: expect.stringMatching(
        /^sluice log: there is no store in .*\/log; give the service's data folder with --data, or .*\.\n$/,
      ),
    });
  });
});

describe('show', () => {
  test('leaves the payload out unless it is asked for', async () => {
    await (await furnish()).close();
    expect((await sluiceLog('show', 'events', '2')).out).toBe('events/0/2  2023-11-14T22:13:20.000Z  id=e2  7 bytes\n');
    expect((await sluiceLog('show', 'events', '2', '--payload')).out).toMatch(/7 bytes {2}\{"n":2\}\n$/);
    expect(JSON.parse((await sluiceLog('show', 'events', '2', '--json')).out)).not.toHaveProperty('payload');
  });

  test('shows so many as are asked for, from the first one on', async () => {
    await (await furnish()).close();
    const { out } = await sluiceLog('show', 'events', '--count', '9', '--json', '--payload');
    const shown = out.trimEnd().split('\n');
    expect(shown.map((line) => (JSON.parse(line) as { payload: string }).payload)).toEqual(
      [0, 1, 2, 3, 4].map((n) => `{"n":${n}}`),
    );
  });

  test('escapes what a terminal would act on, and gives bytes that are no text as base64', async () => {
    const log = openLmdbLog({ path: store });
    await log.append('events', [event('\u001b[2J', 'a\u001b]0;x\u0007b\u202e'), event('b', Uint8Array.of(0xff, 0))]);
    await log.close();
    const { out } = await sluiceLog('show', 'events', '--count', '2', '--payload');
    expect(out).toContain('id=\\x1b[2J');
    expect(out).toContain('a\\x1b]0;x\\x07b\\u{202e}');
    expect(out).toContain('base64:/wA=');
    expect(out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  test('of an offset, a partition or a stream that is not there says what is', async () => {
    await (await furnish()).close();
    expect(await sluiceLog('show', 'events', '9')).toMatchObject({
      code: 1,
      err: expect.stringContaining('those stored: 0 to 4.'),
    });
    expect(await sluiceLog('show', 'events', '0', '--partition', '1')).toMatchObject({
      code: 2,
      err: expect.stringContaining('events has partitions 0 to 0'),
    });
    expect(await sluiceLog('show', 'event')).toMatchObject({ code: 2, err: expect.stringContaining('it holds events, orders.') });
  });
});

describe('tail', () => {
  test('prints what is appended meanwhile, and ends by its signal', async () => {
    const log = await furnish();
    const stop = new AbortController();
    const io = terminal();
    const heard: string[] = [];
    let more = () => {};
    const stdout = {
      write(text: string) {
        heard.push(...text.trimEnd().split('\n'));
        more();
      },
    };
    const until = async (count: number) => {
      while (heard.length < count) await new Promise<void>((resolve) => (more = resolve));
    };
    const tailing = tail({
      stream: 'events',
      data,
      from: 4,
      partition: 0,
      json: true,
      io: { ...io, stdout },
      signal: stop.signal,
    });
    await until(1);
    await log.append('events', [event('later', 'x')]);
    await until(2);
    stop.abort();
    expect(await tailing).toBe(0);
    expect(heard.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(['e4', 'later']);
    await log.close();
  });

  test('of several partitions needs to know which one an offset is of', async () => {
    await (await furnish()).close();
    expect(await sluiceLog('tail', 'orders', '--from', '3')).toMatchObject({
      code: 2,
      err: expect.stringContaining('orders has 2 partitions'),
    });
    expect((await sluiceLog('tail', 'orders', '--from', 'soon')).code).toBe(2);
  });
});

describe('verify', () => {
  test('says what it has checked, while the store is in use', async () => {
    const log = await furnish();
    expect(await sluiceLog('verify')).toEqual({
      code: 0,
      out: 'sound: 2 streams, 1 chunk, 5 records, 1 group, 1 dead letter, 5 ids\n',
      err: '',
    });
    await log.close();
  });

  test('names the records of a damaged chunk', async () => {
    await (await furnish()).close();
    const file = join(store, 'data.mdb');
    const bytes = readFileSync(file);
    for (let at = bytes.indexOf('{"n":4}'); at >= 0; at = bytes.indexOf('{"n":4}', at + 1)) bytes[at + 5] = 0x39;
    writeFileSync(file, bytes);
    const text = await sluiceLog('verify');
    expect(text).toMatchObject({
      code: 1,
      out: expect.stringMatching(/^chunk: events\/0: the chunk of the offsets 0 to 4 is damaged\n1 problem in /),
    });
    const { code, out } = await sluiceLog('verify', '--json');
    expect([code, JSON.parse(out)]).toMatchObject([
      1,
      { sound: false, problems: [{ kind: 'chunk', lost: { first: 0, last: 4 } }] },
    ]);
  });

  test('survives damaged pages, whatever they do to the process that reads them', { timeout: 120_000 }, async () => {
    const log = await furnish();
    await deepen(log);
    await log.close();
    const pristine = join(data, 'pristine');
    cpSync(store, pristine, { recursive: true });
    const { size } = statSync(join(store, 'data.mdb'));
    const harms: readonly ((page: number) => Buffer)[] = [
      () => Buffer.alloc(4_096),
      () => Buffer.alloc(4_096, 0xff),
      (page) => Buffer.alloc(4_096, page),
    ];
    for (const harm of harms) {
      cpSync(pristine, store, { recursive: true, force: true });
      const file = openSync(join(store, 'data.mdb'), 'r+');
      // All but the two that say where the others are.
      for (let page = 2; page < size / 4_096; page++) writeSync(file, harm(page), 0, 4_096, page * 4_096);
      closeSync(file);
      const { code, out, err } = await sluiceLog('verify');
      expect(code, out + err).toBe(1);
      expect(out + err).toMatch(/damaged|cannot be opened|problem/);
    }
  });

  test('says of a damaged page in JSON, too, that the store is damaged', { timeout: 120_000 }, async () => {
    const log = await furnish();
    await deepen(log);
    await log.close();
    const pristine = readFileSync(join(store, 'data.mdb'));
    const pages = pristine.length / 4_096;
    for (let n = 0; n < 16; n++) {
      const bytes = Buffer.from(pristine);
      const page = 2 + Math.floor((n * (pages - 2)) / 16);
      // The head of the page stays: what lies in it makes no sense.
      for (let at = page * 4_096 + 24; at < (page + 1) * 4_096; at++) bytes[at] = (at * 2_654_435_761) >>> 24;
      writeFileSync(join(store, 'data.mdb'), bytes);
      const { code, out, err } = await sluiceLog('verify', '--json');
      const { sound, problems } = JSON.parse(out || 'null') ?? { problems: [{ message: err }] };
      expect({ code, sound, err }, JSON.stringify(problems)).toEqual({
        code: sound ? 0 : 1,
        sound: code === 0,
        err: expect.any(String),
      });
      if (code === 1) expect(problems.length).toBeGreaterThan(0);
    }
  });

  test('cut short, the file is damaged, and that is said', async () => {
    await (await furnish()).close();
    const file = join(store, 'data.mdb');
    writeFileSync(file, readFileSync(file).subarray(0, 3 * 4_096));
    const { code, out, err } = await sluiceLog('verify', '--json');
    expect(code, out + err).toBe(1);
  });

  test('works as a program, beside a service that has the store open', async () => {
    const log = await furnish();
    const child = spawn(process.execPath, [program, 'log', 'verify', '--store', store], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).toBe(0);
    await log.close();
  });
});
