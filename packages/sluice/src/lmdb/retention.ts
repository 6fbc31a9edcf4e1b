/** Removal of chunks: those that retention lets go, the oldest first, within the transaction that lets them go. */

import { expiredBelow } from '../log/group-state.js';
import { type Piece, removalEnd } from '../log/retention.js';
import { isUnbounded, type StreamSettings } from '../log/stream-options.js';
import { readCursor, readGroupRow, writeGroupRow } from './group-rows.js';
import {
  afterPrefix,
  offsetKey,
  type PartitionRow,
  partitionKey,
  readChunkKey,
  readPartitionRow,
  writePartitionRow,
} from './keys.js';
import type { StreamRow } from './names.js';
import type { Trees } from './store.js';

/** What a removal took. */
export interface Removed {
  readonly records: number;
  readonly bytes: number;
  readonly chunks: number;
  /** Records that a group had not settled. */
  readonly expired: readonly { readonly group: string; readonly items: number }[];
}

// More than a settle can finish on its own, so that a backlog of small chunks shrinks; few enough to keep a transaction short.
export const maxRemovedChunks = 1_000;

const nothing: Removed = { records: 0, bytes: 0, chunks: 0, expired: [] };

/** Removes what may go from one partition, at most {@link maxRemovedChunks}; within a write transaction. */
export function retainPartition(trees: Trees, { number, settings }: StreamRow, partition: number, now: number): Removed {
  const prefix = partitionKey(number, partition);
  const row = readPartitionRow(trees.partitions.getBinary(prefix));
  if (row.nextOffset === row.firstOffset) return nothing;
  const least = leastCursor(trees, prefix);
  if (!mayRemove(settings.retention, least, row)) return nothing;
  const keys: Buffer[] = [];
  const removal = removalEnd(
    { settings: settings.retention, leastCursor: least, nextOffset: row.nextOffset, bytes: row.nextPosition - row.firstPosition },
    piecesOf(trees, number, partition, row, keys),
    row.firstOffset,
    now,
    maxRemovedChunks,
  );
  if (removal.pieces === 0) return nothing;
  for (const key of keys.slice(0, removal.pieces)) trees.chunks.remove(key);
  const { end, bytes } = removal;
  trees.partitions.put(prefix, writePartitionRow({ ...row, firstOffset: end, firstPosition: row.firstPosition + bytes }));
  const expired = least !== undefined && least < end ? moveGroups(trees, prefix, end) : [];
  return { records: end - row.firstOffset, bytes, chunks: removal.pieces, expired };
}

/** A cheap look first: most settlements let nothing go. */
function mayRemove(settings: StreamSettings['retention'], least: number | undefined, row: PartitionRow): boolean {
  if (settings.policy === 'expire') return true;
  return least === undefined ? !isUnbounded(settings) : least > row.firstOffset;
}

/** A chunk ends where the next one begins, or with the partition. */
function* piecesOf(trees: Trees, stream: number, partition: number, row: PartitionRow, keys: Buffer[]): Iterable<Piece> {
  const range = {
    start: offsetKey(stream, partition, row.firstOffset),
    end: afterPrefix(partitionKey(stream, partition)),
    limit: maxRemovedChunks + 1,
  };
  let before: Buffer | undefined;
  for (const key of trees.chunks.getKeys(range)) {
    if (before !== undefined) {
      keys.push(before);
      yield piece(before, readChunkKey(key));
    }
    before = Buffer.from(key);
  }
  if (before === undefined || keys.length >= maxRemovedChunks) return;
  keys.push(before);
  yield piece(before, { base: row.nextOffset, position: row.nextPosition });
}

function piece(key: Buffer, next: { readonly base: number; readonly position: number }): Piece {
  const { position, at } = readChunkKey(key);
  return { end: next.base, bytes: next.position - position, at };
}

function leastCursor(trees: Trees, prefix: Buffer): number | undefined {
  let least: number | undefined;
  for (const { value } of trees.groups.getRange({ start: prefix, end: afterPrefix(prefix) })) {
    const cursor = readCursor(value);
    if (least === undefined || cursor < least) least = cursor;
  }
  return least;
}

function moveGroups(trees: Trees, prefix: Buffer, firstOffset: number): { group: string; items: number }[] {
  const expired: { group: string; items: number }[] = [];
  for (const { key, value } of [...trees.groups.getRange({ start: prefix, end: afterPrefix(prefix) })]) {
    const before = readGroupRow(value);
    const state = expiredBelow(before, firstOffset);
    if (state === before) continue;
    trees.groups.put(key, writeGroupRow(state));
    const items = state.expired - before.expired;
    if (items > 0) expired.push({ group: key.toString('utf8', 6), items });
  }
  return expired;
}
