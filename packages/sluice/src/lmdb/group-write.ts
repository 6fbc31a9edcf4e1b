/** Writes a group of appends within its transaction: partitions, ids, chunks. */

import { partitionOf } from '../log/partitions.js';
import type { Appended } from '../log/record.js';
import type { StreamSettings } from '../log/stream-options.js';
import type { RemovedFrom } from './appends.js';
import { type ChunkWriter, createChunkWriter } from './chunks.js';
import type { HeldAppend } from './held-append.js';
import type { IdStore, IdWindows } from './id-window.js';
import { chunkKey, type PartitionRow, partitionKey, readPartitionRow, writePartitionRow } from './keys.js';
import { ensureStream, type StreamRow } from './names.js';
import { retainPartition } from './retention.js';
import type { Trees } from './store.js';

/** Writes a group, stream by stream, and says what became of each append, and what made room for them. */
export function writeGroup(
  trees: Trees,
  group: readonly HeldAppend[],
  parts: GroupWriteParts,
  now: number,
): { readonly results: (readonly Appended[])[]; readonly removed: RemovedFrom[] } {
  const results = new Array<readonly Appended[]>(group.length).fill([]);
  const removed: RemovedFrom[] = [];
  for (const [stream, indexes] of indexesByStream(group)) {
    const row = ensureStream(trees, stream, parts.defaults);
    const touched = writeStream(trees, row, group, indexes, results, parts, now);
    // The groups let settled records go; nobody else would see that a partition has grown too large.
    if (row.settings.retention.maxBytes === Number.POSITIVE_INFINITY) continue;
    for (const partition of touched) removed.push({ stream, partition, ...retainPartition(trees, row, partition, now) });
  }
  return { results, removed };
}

function indexesByStream(group: readonly HeldAppend[]): Map<string, number[]> {
  const byStream = new Map<string, number[]>();
  let stream: string | undefined;
  let indexes: number[] = [];
  for (let index = 0; index < group.length; index++) {
    const append = group[index]!;
    if (append.items === 0) continue;
    if (append.stream !== stream) {
      stream = append.stream;
      indexes = byStream.get(stream) ?? [];
      byStream.set(stream, indexes);
    }
    indexes.push(index);
  }
  return byStream;
}

/** One partition that the group appends to. */
interface PartitionWriter {
  readonly partition: number;
  readonly chunks: ChunkWriter;
  nextOffset: number;
  end(): void;
}

/** What a group needs beside the store. */
export interface GroupWriteParts {
  readonly ids: IdStore;
  /** What streams get that nobody has defined. */
  readonly defaults: StreamSettings;
  /** Appends without keys that have come: they take turns over the partitions. */
  turns: number;
}

function writeStream(
  trees: Trees,
  row: StreamRow,
  group: readonly HeldAppend[],
  indexes: readonly number[],
  results: (readonly Appended[])[],
  parts: GroupWriteParts,
  now: number,
): Iterable<number> {
  const { number, settings } = row;
  const ids = parts.ids.windows(number, settings.ids, now);
  const writers = new Map<number, PartitionWriter>();
  const writerOf = (partition: number): PartitionWriter => {
    let writer = writers.get(partition);
    if (writer === undefined) {
      writer = partitionWriter(trees, number, partition, now);
      writers.set(partition, writer);
    }
    return writer;
  };
  for (const index of indexes) {
    const turn = settings.partitions === 1 ? 0 : parts.turns++ % settings.partitions;
    const append = group[index]!;
    results[index] =
      append.keys === undefined && append.claims === undefined
        ? writeWhole(append, writerOf(turn))
        : writeAppend(append, ids, (key) => writerOf(key === null ? turn : partitionOf(key, settings.partitions)));
  }
  for (const writer of writers.values()) writer.end();
  ids.end();
  return writers.keys();
}

/** Without keys all of it goes to one partition, without claims none of it is a duplicate. */
function writeWhole({ encoded, items }: HeldAppend, writer: PartitionWriter): Appended[] {
  const appended: Appended[] = [];
  const { partition } = writer;
  for (let i = 0; i < items; i++) appended.push({ partition, offset: writer.nextOffset++, duplicate: false });
  writer.chunks.add(encoded, 0, items);
  return appended;
}

/** Neighbours that go to one partition are copied as one run. */
function writeAppend(append: HeldAppend, ids: IdWindows, writerFor: (key: string | null) => PartitionWriter): Appended[] {
  const { encoded, keys, claims } = append;
  const appended: Appended[] = [];
  let writer = writerFor(keys?.[0] ?? null);
  let runFrom = 0;
  for (let i = 0; i < append.items; i++) {
    const next = keys === undefined ? writer : writerFor(keys[i]!);
    if (next !== writer) {
      writer.chunks.add(encoded, runFrom, i);
      runFrom = i;
      writer = next;
    }
    const id = claims?.ids[i];
    const here = { partition: writer.partition, offset: writer.nextOffset, duplicate: false };
    const original = id === undefined ? undefined : ids.claim(claims!.tenants[i]!, id, here);
    if (original === undefined) {
      appended.push(here);
      writer.nextOffset++;
    } else {
      appended.push({ partition: original.partition, offset: original.offset, duplicate: true });
      writer.chunks.add(encoded, runFrom, i);
      runFrom = i + 1;
    }
  }
  writer.chunks.add(encoded, runFrom, append.items);
  return appended;
}

function partitionWriter(trees: Trees, number: number, partition: number, now: number): PartitionWriter {
  const rowKey = partitionKey(number, partition);
  const row: PartitionRow = readPartitionRow(trees.partitions.getBinary(rowKey));
  // Times ascend with the offsets, whatever the wall clock does: they are searched in.
  const at = Math.max(row.lastAt, now);
  let position = row.nextPosition;
  const chunks = createChunkWriter(row.nextOffset, (base, chunk, bytes) => {
    trees.chunks.put(chunkKey(number, partition, { base, position, at }), chunk);
    position += bytes;
  });
  return {
    partition,
    chunks,
    nextOffset: row.nextOffset,
    end() {
      chunks.end();
      trees.partitions.put(
        rowKey,
        writePartitionRow({ ...row, nextOffset: this.nextOffset, nextPosition: position, lastAt: at }),
      );
    },
  };
}
