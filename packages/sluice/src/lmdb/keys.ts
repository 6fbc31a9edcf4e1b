/** Keys and rows of the store. Integers are big-endian, so that keys sort by number. `docs/internals/log.md` has the whole picture. */

/** Version of the layout; a store with another one is not opened. */
export const formatVersion = 1;

/** Where a stream's partition begins and ends. */
export interface PartitionRow {
  readonly firstOffset: number;
  readonly nextOffset: number;
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

/** `stream number u32 · partition u16 · offset u48`: a chunk by its base offset. */
export function offsetKey(stream: number, partition: number, offset: number): Buffer {
  const key = Buffer.allocUnsafe(12);
  key.writeUInt32BE(stream, 0);
  key.writeUInt16BE(partition, 4);
  key.writeUIntBE(offset, 6, 6);
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

/** `first offset u48 · next offset u48`. */
export function writePartitionRow(row: PartitionRow): Buffer {
  const bytes = Buffer.allocUnsafe(12);
  bytes.writeUIntBE(row.firstOffset, 0, 6);
  bytes.writeUIntBE(row.nextOffset, 6, 6);
  return bytes;
}

/** Reads what {@link writePartitionRow} wrote; a partition that does not exist is empty. */
export function readPartitionRow(bytes: Buffer | undefined): PartitionRow {
  if (bytes === undefined) return { firstOffset: 0, nextOffset: 0 };
  return { firstOffset: bytes.readUIntBE(0, 6), nextOffset: bytes.readUIntBE(6, 6) };
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
