/** Keys and rows of the store. Integers are big-endian, so that keys sort by number. `docs/internals/log.md` has the whole picture. */

/** Version of the layout; a store with another one is not opened. */
export const formatVersion = 2;

/** Where a stream's partition begins and ends. */
export interface PartitionRow {
  readonly firstOffset: number;
  readonly nextOffset: number;
  /** Bytes of records that came before the first one stored, and before the next one, since the partition was made. */
  readonly firstPosition: number;
  readonly nextPosition: number;
  /** When the youngest chunk was appended, in epoch milliseconds: the next one is not older. */
  readonly lastAt: number;
}

/** What the key of a chunk says. */
export interface ChunkKey {
  readonly base: number;
  /** Bytes of the records before it, since the partition was made. */
  readonly position: number;
  /** When it was appended, in epoch milliseconds. */
  readonly at: number;
}

/** `stream number u32 · partition u16`: the common beginning of chunks, partitions, groups and dead letters. */
export function partitionKey(stream: number, partition: number): Buffer {
  const key = Buffer.allocUnsafe(6);
  key.writeUInt32BE(stream, 0);
  key.writeUInt16BE(partition, 4);
  return key;
}

/** The stream number and partition of a key that begins with them. */
export function readPartitionKey(key: Buffer): { readonly stream: number; readonly partition: number } {
  return { stream: key.readUInt32BE(0), partition: key.readUInt16BE(4) };
}

/** `stream number u32 · partition u16 · offset u48`: where the key of the chunk with that base offset begins. */
export function offsetKey(stream: number, partition: number, offset: number): Buffer {
  const key = Buffer.allocUnsafe(12);
  key.writeUInt32BE(stream, 0);
  key.writeUInt16BE(partition, 4);
  key.writeUIntBE(offset, 6, 6);
  return key;
}

/**
 * `stream number u32 · partition u16 · base offset u48 · position u48 · appended at u48`: all that retention, lag and a search for a time must know
 * of a chunk, without a look at the chunk.
 */
export function chunkKey(stream: number, partition: number, { base, position, at }: ChunkKey): Buffer {
  const key = Buffer.allocUnsafe(24);
  key.writeUInt32BE(stream, 0);
  key.writeUInt16BE(partition, 4);
  key.writeUIntBE(base, 6, 6);
  key.writeUIntBE(position, 12, 6);
  key.writeUIntBE(at, 18, 6);
  return key;
}

/** Reads what {@link chunkKey} wrote. */
export function readChunkKey(key: Buffer): ChunkKey {
  return { base: key.readUIntBE(6, 6), position: key.readUIntBE(12, 6), at: key.readUIntBE(18, 6) };
}

/** A key behind each chunk whose base is `offset` or less, and before all others. */
export function behindChunk(stream: number, partition: number, offset: number): Buffer {
  const key = Buffer.alloc(25, 0xff);
  offsetKey(stream, partition, offset).copy(key);
  return key;
}

/** The offset of a key made by {@link offsetKey} or {@link letterKey}. */
export function readOffset(key: Buffer): number {
  return key.readUIntBE(6, 6);
}

/** `stream number u32 · partition u16 · group`. */
export function groupKey(stream: number, partition: number, group: string): Buffer {
  return Buffer.concat([partitionKey(stream, partition), Buffer.from(group)]);
}

/** `stream number u32 · partition u16 · offset u48 · group`. */
export function letterKey(stream: number, partition: number, offset: number, group: string): Buffer {
  return Buffer.concat([offsetKey(stream, partition, offset), Buffer.from(group)]);
}

/** The group of a key made by {@link letterKey}. */
export function readLetterGroup(key: Buffer): string {
  return key.toString('utf8', 12);
}

/** The first key behind all that begin with `prefix`. */
export function afterPrefix(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i]! < 0xff) {
      end[i]!++;
      return end.subarray(0, i + 1);
    }
  }
  return Buffer.concat([prefix, Buffer.alloc(1, 0xff)]);
}

/** `first offset u48 · next offset u48 · first position u48 · next position u48 · last append at u48`. */
export function writePartitionRow(row: PartitionRow): Buffer {
  const bytes = Buffer.allocUnsafe(30);
  bytes.writeUIntBE(row.firstOffset, 0, 6);
  bytes.writeUIntBE(row.nextOffset, 6, 6);
  bytes.writeUIntBE(row.firstPosition, 12, 6);
  bytes.writeUIntBE(row.nextPosition, 18, 6);
  bytes.writeUIntBE(row.lastAt, 24, 6);
  return bytes;
}

/** Reads what {@link writePartitionRow} wrote; a partition that does not exist is empty. */
export function readPartitionRow(bytes: Buffer | undefined): PartitionRow {
  if (bytes === undefined) return { firstOffset: 0, nextOffset: 0, firstPosition: 0, nextPosition: 0, lastAt: 0 };
  return {
    firstOffset: bytes.readUIntBE(0, 6),
    nextOffset: bytes.readUIntBE(6, 6),
    firstPosition: bytes.readUIntBE(12, 6),
    nextPosition: bytes.readUIntBE(18, 6),
    lastAt: bytes.readUIntBE(24, 6),
  };
}

/** A counter: u48. */
export function writeCount(count: number): Buffer {
  const bytes = Buffer.allocUnsafe(6);
  bytes.writeUIntBE(count, 0, 6);
  return bytes;
}

/** Reads what {@link writeCount} wrote; 0 when there is none. */
export function readCount(bytes: Buffer | undefined): number {
  return bytes === undefined ? 0 : bytes.readUIntBE(0, 6);
}
