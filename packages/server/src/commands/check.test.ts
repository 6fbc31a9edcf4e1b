import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { run } from '../cli.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-check-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function check(text: string, ...flags: string[]) {
  const file = join(folder, 'sluice.config.yaml');
  writeFileSync(file, text);
  return checkFile(file, ...flags);
}

async function checkFile(file: string, ...flags: string[]) {
  let [out, err] = ['', ''];
  const code = await run(['check', file, ...flags], {
    stdin: Readable.from([]),
    stdout: { write: (written) => (out += written) },
    stderr: { write: (written) => (err += written) },
  });
  return { code, out, err };
}

const right =
  'log: { maxBytes: 1000000000, deadLetters: { maxAgeMs: 86400000 } }\npipelines: { a: { sink: { type: file, dir: x } } }\n';

it('a configuration that is right exits 0', async () => {
  expect(await check(right)).toMatchObject({ code: 0, out: expect.stringMatching(/sluice.config.yaml is right.\n$/), err: '' });
});

it('advice is printed with the name of its rule, and fails with --strict only', async () => {
  const text = `${right}drainDeadlineMs: 10\n`;
  expect(await check(text)).toMatchObject({ code: 0, out: expect.stringContaining('[short-drain]') });
  expect((await check(text, '--strict')).code).toBe(1);
});

it('a mistake exits 1 and is named with its place', async () => {
  expect(await check('gateway:\n  prot: 1\n')).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringContaining('sluice.config.yaml:2:3: gateway.prot: there is no such option; did you mean port?'),
  });
});

it('speaks JSON', async () => {
  const good = await check(right, '--json');
  expect(JSON.parse(good.out)).toMatchObject({ ok: true, problems: [], advice: [] });
  const bad = await check('gateway: { prot: 1 }', '--json');
  expect(JSON.parse(bad.out)).toMatchObject({ ok: false, problems: [{ path: 'gateway.prot', place: { line: 1 } }] });
  expect(bad.code).toBe(1);
});

it('a module that is named and not there is a mistake', async () => {
  const text = `${right}`.replace('sink: {', 'map: ./none.mjs#twice, sink: {');
  expect(await check(text)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/pipelines.a.map: there is no file .\/none.mjs/),
  });
});

it.each(['', '# nothing yet\n', '{}'])('a file with nothing in it is right, with a remark: %j', async (text) => {
  expect(await check(text)).toMatchObject({
    code: 0,
    out: expect.stringContaining('\n  the file is empty: everything has its default [empty-file]\n'),
  });
});

it.each(['none.yaml', 'none', 'sluice.config.yaml/none.ts'])(
  'a file that is not there, %s, is a wrong call, which names it by its whole path',
  async (name) => {
    writeFileSync(join(folder, 'sluice.config.yaml'), right);
    const file = join(folder, name);
    expect(await checkFile(file)).toEqual({
      code: 2,
      out: '',
      err: `${file}: this file does not exist; correct the path, or create it\n`,
    });
  },
);

it('a folder is a wrong call', async () => {
  expect(await checkFile(folder)).toEqual({ code: 2, out: '', err: `${folder}: it is a folder; give the path of a file\n` });
});
