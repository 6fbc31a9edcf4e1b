/**
 * Chunks: the records of one group commit, as one value of the store.
 *
 * ```
 * crc32 u32 (of all that follows) · base offset u48 · items u32 · bytes of the records u32 · records
 * ```
 */

import { DamagedRecords } from '../log/damage.js';
import type { LogRecord } from '../log/record.js';
import { crc32 } from './crc32.js';
import { decodeRecord, type EncodedEvents, recordBytes } from './records.js';

const headerBytes = 18;

// A reader that wants 500 records copies and checks whole chunks: small enough for that, large enough to make one tree entry cheap.
const maxChunkBytes = 256 << 10;
const maxChunkItems = 4096;

/** Collects records with ascending offsets and hands on chunks. */
export interface ChunkWriter {
  /** Takes the records `from` up to but not including `to`. */
  add(events: EncodedEvents, from: number, to: number): void;
  /** Hands on what is left. */
  end(): void;
}

/**
 * A chunk writer. `put` gets a buffer that is valid during the call only, and the bytes of the records in it.
 *
 * @param base the offset of the first record.
 */
export function createChunkWriter(base: number, put: (base: number, chunk: Buffer, bytes: number) => void): ChunkWriter {
  let runs: Run[] = [];
  let items = 0;
  let bytes = 0;

  return {
    add(events, from, to) {
      const all = events.starts[to]! - events.starts[from]!;
      if (items + to - from <= maxChunkItems && bytes + all <= maxChunkBytes) {
        items += to - from;
        bytes += all;
        takeRun(events, from, to);
        return;
      }
      let start = from;
      for (let i = from; i < to; i++) {
        const length = events.starts[i + 1]! - events.starts[i]!;
        if (items > 0 && (bytes + length > maxChunkBytes || items === maxChunkItems)) {
          takeRun(events, start, i);
          start = i;
          end();
        }
        items++;
        bytes += length;
      }
      takeRun(events, start, to);
    },
    end,
  };

  function takeRun(events: EncodedEvents, from: number, to: number): void {
    if (from === to) return;
    const at = events.starts[from]!;
    const end = events.starts[to]!;
    const last = runs[runs.length - 1];
    if (last !== undefined && last.bytes === events.bytes && last.to === at) last.to = end;
    else runs.push({ bytes: events.bytes, from: at, to: end });
  }

  function end(): void {
    if (items === 0) return;
    put(base, joinChunk(base, items, bytes, runs), bytes);
    base += items;
    runs = [];
    items = 0;
    bytes = 0;
  }
}

/** Records side by side in one buffer: the appends of a group mostly are, and are copied at once. */
interface Run {
  readonly bytes: Buffer;
  readonly from: number;
  to: number;
}

/** A chunk that was read and checked. */
export interface Chunk {
  readonly base: number;
  readonly items: number;
  /** The record at an offset within the chunk. */
  record(offset: number): LogRecord;
  /** Bytes of the record at an offset, as stored. */
  recordBytes(offset: number): number;
}

/**
 * Checks a chunk and finds its records. The records are views of `bytes`, which must not change any more.
 *
 * @param end answers the base of the next chunk: what is lost when this one is damaged.
 * @throws DamagedRecords `LOG_CORRUPT`
 */
export function openChunk(bytes: Buffer, stream: string, partition: number, base: number, end: () => number): Chunk {
  const damaged = () => new DamagedRecords(stream, partition, { first: base, last: end() - 1 });
  if (bytes.length < headerBytes || crc32(bytes.subarray(4)) !== bytes.readUInt32BE(0) || bytes.readUIntBE(4, 6) !== base)
    throw damaged();
  const items = bytes.readUInt32BE(10);
  const starts = new Uint32Array(items + 1);
  let at = headerBytes;
  for (let i = 0; i < items; i++) {
    starts[i] = at;
    at += recordBytes(bytes, at);
  }
  if (at !== bytes.length) throw damaged();
  starts[items] = at;
  return {
    base,
    items,
    record: (offset) => decodeRecord(bytes, starts[offset - base]!, stream, partition, offset),
    recordBytes: (offset) => starts[offset - base + 1]! - starts[offset - base]!,
  };
}

// The store copies a value while it takes it: one buffer serves all chunks.
const scratch = Buffer.allocUnsafe(headerBytes + maxChunkBytes);

function joinChunk(base: number, items: number, bytes: number, runs: readonly Run[]): Buffer {
  const length = headerBytes + bytes;
  const chunk = length <= scratch.length ? scratch.subarray(0, length) : Buffer.allocUnsafe(length);
  let at = headerBytes;
  for (const run of runs) {
    chunk.set(run.bytes.subarray(run.from, run.to), at);
    at += run.to - run.from;
  }
  chunk.writeUIntBE(base, 4, 6);
  chunk.writeUInt32BE(items, 10);
  chunk.writeUInt32BE(bytes, 14);
  chunk.writeUInt32BE(crc32(chunk.subarray(4)), 0);
  return chunk;
}
