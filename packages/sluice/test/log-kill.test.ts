import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLmdbLog } from '../src/lmdb/lmdb-log.js';
import type { Log } from '../src/log/log.js';
import type { LogRecord } from '../src/log/record.js';
import { seededRandom } from '../src/testing/seeded-random.js';
import { payloadOf } from './log-kill.program.js';

const kills = 12;
const seed = Number(process.env.SLUICE_SEED ?? Date.now() % 1_000_000);
const here = dirname(fileURLToPath(import.meta.url));

describe(`kill -9 while appending (SLUICE_SEED=${seed})`, () => {
  let folder: string;
  let program: string;

  beforeAll(async () => {
    // Below node_modules, so that the program finds `lmdb`.
    const cache = join(here, '../../../node_modules/.cache');
    await mkdir(cache, { recursive: true });
    folder = await mkdtemp(join(cache, 'sluice-kill-'));
    program = join(folder, 'log-kill.program.js');
    await build({
      configFile: false,
      logLevel: 'error',
      build: {
        ssr: join(here, 'log-kill.program.ts'),
        outDir: folder,
        emptyOutDir: false,
        rollupOptions: { external: ['lmdb'] },
      },
    });
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it(`keeps each acknowledged event once, with its bytes, over ${kills} kills`, async () => {
    const random = seededRandom(seed);
    const path = join(folder, 'log');
    const acknowledged: string[] = [];
    for (let kill = 0; kill < kills; kill++) {
      const after = 1 + Math.floor(random.next() * 3_000);
      acknowledged.push(...(await acknowledgedBeforeKill([program, path, `k${kill}`], after)));
      const log = openLmdbLog({ path });
      const records = await readAll(log);
      const byId = new Map(records.map((record) => [record.id, record]));
      expect(byId.size, 'an event is there twice').toBe(records.length);
      expect(records.map((record) => record.offset)).toEqual(records.map((_, offset) => offset));
      expect(acknowledged.filter((id) => !byId.has(id))).toEqual([]);
      for (const record of records) expect(Buffer.compare(record.payload, payloadOf(record.id))).toBe(0);
      await log.close();
    }
    expect(acknowledged.length).toBeGreaterThan(kills);
  });

  it.skipIf(process.platform === 'win32')('stops when its file may not grow, and keeps what it acknowledged', async () => {
    const path = join(folder, 'full');
    // A limit on the size of files stands for a disk that writes half a page. In blocks of 512 or 1,024 bytes, as the shell likes.
    const limited = ['-c', 'ulimit -f 4000; exec "$0" "$@"', process.execPath, program, path, 'x', 'fill'];
    const child = spawn('/bin/sh', limited, { stdio: ['ignore', 'pipe', 'ignore'] });
    let printed = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
    const ended = new Promise<void>((resolve) => child.stdout!.once('close', resolve));
    expect(await exited(child)).toBe(0);
    await ended;
    const report = JSON.parse(printed) as { acknowledged: number; readable: number };
    expect(report).toMatchObject({ codes: ['LOG_STOPPED unknown', 'LOG_STOPPED rejected'], offered: 'closed', memoryOnly: 0 });
    expect(report.readable).toBe(report.acknowledged);
    const log = openLmdbLog({ path });
    expect((await readAll(log)).length).toBe(report.acknowledged);
    await log.append('s', [{ id: 'after', tenant: '_', time: null, receivedAt: 1, payload: Buffer.alloc(100_000) }]);
    await log.close();
  });

  it('lets a program exit by itself once the log is closed', async () => {
    const child = spawn(process.execPath, [program, join(folder, 'other'), 'x', 'close'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    expect(await exited(child)).toBe(0);
  });
});

/** Runs the program until it has printed so many ids, kills it, and gives back all that it printed. */
async function acknowledgedBeforeKill(args: readonly string[], after: number): Promise<string[]> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  let lines = 0;
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
    lines += text.split('\n').length - 1;
    if (lines >= after) child.kill('SIGKILL');
  });
  const ended = new Promise<void>((resolve) => child.stdout!.once('close', resolve));
  await exited(child);
  await ended;
  expect(lines).toBeGreaterThanOrEqual(after);
  // What follows the last line break was cut off by the kill.
  return printed.split('\n').slice(0, -1);
}

function exited(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
}

async function readAll(log: Log): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for (;;) {
    const more = await log.read('s', 0, records.length, { maxItems: 5_000, maxBytes: 64 << 20 });
    if (more.length === 0) return records;
    for (const record of more) records.push(record);
  }
}
