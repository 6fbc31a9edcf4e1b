import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readSenders, turns } from './senders.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-senders-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function file(text: string): string {
  const path = join(folder, 'keys.txt');
  writeFileSync(path, text);
  return path;
}

test('a file names keys with their weights; keys are known by their ids', async () => {
  const path = file('# shops\nslc_a.b.secret\n\nslc_big.secret  3\r\nother\n');
  expect(await readSenders(path, undefined, undefined)).toEqual([
    { name: 'a.b', headers: { authorization: 'Bearer slc_a.b.secret' }, weight: 1 },
    { name: 'big', headers: { authorization: 'Bearer slc_big.secret' }, weight: 3 },
    { name: `line 5 of ${path}`, headers: { authorization: 'Bearer other' }, weight: 1 },
  ]);
  expect(await readSenders(path, undefined, 1)).toHaveLength(1);
});

test.each([
  ['', 'there is no key'],
  ['slc_a.s3cret 0', 'expected a weight from 1 to 1000 in line 1'],
  ['slc_a.s3cret 1 x', 'expected an API key, and a weight'],
  ['slc_a.s3cret', 'holds 1 keys, fewer than --tenants 2'],
])('a file with %j is a wrong call, and no key is printed', async (text, message) => {
  const error = await readSenders(file(text), undefined, 2).catch((thrown: Error) => thrown);
  expect(error).toMatchObject({ name: 'UsageError', message: expect.stringContaining(message) });
  expect(String(error)).not.toContain('s3cret');
});

test('turns are in proportion to the weights, and evenly spread', () => {
  const next = turns([5, 1, 1].map((weight) => ({ name: 'x', headers: {}, weight })));
  expect(Array.from({ length: 14 }, next)).toEqual([0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
});
