/** Reads: records from an offset on. A chunk is copied out of the store once; its records are views of that copy. */

import type { LogRecord } from '../log/log.js';
import { type Chunk, openChunk } from './chunks.js';
import { offsetKey, partitionKey, readOffset, readPartitionRow } from './keys.js';
import { streamNumber } from './names.js';
import type { Trees } from './store.js';

/** Bounds of one read. */
export interface ReadBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/** The reading half of the log. */
export interface Reads {
  /**
   * Records from an offset on; from the first one stored, when that offset is gone.
   *
   * @throws SluiceError `LOG_CORRUPT`, naming stream and offset, when the first chunk that is needed is damaged.
   */
  read(stream: string, partition: number, from: number, bounds: ReadBounds): readonly LogRecord[];
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
      const { firstOffset, nextOffset } = readPartitionRow(trees.partitions.getBinary(partitionKey(number, partition)));
      const records: LogRecord[] = [];
      let offset = Math.max(from, firstOffset);
      let bytes = 0;
      while (offset < nextOffset && records.length < maxItems) {
        const chunk = chunkFor(stream, number, partition, offset, records.length > 0);
        if (chunk === undefined) break;
        const end = Math.min(chunk.base + chunk.items, offset + maxItems - records.length);
        for (; offset < end; offset++) {
          bytes += chunk.recordBytes(offset);
          if (bytes > maxBytes && records.length > 0) return records;
          records.push(chunk.record(offset));
        }
      }
      return records;
    },
  };

  /** The chunk that holds an offset. A damaged one is reported only once a read begins with it: what lies before can still be had. */
  function chunkFor(stream: string, number: number, partition: number, offset: number, hasRecords: boolean): Chunk | undefined {
    const base = baseOf(number, partition, offset);
    if (base === undefined) return undefined;
    const name = `${number}/${partition}/${base}`;
    let chunk = cache.get(name);
    if (chunk === undefined) {
      const bytes = trees.chunks.getBinary(offsetKey(number, partition, base));
      if (bytes === undefined) return undefined;
      try {
        chunk = openChunk(asBuffer(bytes), stream, partition, base);
      } catch (error) {
        if (hasRecords) return undefined;
        throw error;
      }
    }
    // Most recently used last.
    cache.delete(name);
    cache.set(name, chunk);
    if (cache.size > cachedChunks) cache.delete(cache.keys().next().value!);
    return offset < chunk.base + chunk.items ? chunk : undefined;
  }

  /** Base offset of the chunk that holds an offset: the last key at or below it. */
  function baseOf(number: number, partition: number, offset: number): number | undefined {
    const start = offsetKey(number, partition, offset);
    for (const key of trees.chunks.getKeys({ start, end: partitionKey(number, partition), reverse: true, limit: 1 }))
      return readOffset(key);
    return undefined;
  }
}

/** lmdb's values are Uint8Arrays at times. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
