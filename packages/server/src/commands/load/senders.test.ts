import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readSenders, readTurns, turns } from './senders.js';

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

test.each([[0.5], [0.25], [1]])('each sender has the share %s of reads, also where the turns fit it', (share) => {
  const senders = [3, 1].map((weight) => ({ name: 'x', headers: {}, weight }));
  const [next, isRead] = [turns(senders), readTurns(share, senders.length)];
  const [reads, all] = [
    [0, 0],
    [0, 0],
  ];
  for (let i = 0; i < 400; i++) {
    const sender = next();
    all[sender]! += 1;
    if (isRead(sender)) reads[sender]! += 1;
  }
  expect(reads).toEqual(all.map((items) => items * share));
});
