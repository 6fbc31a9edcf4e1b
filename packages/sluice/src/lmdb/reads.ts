/** Reads: records from an offset on. A chunk is copied out of the store once; its records are views of that copy. */

import { SluiceError } from '../core/errors.js';
import { DamagedRecords } from '../log/damage.js';
import type { ReadBounds, StreamInfo } from '../log/log.js';
import type { LogRecord } from '../log/record.js';
import { type Chunk, openChunk } from './chunks.js';
import {
  afterPrefix,
  behindChunk,
  type ChunkKey,
  offsetKey,
  type PartitionRow,
  partitionKey,
  readChunkKey,
  readPartitionRow,
} from './keys.js';
import { streamNumber, streamRows } from './names.js';
import type { Trees } from './store.js';

/** The reading half of the log. */
export interface Reads {
  /**
   * Records from an offset on; from the first one stored, when that offset is gone.
   *
   * @throws DamagedRecords `LOG_CORRUPT`, when the first record that is needed cannot be read.
   */
  read(stream: string, partition: number, from: number, bounds: ReadBounds): readonly LogRecord[];
  /** Bytes of the records before an offset, since the partition was made. In a damaged chunk, those before the chunk. */
  positionAt(stream: string, partition: number, offset: number): number;
  /** When the record at a stored offset was received; of a damaged one, when its chunk was appended. */
  receivedAt(stream: string, partition: number, offset: number): number;
}

// A chunk holds more than most readers take at once. Chunks never change, so what was checked once need not be checked for the next read.
const cachedChunks = 8;

/** The reading half over the trees of a store. */
export function createReads(trees: Trees): Reads {
  const cache = new Map<string, Chunk>();

  return {
    read(stream, partition, from, { maxItems, maxBytes }) {
      const number = streamNumber(trees, stream);
      if (number === undefined) return [];
      const records: LogRecord[] = [];
      let offset = from;
      let bytes = 0;
      try {
        const row = rowOf(trees, number, partition);
        offset = Math.max(from, row.firstOffset);
        while (offset < row.nextOffset && records.length < maxItems) {
          const chunk = chunkFor(stream, number, partition, offset);
          const end = Math.min(chunk.base + chunk.items, offset + maxItems - records.length);
          for (; offset < end; offset++) {
            bytes += chunk.recordBytes(offset);
            if (bytes > maxBytes && records.length > 0) return records;
            records.push(chunk.record(offset));
          }
        }
      } catch (error) {
        const damage = damageAt(stream, number, partition, offset, error);
        // Reported only once a read begins with it: what lies before can still be had.
        if (records.length === 0 || !(damage instanceof DamagedRecords)) throw damage;
      }
      return records;
    },
    positionAt(stream, partition, offset) {
      const number = streamNumber(trees, stream);
      if (number === undefined) return 0;
      const row = rowOf(trees, number, partition);
      if (offset <= row.firstOffset) return row.firstPosition;
      if (offset >= row.nextOffset) return row.nextPosition;
      const key = chunkKeyAt(trees, number, partition, offset);
      if (key === undefined) return row.firstPosition;
      try {
        const chunk = chunkFor(stream, number, partition, offset);
        let position = key.position;
        for (let before = chunk.base; before < offset; before++) position += chunk.recordBytes(before);
        return position;
      } catch (error) {
        if (isClosed(error)) throw error;
        return key.position;
      }
    },
    receivedAt,
  };

  function receivedAt(stream: string, partition: number, offset: number): number {
    const number = streamNumber(trees, stream)!;
    try {
      return chunkFor(stream, number, partition, offset).record(offset).receivedAt;
    } catch (error) {
      if (isClosed(error)) throw error;
      return chunkKeyAt(trees, number, partition, offset)?.at ?? 0;
    }
  }

  /** The chunk that holds an offset below the next one. */
  function chunkFor(stream: string, number: number, partition: number, offset: number): Chunk {
    const key = rawChunkKeyAt(trees, number, partition, offset);
    const base = key === undefined ? undefined : readChunkKey(key).base;
    const name = `${number}/${partition}/${base}`;
    let chunk = cache.get(name);
    // Where the tree is out of order, a key may be found that lies behind the offset, or whose row is not found.
    if (base !== undefined && base > offset) chunk = undefined;
    else if (chunk === undefined && key !== undefined) {
      const bytes = trees.chunks.getBinary(key);
      if (bytes !== undefined)
        chunk = openChunk(asBuffer(bytes), stream, partition, base!, () => endOfChunk(trees, number, partition, base!));
    }
    if (chunk === undefined || offset >= chunk.base + chunk.items) {
      const first = chunk === undefined ? offset : chunk.base + chunk.items;
      throw new DamagedRecords(stream, partition, { first, last: lastLost(number, partition, offset) });
    }
    // Most recently used last.
    cache.delete(name);
    cache.set(name, chunk);
    if (cache.size > cachedChunks) cache.delete(cache.keys().next().value!);
    return chunk;
  }

  /** What a read of an offset has thrown, as damage of its partition, unless it says itself what it is. The others can be read all the same. */
  function damageAt(stream: string, number: number, partition: number, offset: number, error: unknown): unknown {
    if (error instanceof DamagedRecords && error.range.last < offset)
      return new DamagedRecords(stream, partition, { first: offset, last: offset }, error);
    if (error instanceof SluiceError || isClosed(error)) return error;
    return new DamagedRecords(stream, partition, { first: offset, last: lastLost(number, partition, offset) }, error);
  }

  /** Where the chunk around an offset ends; a tree out of order may say that it does before. */
  function lastLost(number: number, partition: number, offset: number): number {
    try {
      return Math.max(offset, endOfChunk(trees, number, partition, offset) - 1);
    } catch {
      return offset;
    }
  }
}

