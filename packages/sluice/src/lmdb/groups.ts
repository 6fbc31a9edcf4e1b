/** Consumer groups: their positions, and the chunks that none of them needs any more. */

import type { GroupPosition, Settlement } from '../log/log.js';
import { countLetters, parkLetter, removeLetters } from './dead-letters.js';
import { afterPrefix, groupKey, offsetKey, partitionKey, readOffset, readPartitionRow, writePartitionRow } from './keys.js';
import { numberStream, streamNumber } from './names.js';
import type { Trees } from './store.js';

/** The stored position of a group, or undefined when it has none. */
export function readPosition(trees: Trees, group: string, stream: string, partition: number): GroupPosition | undefined {
  const number = streamNumber(trees, stream);
  const row = number === undefined ? undefined : trees.groups.getBinary(groupKey(number, partition, group));
  return row === undefined ? undefined : decodePosition(row);
}

/** Makes a group known, at the first offset stored, so that no chunk is dropped before it has read it; within a write transaction. */
export function registerGroup(trees: Trees, group: string, stream: string, partition: number): GroupPosition {
  const known = readPosition(trees, group, stream, partition);
  if (known !== undefined) return known;
  const number = numberStream(trees, stream);
  const rowKey = partitionKey(number, partition);
  const stored = trees.partitions.getBinary(rowKey);
  const row = readPartitionRow(stored);
  if (stored === undefined) trees.partitions.put(rowKey, writePartitionRow(row));
  const position: GroupPosition = { cursor: row.firstOffset, settledAbove: [] };
  trees.groups.put(groupKey(number, partition, group), encodePosition(position));
  return position;
}

/** Moves a group, with its dead letters, and drops chunks; within a write transaction. */
export function settleGroup(
  trees: Trees,
  group: string,
  stream: string,
  partition: number,
  position: GroupPosition,
  settlements: readonly Settlement[],
): void {
  const number = numberStream(trees, stream);
  trees.groups.put(groupKey(number, partition, group), encodePosition(position));
  const delivered = new Set<number>();
  let letters = 0;
  for (const settlement of settlements) {
    if (settlement.kind === 'ok') delivered.add(settlement.offset);
    else letters += parkLetter(trees, group, number, settlement.letter);
  }
  letters += removeLetters(trees, group, number, partition, delivered);
  countLetters(trees, letters);
  dropChunks(trees, number, partition);
}

// More than a settle can finish on its own, so that a backlog of small chunks shrinks; few enough to keep a transaction short.
const maxDroppedChunks = 1_000;

/** Drops the chunks that lie wholly below the cursors of all groups, the oldest first. */
function dropChunks(trees: Trees, stream: number, partition: number): void {
  const rowKey = partitionKey(stream, partition);
  const row = readPartitionRow(trees.partitions.getBinary(rowKey));
  const needed = leastCursor(trees, rowKey);
  if (needed <= row.firstOffset) return;
  const bases = [
    ...trees.chunks.getKeys({
      start: offsetKey(stream, partition, row.firstOffset),
      end: offsetKey(stream, partition, needed),
      limit: maxDroppedChunks + 1,
    }),
  ].map(readOffset);
  let firstOffset = row.firstOffset;
  for (let i = 0; i < Math.min(bases.length, maxDroppedChunks); i++) {
    // A chunk ends where the next one begins. Behind the last that was found lies a chunk that is needed, or the end of the partition.
    const end = bases[i + 1] ?? endOfChunk(trees, stream, partition, bases[i]!, row.nextOffset);
    if (end > needed) break;
    trees.chunks.remove(offsetKey(stream, partition, bases[i]!));
    firstOffset = end;
  }
  if (firstOffset > row.firstOffset) trees.partitions.put(rowKey, writePartitionRow({ firstOffset, nextOffset: row.nextOffset }));
}

function endOfChunk(trees: Trees, stream: number, partition: number, base: number, nextOffset: number): number {
  const start = offsetKey(stream, partition, base + 1);
  for (const key of trees.chunks.getKeys({ start, end: afterPrefix(partitionKey(stream, partition)), limit: 1 }))
    return readOffset(key);
  return nextOffset;
}

function leastCursor(trees: Trees, prefix: Buffer): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { value } of trees.groups.getRange({ start: prefix, end: afterPrefix(prefix) })) {
    least = Math.min(least, value.readUIntBE(0, 6));
  }
  return Number.isFinite(least) ? least : 0;
}

/** `cursor u48 · runs u32 · per run: first offset u48, length u32`: settled offsets above the cursor lie mostly side by side. */
function encodePosition({ cursor, settledAbove }: GroupPosition): Buffer {
  const runs: { first: number; length: number }[] = [];
  for (const offset of settledAbove) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.length === offset) last.length++;
    else runs.push({ first: offset, length: 1 });
  }
  const row = Buffer.allocUnsafe(10 + runs.length * 10);
  row.writeUIntBE(cursor, 0, 6);
  row.writeUInt32BE(runs.length, 6);
  runs.forEach(({ first, length }, i) => {
    row.writeUIntBE(first, 10 + i * 10, 6);
    row.writeUInt32BE(length, 16 + i * 10);
  });
  return row;
}

function decodePosition(row: Buffer): GroupPosition {
  const settledAbove: number[] = [];
  const runs = row.readUInt32BE(6);
  for (let i = 0; i < runs; i++) {
    const first = row.readUIntBE(10 + i * 10, 6);
    const length = row.readUInt32BE(16 + i * 10);
    for (let k = 0; k < length; k++) settledAbove.push(first + k);
  }
  return { cursor: row.readUIntBE(0, 6), settledAbove };
}
