import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { testEnv } from 'sluice/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Outgoing } from '../outgoing.js';
import { type FileSinkOptions, fileSink } from './file-sink.js';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-files-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const env = testEnv({ seed: 1 });
const open = (options: Partial<FileSinkOptions> = {}) =>
  fileSink({ dir, name: 'p', maxBytes: 1_000, maxAgeMs: 60_000, gzip: false, env, ...options });
const events = (...texts: string[]) => texts.map((json) => ({ json })) as unknown as Outgoing[];
const names = () => readdirSync(dir).sort();
const contents = () => names().map((name) => readFileSync(join(dir, name), 'utf8'));
const none = {} as never;

describe('the file sink', () => {
  it('has a batch on disk when it is settled, in a file that is not complete yet', async () => {
    const sink = open();
    await sink.write(events('{"a":1}', '{"a":\n2}'), none);
    expect(names()).toEqual([expect.stringMatching(/^p-.*\.ndjson\.part$/)]);
    expect(contents()).toEqual(['{"a":1}\n{"a": 2}\n']);
    await sink.close();
    expect(names()).toEqual([expect.stringMatching(/^p-.*\.ndjson$/)]);
  });

  it('begins a new file at the size', async () => {
    const sink = open({ maxBytes: 8 });
    for (const text of ['"1234567"', '"2"', '"3"', '"4"']) await sink.write(events(text), none);
    await sink.close();
    expect(contents()).toEqual(['"1234567"\n', '"2"\n"3"\n', '"4"\n']);
  });

  it('completes a file at its age, though nothing more comes', async () => {
    const sink = open({ maxAgeMs: 500 });
    await sink.write(events('1'), none);
    await env.clock.advance(499);
    expect(names()[0]).toMatch(/\.part$/);
    await env.clock.advance(1);
    await expect.poll(() => names()[0]).toMatch(/\.ndjson$/);
    await sink.close();
    expect(env.clock.timers).toBe(0);
  });

  it('takes batches side by side', async () => {
    const sink = open({ maxBytes: 10 });
    await Promise.all(Array.from({ length: 20 }, (_, i) => sink.write(events(String(i)), none)));
    await sink.close();
    expect(
      contents()
        .join('')
        .trim()
        .split('\n')
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it('gzips complete files', async () => {
    const sink = open({ gzip: true });
    await sink.write(events('1'), none);
    await sink.close();
    expect(names()).toEqual([expect.stringMatching(/\.ndjson\.gz$/)]);
    expect(gunzipSync(readFileSync(join(dir, names()[0]!))).toString()).toBe('1\n');
  });

  it('keeps the whole lines of a file that a process that died has left, and no half line', async () => {
    writeFileSync(join(dir, 'p-1.ndjson.part'), '{"a":1}\n{"a":2}\n{"a":');
    writeFileSync(join(dir, 'p-2.ndjson.part'), '{"half');
    writeFileSync(join(dir, 'p-3.ndjson.gz.part'), 'half');
    writeFileSync(join(dir, 'other-1.ndjson.part'), 'x');
    const sink = open();
    await sink.prepare();
    expect(names()).toEqual(['other-1.ndjson.part', 'p-1.ndjson']);
    expect(readFileSync(join(dir, 'p-1.ndjson'), 'utf8')).toBe('{"a":1}\n{"a":2}\n');
    await sink.close();
  });

  it('that cannot have its folder is blocked, and says why', async () => {
    writeFileSync(join(dir, 'file'), '');
    const sink = open({ dir: join(dir, 'file') });
    await expect(sink.write(events('1'), none)).rejects.toMatchObject({
      class: 'blocked',
      message: expect.stringContaining(join(dir, 'file')),
    });
  });

  it('refuses a batch after close', async () => {
    const sink = open();
    await sink.close();
    await expect(sink.write(events('1'), none)).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
