import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Log } from '../log/log.js';
import type { NewEvent } from '../log/record.js';
import { openLmdbLog } from './lmdb-log.js';
import { type LogReader, openLmdbReader } from './reader.js';

const all = { maxItems: 1_000_000, maxBytes: 1 << 30 };

describe('a reader of a store', () => {
  let path: string;
  const opened: (Log | LogReader)[] = [];

  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'sluice-reader-'));
  });

  afterEach(async () => {
    for (const each of opened.splice(0)) await each.close();
    rmSync(path, { recursive: true, force: true });
  });

  function opening<T extends Log | LogReader>(what: T): T {
    opened.push(what);
    return what;
  }

  it('sees what a log appends while it is in use', async () => {
    const log = opening(openLmdbLog({ path }));
    await log.append('s', [event('a')]);
    const reader = opening(openLmdbReader({ path }));
    const ids = async () => (await reader.read('s', 0, 0, all)).map(({ id }) => id);
    expect(await ids()).toEqual(['a']);
    await log.append('s', [event('b')]);
    await turn();
    expect(await ids()).toEqual(['a', 'b']);
    expect(await reader.streams()).toEqual(await log.streams());
  });

  it('shows groups, lag and dead letters as the log does', async () => {
    const log = opening(openLmdbLog({ path }));
    await furnish(log);
    const reader = opening(openLmdbReader({ path }));
    expect(await reader.groups()).toEqual(await log.groups());
    expect(await reader.lag('g', 's')).toMatchObject((await log.lag('g', 's')).map(({ items, bytes }) => ({ items, bytes })));
    expect(await reader.position('g', 's', 0)).toEqual(await log.position('g', 's', 0));
    expect(await reader.letters.page()).toEqual(await log.letters.page());
    expect([reader.letters.items, reader.letters.bytes]).toEqual([log.letters.items, log.letters.bytes]);
    expect(await reader.streamSettings('s')).toEqual(await log.streamSettings('s'));
  });

  it('finds nothing wrong with a sound store, in use or not', async () => {
    const log = opening(openLmdbLog({ path }));
    await furnish(log);
    const reader = opening(openLmdbReader({ path }));
    const report = await reader.verify();
    expect(report).toEqual({ streams: 1, chunks: 2, records: 20, groups: 2, letters: 1, ids: 20, problems: [] });
    expect(await log.facets.verify!()).toEqual(report);
    await log.append('s', [event('later')]);
    await turn();
    expect(await reader.verify()).toMatchObject({ records: 21, problems: [] });
  });

  it('refuses a folder without a store, and one of another version, by a sentence', async () => {
    expect(() => openLmdbReader({ path: join(path, 'none') })).toThrowError(
      expect.objectContaining({ code: 'LOG_CORRUPT', message: expect.stringContaining(join(path, 'none')) }),
    );
    await openLmdbLog({ path }).close();
    await damage(path, 'meta', (tree) => tree.putSync(Buffer.from('format'), Buffer.from([0, 0, 0, 0, 0, 99])));
    expect(() => openLmdbReader({ path })).toThrowError(expect.objectContaining({ code: 'LOG_VERSION' }));
  });

  /** What a check must name, and how it came about. */
  const damages: readonly [what: string, tree: string, kind: string, says: RegExp, damage: (tree: RawTree) => unknown][] = [
    ['a byte of a chunk', 'chunks', 'chunk', /s\/0: the chunk of the offsets 0 to 9 is damaged/, (tree) => flip(tree, 0, 40)],
    ['the last byte of a chunk', 'chunks', 'chunk', /offsets 10 to 19 is damaged/, (tree) => flip(tree, 1, -1)],
    [
      'a chunk cut short',
      'chunks',
      'chunk',
      /offsets 0 to 9 is damaged/,
      (tree) => put(tree, 0, (value) => value.subarray(0, 10)),
    ],
    [
      'a chunk that is gone',
      'chunks',
      'gap',
      /s\/0 goes on at offset 10, and 0 was due/,
      (tree) => tree.removeSync(keyAt(tree, 0)),
    ],
    [
      'the last chunk gone',
      'chunks',
      'gap',
      /s\/0 ends at offset 10, and 20 is said to be next/,
      (tree) => tree.removeSync(keyAt(tree, 1)),
    ],
    ['a next offset too low', 'partitions', 'group', /stands at 6, outside/, (tree) => put(tree, 0, (row) => row.fill(0))],
    [
      'a cursor behind the end',
      'groups',
      'group',
      /group g on s\/0 stands at 99/,
      (tree) => put(tree, 0, (row) => Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 99]), row.subarray(6)])),
    ],
    ['a cut row of a group', 'groups', 'group', /cannot be read/, (tree) => put(tree, 0, (row) => row.subarray(0, 20))],
    ['a letter of other bytes', 'letters', 'letter', /cannot be read/, (tree) => put(tree, 0, (row) => row.fill(7, 4, 30))],
    [
      'a letter that is gone',
      'letters',
      'letter',
      /counts 1 dead letters and holds 0/,
      (tree) => tree.removeSync(keyAt(tree, 0)),
    ],
    [
      'a row of ids that is gone',
      'ids',
      'id',
      /window 1 of ids ends at number 10, and 20 is said to be next/,
      (tree) => tree.removeSync(keyAt(tree, 1)),
    ],
    [
      'a cut row of ids',
      'ids',
      'id',
      /from 0 on in window 1 has 100 bytes/,
      (tree) => put(tree, 0, (row) => row.subarray(0, 100)),
    ],
    [
      'an id of no record',
      'ids',
      'id',
      /points to offset 281474976710655/,
      (tree) => put(tree, 0, (row) => row.fill(255, 18, 24)),
    ],
    [
      'settings that are no JSON',
      'streams',
      'stream',
      /stream s cannot be read/,
      (tree) => put(tree, 0, (row) => row.fill(1, 4)),
    ],
    [
      'a stream that is gone',
      'streams',
      'partition',
      /stream number 1, which does not exist/,
      (tree) => tree.removeSync(keyAt(tree, 0)),
    ],
  ];

  it('counts a group once, however many partitions it reads', async () => {
    const many = mkdtempSync(join(tmpdir(), 'sluice-verify-'));
    const log = openLmdbLog({ path: many, streamDefaults: { partitions: 3 } });
    await log.createGroup('g', 's');
    await log.createGroup('h', 's');
    await log.close();
    const reader = openLmdbReader({ path: many });
    expect(await reader.verify()).toMatchObject({ groups: 2, problems: [] });
    await reader.close();
    rmSync(many, { recursive: true });
  });

  it.each(damages)('finds %s', async (_, tree, kind, says, harm) => {
    const log = openLmdbLog({ path });
    await furnish(log);
    await log.close();
    await damage(path, tree, harm);
    const { problems } = await opening(openLmdbReader({ path })).verify();
    expect(problems).toContainEqual(expect.objectContaining({ kind, message: expect.stringMatching(says) }));
  });

  it('names the range that is lost', async () => {
    const log = openLmdbLog({ path });
    await furnish(log);
    await log.close();
    await damage(path, 'chunks', (tree) => flip(tree, 1, 30));
    const { problems } = await opening(openLmdbReader({ path })).verify();
    expect(problems).toMatchObject([{ kind: 'chunk', lost: { stream: 's', partition: 0, first: 10, last: 19 } }]);
  });

  it('bounds the number of problems that it names', async () => {
    const log = openLmdbLog({ path });
    await log.createGroup('g', 's');
    await log.close();
    await damage(path, 'groups', (tree) => {
      const key = keyAt(tree, 0);
      tree.transactionSync(() => {
        for (let i = 0; i < 1_100; i++) tree.putSync(Buffer.concat([key, Buffer.from(`${i}`)]), Buffer.from('x'));
      });
    });
    const { problems } = await opening(openLmdbReader({ path })).verify();
    expect(problems).toHaveLength(1_001);
    expect(problems.at(-1)).toMatchObject({ kind: 'more', message: '100 more problems are not named' });
  });
});

