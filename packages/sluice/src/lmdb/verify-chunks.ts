/** The check of streams, partitions and chunks: nothing overlaps, nothing is missing, every checksum holds. */

import { DamagedRecords } from '../log/damage.js';
import { maxPartitions } from '../log/stream-options.js';
import { openChunk } from './chunks.js';
import {
  afterPrefix,
  type PartitionRow,
  partitionKey,
  readChunkKey,
  readCount,
  readPartitionKey,
  readPartitionRow,
} from './keys.js';
import { readStreamRow } from './names.js';
import { type Findings, reasonOf } from './verify-findings.js';

/** A stream that can be read, with its partitions. */
export interface VerifiedStream {
  readonly stream: string;
  readonly number: number;
  readonly partitions: ReadonlyMap<number, PartitionRow>;
}

/** Streams by their number. */
export type VerifiedStreams = ReadonlyMap<number, VerifiedStream>;

// So many chunks of up to 256 KiB are a few milliseconds of work.
const chunksAtOnce = 64;

/** Checks names, numbers and partitions. */
export function verifyStreams({ trees, counts, problem, rows, get }: Findings): VerifiedStreams {
  const streams = new Map<number, VerifiedStream & { readonly partitions: Map<number, PartitionRow> }>();
  const given = readCount(get(trees.meta, Buffer.from('next stream')));
  for (const { key, value } of rows(trees.streams)) {
    const stream = key.toString('utf8');
    counts.streams++;
    try {
      const { number, settings } = readStreamRow(value);
      if (!Number.isInteger(settings.partitions) || settings.partitions < 1 || settings.partitions > maxPartitions)
        problem({ kind: 'stream', message: `stream ${stream} has ${settings.partitions} partitions` });
      if (streams.has(number))
        problem({ kind: 'stream', message: `${stream} and ${streams.get(number)!.stream} have the same number` });
      if (number > given)
        problem({ kind: 'stream', message: `stream ${stream} has number ${number}, and ${given} was the last one given` });
      streams.set(number, { stream, number, partitions: new Map() });
    } catch (error) {
      problem({ kind: 'stream', message: `stream ${stream} cannot be read: ${reasonOf(error)}` });
    }
  }
  for (const { key, value } of rows(trees.partitions)) {
    const { stream: number, partition } = readPartitionKey(key);
    const row = readPartitionRow(value);
    const stream = streams.get(number);
    if (stream === undefined)
      problem({ kind: 'partition', message: `partition ${partition} belongs to stream number ${number}, which does not exist` });
    else stream.partitions.set(partition, row);
    if (row.firstOffset > row.nextOffset || row.firstPosition > row.nextPosition) {
      problem({
        kind: 'partition',
        message: `${stream?.stream}/${partition} begins at ${row.firstOffset} and ends at ${row.nextOffset}`,
      });
    }
  }
  return streams;
}

/** Checks every chunk, and that they follow each other. */
export function* verifyChunks(findings: Findings, streams: VerifiedStreams): Generator<void, void, void> {
  let before: Buffer | undefined;
  for (const { stream, number, partitions } of [...streams.values()].sort((a, b) => a.number - b.number)) {
    for (const [partition, row] of partitions) yield* verifyPartition(findings, stream, number, partition, row);
  }
  for (const key of findings.keys(findings.trees.chunks)) {
    const { stream: number, partition } = readPartitionKey(key);
    if (before !== undefined && before.compare(key, 0, 6, 0, 6) === 0) continue;
    before = key.subarray(0, 6);
    if (streams.get(number)?.partitions.has(partition) === true) continue;
    findings.problem({
      kind: 'chunk',
      message: `a chunk belongs to partition ${partition} of stream number ${number}, which does not exist`,
    });
  }
}

function* verifyPartition(
  { trees, counts, problem, rows }: Findings,
  stream: string,
  number: number,
  partition: number,
  row: PartitionRow,
): Generator<void, void, void> {
  const place = `${stream}/${partition}`;
  const prefix = partitionKey(number, partition);
  let expected = row.firstOffset;
  let { firstPosition: position } = row;
  let at = 0;
  // Where a chunk cannot be read, only the next one says where it ended.
  let isKnown = true;
  let damaged: { readonly first: number } | undefined;
  const endDamage = (next: number) => {
    if (damaged === undefined) return;
    const lost = { stream, partition, first: damaged.first, last: next - 1 };
    problem({ kind: 'chunk', message: `${place}: the chunk of the offsets ${lost.first} to ${lost.last} is damaged`, lost });
    damaged = undefined;
  };
  for (const { key, value } of rows(trees.chunks, { start: prefix, end: afterPrefix(prefix) })) {
    const chunk = readChunkKey(key);
    counts.chunks++;
    endDamage(chunk.base);
    if (isKnown && chunk.base !== expected) {
      const lost = chunk.base > expected ? { lost: { stream, partition, first: expected, last: chunk.base - 1 } } : {};
      problem({ kind: 'gap', message: `${place} goes on at offset ${chunk.base}, and ${expected} was due`, ...lost });
    }
    if (isKnown && chunk.position !== position)
      problem({
        kind: 'chunk',
        message: `${place}: the chunk at offset ${chunk.base} says that ${chunk.position} bytes lie before it, and ${position} do`,
      });
    if (chunk.at < at || chunk.at > row.lastAt)
      problem({ kind: 'chunk', message: `${place}: the chunk at offset ${chunk.base} is out of order in time` });
    at = Math.max(at, chunk.at);
    try {
      const { items, bytes } = readThrough(value, stream, partition, chunk.base);
      counts.records += items;
      expected = chunk.base + items;
      position = chunk.position + bytes;
      isKnown = true;
    } catch (error) {
      if (!(error instanceof DamagedRecords) && !(error instanceof RangeError)) throw error;
      damaged = { first: chunk.base };
      isKnown = false;
    }
    if (counts.chunks % chunksAtOnce === 0) yield;
  }
  endDamage(row.nextOffset);
  if (isKnown && expected !== row.nextOffset) {
    const lost = { stream, partition, first: expected, last: row.nextOffset - 1 };
    problem({ kind: 'gap', message: `${place} ends at offset ${expected}, and ${row.nextOffset} is said to be next`, lost });
  }
  if (isKnown && position !== row.nextPosition)
    problem({ kind: 'partition', message: `${place} holds ${position} bytes in all, and is said to hold ${row.nextPosition}` });
}

/** Every record of a chunk, once. */
function readThrough(bytes: Buffer, stream: string, partition: number, base: number): { items: number; bytes: number } {
  const chunk = openChunk(bytes, stream, partition, base, () => base + 1);
  let all = 0;
  for (let offset = base; offset < base + chunk.items; offset++) {
    all += chunk.recordBytes(offset);
    chunk.record(offset);
  }
  return { items: chunk.items, bytes: all };
}