/** Not what the store holds is the trouble, but that it is gone: lmdb's own words, for it has no code for that. */
function isClosed(error: unknown): boolean {
  return error instanceof Error && /\bclosed\b/.test(error.message);
}

/** Where a partition begins and ends. */
export function rowOf(trees: Trees, number: number, partition: number): PartitionRow {
  return readPartitionRow(trees.partitions.getBinary(partitionKey(number, partition)));
}

/** The first offset that was appended at or after a time. */
export function offsetAt(trees: Trees, number: number, partition: number, time: number): number {
  const { firstOffset, nextOffset } = rowOf(trees, number, partition);
  let low = firstOffset;
  let high = nextOffset;
  // Times ascend with the offsets. Each step takes the chunk around the middle.
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const key = chunkKeyAt(trees, number, partition, middle);
    if (key === undefined) return nextOffset;
    if (key.at < time) low = endOfChunk(trees, number, partition, key.base);
    else high = Math.max(firstOffset, key.base);
  }
  return low;
}

/** The key of the chunk that begins last at or before an offset. */
export function chunkKeyAt(trees: Trees, number: number, partition: number, offset: number): ChunkKey | undefined {
  const key = rawChunkKeyAt(trees, number, partition, offset);
  return key === undefined ? undefined : readChunkKey(key);
}

function rawChunkKeyAt(trees: Trees, number: number, partition: number, offset: number): Buffer | undefined {
  const start = behindChunk(number, partition, offset);
  for (const key of trees.chunks.getKeys({ start, end: partitionKey(number, partition), reverse: true, limit: 1 }))
    return Buffer.from(key);
  return undefined;
}

/** A chunk ends where the next one begins, or with the partition. */
export function endOfChunk(trees: Trees, number: number, partition: number, base: number): number {
  const start = offsetKey(number, partition, base + 1);
  for (const key of trees.chunks.getKeys({ start, end: afterPrefix(partitionKey(number, partition)), limit: 1 }))
    return readChunkKey(key).base;
  return rowOf(trees, number, partition).nextOffset;
}

/** All partitions of all streams. */
export function listStreams(trees: Trees): StreamInfo[] {
  const infos: StreamInfo[] = [];
  for (const { stream, number, settings } of [...streamRows(trees)]) {
    for (let partition = 0; partition < settings.partitions; partition++) {
      const { firstOffset, nextOffset, firstPosition, nextPosition } = rowOf(trees, number, partition);
      const oldestAt = nextOffset > firstOffset ? (chunkKeyAt(trees, number, partition, firstOffset)?.at ?? null) : null;
      infos.push({ stream, partition, firstOffset, nextOffset, bytes: nextPosition - firstPosition, oldestAt });
    }
  }
  return infos;
}

/** lmdb's values are Uint8Arrays at times. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