describe('the owner of a store', () => {
  let path: string;

  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'sluice-owner-'));
  });

  afterEach(() => rmSync(path, { recursive: true, force: true }));

  it('is one log, in one process; after its close another may have it', async () => {
    const log = openLmdbLog({ path });
    expect(() => openLmdbLog({ path })).toThrowError(
      expect.objectContaining({ code: 'LOG_IN_USE', class: 'blocked', message: expect.stringContaining(path) }),
    );
    await log.append('s', [event('a')]);
    await log.close();
    const again = openLmdbLog({ path });
    expect((await again.read('s', 0, 0, all)).map(({ id }) => id)).toEqual(['a']);
    await again.close();
  });

  it('that has ended without a close, or of which nothing is known, keeps nobody out', async () => {
    await openLmdbLog({ path }).close();
    const ended = { pid: 2 ** 22 + 1, started: '1 of a boot', file: '' };
    for (const left of [JSON.stringify(ended), JSON.stringify({ ...ended, pid: 1, started: 'another one' }), 'not JSON', '']) {
      writeFileSync(join(path, 'owner'), left);
      await openLmdbLog({ path }).close();
    }
  });

  it('is not that of a copy', async () => {
    const log = openLmdbLog({ path });
    await log.append('s', [event('a')]);
    const copy = mkdtempSync(join(tmpdir(), 'sluice-copy-'));
    mkdirSync(copy, { recursive: true });
    cpSync(path, copy, { recursive: true });
    expect(readFileSync(join(copy, 'owner'), 'utf8')).toContain(String(process.pid));
    await openLmdbLog({ path: copy }).close();
    await log.close();
    rmSync(copy, { recursive: true });
  });
});

