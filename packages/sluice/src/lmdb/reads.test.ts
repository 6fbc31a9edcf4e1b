/** Tests of reads from a store whose trees are out of order: damage of one partition, never an error without a code. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemEnv } from '../env/system.js';
import { createConsumer } from '../log/consumer.js';
import type { NewEvent } from '../log/record.js';
import { crc32 } from './crc32.js';
import { chunkKey, readPartitionKey } from './keys.js';
import { openLmdbLog } from './lmdb-log.js';
import { createReads } from './reads.js';
import type { Tree, Trees } from './store.js';
import { openTrees } from './trees.js';

const bounds = { maxItems: 100, maxBytes: 1 << 20 };

describe('reads from a damaged store', () => {
  let path: string;

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'sluice-reads-'));
    const log = openLmdbLog({ path, streamDefaults: { partitions: 2 } });
    for (let i = 0; i < 10; i++) await log.append('s', [event(i)]);
    await log.close();
  });

  afterEach(() => rm(path, { recursive: true, force: true }));

  it.each<[what: string, disorder: (chunks: Tree) => Partial<Tree>]>([
    [
      'the key that is found lies behind the offset',
      () => ({ getKeys: (() => [chunkKey(1, 0, { base: 7, position: 0, at: 1 })]) as unknown as Tree['getKeys'] }),
    ],
    ['the key that is found has no row', () => ({ getBinary: () => undefined })],
    ['the key that is found is none', () => ({ getKeys: (() => [Buffer.alloc(7)]) as unknown as Tree['getKeys'] })],
    [
      'the tree cannot be walked',
      () => ({
        getKeys: () => {
          throw new Error('MDB_CORRUPTED: Located page was wrong type');
        },
      }),
    ],
  ])('is LOG_CORRUPT from the offset on where %s', async (_, disorder) => {
    const { root, trees } = openTrees(path, 'read');
    const wrong = Object.assign(Object.create(trees.chunks), disorder(trees.chunks));
    const { read } = createReads({ ...trees, chunks: wrong } satisfies Trees);
    let thrown: unknown;
    try {
      read('s', 0, 2, bounds);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'LOG_CORRUPT', stream: 's', partition: 0, range: { first: 2 } });
    const { message, range } = thrown as { message: string; range: { first: number; last: number } };
    expect(range.last).toBeGreaterThanOrEqual(2);
    expect(message).toContain('sluice log verify');
    await root.close();
  });

  it('the consumer stays in the other partitions when a chunk with a fitting checksum cannot be taken apart', async () => {
    await garble(0);
    const log = openLmdbLog({ path });
    const written: number[] = [];
    const write = async (records: readonly { readonly partition: number }[]) => {
      for (const { partition } of records) written.push(partition);
    };
    const consumer = await createConsumer({ log, stream: 's', group: 'g', sink: { write }, env: systemEnv() });
    const { nextOffset } = (await log.streams()).find(({ partition }) => partition === 1)!;
    await expect.poll(() => written.length).toBe(nextOffset);
    expect(new Set(written)).toEqual(new Set([1]));
    await expect.poll(() => consumer.status().problem?.code).toBe('LOG_CORRUPT');
    expect(consumer.status()).toMatchObject({ broken: undefined, partitions: [{ state: 'damaged' }, { state: 'reading' }] });
    await consumer.drain({ deadlineMs: 1_000 });
    await log.close();
  });

  /** Says of the chunks of a partition that they have more records than they have, and makes their checksums fit. */
  async function garble(partition: number): Promise<void> {
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
    const root = open<Buffer, Buffer>({ path, noSubdir: false, ...binary, overlappingSync: false });
    const chunks = root.openDB<Buffer, Buffer>({ name: 'chunks', ...binary });
    for (const found of [...chunks.getKeys({})]) {
      const key = Buffer.from(found);
      if (readPartitionKey(key).partition !== partition) continue;
      const chunk = Buffer.from(chunks.get(key)!);
      chunk.writeUInt32BE(1000, 10);
      chunk.writeUInt32BE(crc32(chunk.subarray(4)), 0);
      chunks.putSync(key, chunk);
    }
    await root.close();
  }
});

function event(i: number): NewEvent {
  return { id: `e${i}`, tenant: '_', time: null, receivedAt: 1, key: `k${i}`, payload: Buffer.from('{}') };
}