async function furnish(log: Log): Promise<void> {
  await log.createGroup('g', 's');
  await log.createGroup('h', 's');
  await log.append(
    's',
    Array.from({ length: 10 }, (_, i) => event(`a${i}`)),
  );
  await log.append(
    's',
    Array.from({ length: 10 }, (_, i) => event(`b${i}`)),
  );
  const owner = await log.claim('g', 's', 0);
  const record = (await log.read('s', 0, 5, { maxItems: 1, maxBytes: 1 }))[0]!;
  const failure = { code: 'REFUSED', class: 'permanent', message: 'no' } as const;
  const why = {
    ...failure,
    attempts: 1,
    timeouts: 0,
    crashes: 0,
    tries: [{ ...failure, at: 1 }],
    firstFailedAt: 1,
    lastFailedAt: 1,
  };
  const position = { cursor: 6, settledAbove: [{ first: 8, last: 9 }] };
  await log.settle(owner, { position, delivered: [{ first: 0, last: 4 }], dead: [{ ...why, record }] });
}

function event(id: string): NewEvent {
  return { id, tenant: '_', time: null, receivedAt: 1, payload: Buffer.from(`{"id":"${id}"}`) };
}

type RawTree = Database<Buffer, Buffer>;

/** Changes a closed store behind the log's back. */
async function damage(path: string, name: string, harm: (tree: RawTree) => unknown): Promise<void> {
  const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
  const root = open<Buffer, Buffer>({ path, noSubdir: false, ...binary, overlappingSync: false });
  harm(root.openDB<Buffer, Buffer>({ name, ...binary }));
  await root.close();
}

function keyAt(tree: RawTree, index: number): Buffer {
  return Buffer.from([...tree.getKeys({})][index]!);
}

function put(tree: RawTree, index: number, change: (value: Buffer) => Buffer): void {
  const key = keyAt(tree, index);
  tree.putSync(key, change(Buffer.from(tree.get(key)!)));
}

function flip(tree: RawTree, index: number, at: number): void {
  put(tree, index, (value) => {
    value[at < 0 ? value.length + at : at]! ^= 1;
    return value;
  });
}

/** lmdb reads from one snapshot within a turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
